"""What induction heads do with a text: whom they match, what they copy, how they count, and where that helps."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from walkthrough.behaviour import LAST_LOGITS


def following_score(pattern: Float[Tensor, "head query key"], tokens: Int[Tensor, " pos"]) -> Float[Tensor, " head"]:
    """Average attention to tokens that followed an earlier occurrence of the current one.

    For any prompt. All followers count together; queries whose token has not come before are left
    out. In `a a` the second token is itself what followed the first, and counts. Raises ValueError
    if no token comes twice (Olsson et al. 2022, who use random tokens said several times).
    """
    came_before = (tokens[:, None] == tokens).tril(-1)  # [query key]
    matched = came_before.any(-1)
    if not matched.any():
        raise ValueError("no token comes twice: there is nothing to match")
    followed = torch.zeros_like(came_before)
    followed[:, 1:] = came_before[:, :-1]  # one place to the right
    return (pattern * followed).sum(-1)[:, matched].mean(-1)


def shuffled_twice(d_vocab: int, length: int, batch: int, seed: int = 0) -> Int[Tensor, "batch pos"]:
    """`<BOS>` (token 0), `length` different random tokens, then the same in another random order.

    Each token of the second half has one earlier occurrence, at a distance that differs from token
    to token. Raises ValueError if the vocabulary is too small.
    """
    if length > d_vocab - 1:
        raise ValueError(f"{d_vocab - 1} tokens beside <BOS> are not enough to draw {length}")
    generator = torch.Generator().manual_seed(seed)
    rows = torch.zeros(batch, 1 + 2 * length, dtype=torch.long)
    for row in rows:
        once = 1 + torch.randperm(d_vocab - 1, generator=generator)[:length]
        again = once[torch.randperm(length, generator=generator)]
        row[1:] = torch.cat([once, again])
    return rows


def shuffled_blocks(d_vocab: int, length: int, block: int, batch: int, seed: int = 0) -> Int[Tensor, "batch pos"]:
    """As `shuffled_twice`, but the second copy is cut into blocks of some tokens, and only the blocks change places.

    Inside a block the previous token is that of the first copy, too. Raises ValueError if the blocks do not fill a copy.
    """
    if length % block:
        raise ValueError(f"{length} tokens cannot be cut into blocks of {block}")
    rows = shuffled_twice(d_vocab, length, batch, seed)
    generator = torch.Generator().manual_seed(seed)
    for row in rows:
        blocks = row[1 : length + 1].reshape(-1, block)
        row[length + 1 :] = blocks[torch.randperm(len(blocks), generator=generator)].flatten()
    return rows


def copying_score(moved: Float[Tensor, "source d_vocab"], tokens: Int[Tensor, " source"]) -> float:
    """Of what a head raises among a prompt's tokens, the share that goes to the token looked at.

    A row of `moved` holds the logits that the head adds where it looks at that source alone;
    `tokens` are the sources' own, all different. 1 if nothing else is raised, 1 over their number
    by chance (after Olsson et al. 2022, whose score differs in its details).
    """
    among = moved[:, tokens]  # [source out], only the prompt's own tokens
    raised = (among - among.mean(-1, keepdim=True)).clamp(min=0)
    shares = raised.diagonal() / raised.sum(-1)
    return shares.mean().item()


def right_token(
    model, tokens: Int[Tensor, "batch pos"], length: int, hooks=()
) -> dict[str, Float[Tensor, "batch pos_of_later_copies"]]:
    """The right next token in all copies after the first: its centred logit, log-probability and probability.

    `tokens` are `behaviour.repeated_tokens(…, length, …)`, and `hooks` change the run.
    """
    logits = model.run_with_hooks(tokens[:, :-1], fwd_hooks=list(hooks))[:, length:]
    right = tokens[:, length + 1 :, None]
    logit = logits.gather(-1, right)[..., 0] - logits.mean(-1)
    log_prob = logits.log_softmax(-1).gather(-1, right)[..., 0]
    return {"logit": logit, "log-probability": log_prob, "probability": log_prob.exp()}


class Mixture(NamedTuple):
    """Prompts in which `a` was followed by `b` some times and by `c` some times, and that end in `a`."""

    rows: Int[Tensor, "row pos"]
    twins: Int[Tensor, "row pos"]  # the same with b and c exchanged
    b: Int[Tensor, " row"]
    c: Int[Tensor, " row"]
    after: Int[Tensor, " follower"]  # positions of b and c
    holds_b: Bool[Tensor, "row follower"]


def mixtures(d_vocab: int, n_b: int, n_c: int, batch: int, gap: int = 5, seed: int = 0) -> Mixture:
    """`<BOS>`, then `a b` so many times and `a c` so many times, random tokens between, and `a` at the end.

    The order is turned from row to row, so that b stands at each place equally often. Raises ValueError if the rows
    cannot be shared out evenly (after Edelman et al. 2024, whose prompts are Markov chains).
    """
    n = n_b + n_c
    if batch % n:
        raise ValueError(f"{batch} rows cannot be shared out over {n} orders: take a multiple of {n}")
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(1, d_vocab, (batch, n * (gap + 2) + gap + 2), generator=generator)
    a, b, c = (1 + torch.rand(batch, d_vocab - 1, generator=generator).topk(3).indices).T
    after = gap + 2 + (gap + 2) * torch.arange(n)
    holds_b = (torch.arange(n) + torch.arange(batch)[:, None]) % n < n_b
    rows[:, 0], rows[:, -1] = 0, a
    rows[:, after - 1] = a[:, None]
    twins = rows.clone()
    rows[:, after] = torch.where(holds_b, b[:, None], c[:, None])
    twins[:, after] = torch.where(holds_b, c[:, None], b[:, None])
    return Mixture(rows, twins, b, c, after, holds_b)


def ending_elsewhere(mixture: Mixture) -> Mixture:
    """The same prompts, but with the first random token after `<BOS>` in the place of the last `a`: a control."""
    rows, twins = mixture.rows.clone(), mixture.twins.clone()
    rows[:, -1], twins[:, -1] = rows[:, 1], twins[:, 1]
    return mixture._replace(rows=rows, twins=twins)


def log_ratio(model, mixture: Mixture, hooks=()) -> Float[Tensor, " row"]:
    """log P(b) - log P(c) at the end of each prompt, in nats, with b as the commoner follower.

    The mean over a prompt and its twin, in which b and c have exchanged roles: what the model thinks of the two tokens
    anyway cancels.
    """
    ratios = []
    for rows, sign in ((mixture.rows, 1), (mixture.twins, -1)):
        last = model.run_with_hooks(rows, fwd_hooks=[*hooks, LAST_LOGITS])[:, -1]
        of_b, of_c = (last.gather(1, which[:, None])[:, 0] for which in (mixture.b, mixture.c))
        ratios.append(sign * (of_b - of_c))
    return (ratios[0] + ratios[1]) / 2


def paid_to_followers(
    model, mixture: Mixture, heads: Sequence[int], layer: int = 1
) -> tuple[Float[Tensor, "row head"], Float[Tensor, "row head"]]:
    """Attention that heads of a layer pay, from the last token, to the commoner follower of `a` and to the rarer one.

    Rows are the prompts, and after them their twins, in which c is the commoner one.
    """
    both = torch.cat([mixture.rows, mixture.twins])
    with model.hooks(fwd_hooks=[LAST_LOGITS]):
        pattern = model.run_with_cache(both)[1]["pattern", layer][:, list(heads), -1]  # [row head key]
    paid, common = pattern[..., mixture.after], mixture.holds_b.repeat(2, 1)[:, None]
    return (paid * common).sum(-1), (paid * ~common).sum(-1)


def completes_pair(rows: Int[Tensor, "batch pos_and_one"]) -> Bool[Tensor, "batch pos"]:
    """Whether the current and the next token have stood side by side earlier in the row.

    In this order, and for each position but the last, which has no next token. Where it is true,
    the rule of an induction head is right for at least one earlier place.
    """
    current, following = rows[:, :-1], rows[:, 1:]
    same_current = current[:, :, None] == current[:, None]  # [batch pos earlier]
    same_following = following[:, :, None] == following[:, None]
    return (same_current & same_following).tril(-1).any(-1)
