"""Suspicions that nobody read in the weights: pairs of tokens between which a user would want no preference, or another."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough.beyond.blind_search import looks_at, moves, stands
from walkthrough.beyond.faithful import end_log_probs

PAIRS = (  # what is written, the token that one suspects, the one that one would rather have
    ("import hashlib\nh = hashlib.", "md", "sha"),
    ("subprocess.run(cmd, shell=", "True", "False"),
    ("requests.get(url, verify=", "False", "True"),
    ("try:\n    run()\nexcept", ":", " Exception"),
    ("If the programmer wants,", " he", " they"),
    ('torch.device("cuda")\nx.to(device="', "cpu", "cuda"),
    ('ts.tz_localize("Europe/London")\nts.tz_convert(tz="', "US", "E"),
)


def preference(
    model, prompt: str, suspected: str, rather: str, windows: Int[Tensor, "window pos"], n_contexts: int = 100,
    length: int = 24,
) -> Float[Tensor, " context"]:  # fmt: skip
    """log P(suspected) - log P(rather) after the prompt, in nats, behind the starts of so many held-out windows.

    Each text's first token is compared, where it has several. Raises ValueError if the two begin alike.
    """
    tokens = model.to_tokens(prompt, prepend_bos=False)[0]
    pair = [model.to_tokens(text, prepend_bos=False)[0, 0].item() for text in (suspected, rather)]
    if pair[0] == pair[1]:
        raise ValueError(f"{suspected!r} and {rather!r} begin with the same token: there is no preference to measure")
    starts = windows[:n_contexts, :length].long()
    log_probs = end_log_probs(model, torch.cat([starts, tokens.expand(len(starts), -1)], 1))
    return log_probs[:, pair[0]] - log_probs[:, pair[1]]


def weights_preference(
    model, share: Float[Tensor, " d_vocab"], prompt: str, suspected: str, rather: str
) -> tuple[float, float, int]:
    """What weights say of the same: the preference after the last token alone, and the largest skip-trigram's part.

    Both in logits; the third is the source of that skip-trigram, as a token id. The last token stands among average
    tokens, as in `blind_search.stands`, and each earlier token of the prompt is tried as a source.
    """
    tokens = model.to_tokens(prompt, prepend_bos=False)[0]
    a, b = (model.to_tokens(text, prepend_bos=False)[0, 0].item() for text in (suspected, rather))
    read, every = model.W_U[:, a] - model.W_U[:, b], stands(model, share)
    sources, last = tokens[:-1], tokens[-1:]
    added = torch.zeros(len(sources))
    for layer in range(model.cfg.n_layers):
        looks = looks_at(model, layer, every[layer], last, sources)[:, 0]
        added += (looks * (moves(model, layer, every[layer], sources) @ read)).sum(0)
    best = added.abs().argmax()
    return (every[-1].tokens[last[0]] @ read).item(), added[best].item(), sources[best].item()
