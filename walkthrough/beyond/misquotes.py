"""Induction terms that go wrong: tokens that the heads which ought to repeat them make the model replace with others."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough.beyond.bench import Bench, mean_spread_won
from walkthrough.beyond.biases import alike_tokens
from walkthrough.beyond.blind_search import misquote_search
from walkthrough.beyond.faithful import end_log_probs, twin_prompts
from walkthrough.two_layers.induction import induction_heads


def misquoted(
    model, token: int, instead: int, windows: Int[Tensor, "window pos"], pool: Int[Tensor, " choice"],
    n_contexts: int = 100,
) -> Float[Tensor, "2 context"]:  # fmt: skip
    """log P(instead) - log P(token) after `[A] … [A]`, in nats: where the token followed the first A, and a random one.

    A is the context's own last token; the first A and what follows it are put 3 to 20 tokens before the end. Raises
    ValueError for too few windows.
    """
    twins = twin_prompts(token, 0, windows, pool, n_contexts)
    rows = torch.arange(n_contexts)
    lacking = windows[(windows[:, :32] != token).all(1)]
    order = torch.randperm(len(lacking), generator=torch.Generator().manual_seed(0))[:n_contexts]
    A = lacking[order, 31]
    prompts = [twins.given.clone(), twins.without.clone()]
    for part in prompts:
        part[:, -1], part[rows, twins.place - 1] = A, A
    log_probs = torch.stack([end_log_probs(model, part) for part in prompts])
    return log_probs[..., instead] - log_probs[..., token]


def misquotes(bench: Bench, n_kept: int = 60, n_tried: int = 15) -> dict:
    """The list of tokens that induction heads misquote, and how its first fare in runs, beside tokens of like frequency.

    Each row that was tried: token, what is said instead, margin in logits, mean, spread and share above zero of
    log P(instead) - log P(token), and the mean of the same where a random token stood in its place.
    """
    often = bench.share >= 1000
    found = misquote_search(bench.model, bench.share, list(induction_heads(bench.model)), often.nonzero()[:, 0])
    pairs = list(zip(*(part.tolist() for part in found)))
    rank = {token: place for place, (token, _, _) in enumerate(pairs)}
    dice, tried = torch.Generator().manual_seed(0), {}
    picks = torch.randint(30, (n_tried,), generator=dice).tolist()
    others = [pairs[rank[alike_tokens(bench.share, each[0], often)[pick].item()]] for each, pick in zip(pairs, picks)]
    for name, chosen in (("found", pairs[:n_tried]), ("of like frequency", others)):
        tried[name] = []
        for token, instead, margin in chosen:
            quoted = misquoted(bench.model, token, instead, bench.contexts, bench.pool)
            row = [bench.text(token), bench.text(instead), margin, *mean_spread_won(quoted[0]), quoted[1].mean().item()]
            tried[name].append(row)
    listed = [[bench.text(token), bench.text(instead), margin] for token, instead, margin in pairs[:n_kept]]
    return {"list": listed, "share misquoted": (found.margin > 0).float().mean().item(), "tried": tried}
