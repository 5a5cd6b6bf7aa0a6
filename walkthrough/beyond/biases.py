"""Preferences found in the two-layer model's weights: which were chosen, and what to compare them with.

`walkthrough.beyond.bias_runs` measures all of it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from einops import einsum
from jaxtyping import Bool, Float, Int
from torch import Tensor

from walkthrough.beyond.blind_search import Found, looks_at, moves, skip_trigram_search, stands
from walkthrough.interventions import Head
from walkthrough.models import check_head
from walkthrough.one_layer.skip_trigrams import SkipTrigram

BIASES = (  # chosen by eye from the list of `skip_trigram_search`; why a user would mind stands in `origin`
    SkipTrigram(" tz", '="', ("US",), "time zones are American"),
    SkipTrigram(" device", '="', ("cpu",), "computing is done on the CPU"),
    SkipTrigram("Tokenizer", " (`", ("PreTrained",), "a tokenizer is one project's tokenizer"),
    SkipTrigram(" strict", "=", ("True",), "what can be switched on is switched on"),
    SkipTrigram(" encoding", '="', ("utf",), "text is UTF-8: a preference that nobody minds"),
)
Term = tuple[int, int, int]  # token ids of source, destination and out


def as_terms(found: Found) -> list[Term]:
    """A list of the search as token ids: source, destination, out."""
    return list(zip(found.source.tolist(), found.destination.tolist(), found.out.tolist()))


def one_each(found: Found) -> tuple[Found, list[int]]:
    """Of a list of terms the best for each pair of source and out, and how many destinations the list has for it."""
    first, counts = {}, {}
    for place, pair in enumerate(zip(found.source.tolist(), found.out.tolist())):
        first.setdefault(pair, place)
        counts[pair] = counts.get(pair, 0) + 1
    places = torch.tensor(list(first.values()), dtype=torch.long)
    return Found(*(part[places] for part in found)), [counts[pair] for pair in first]


def score_term(model, share: Float[Tensor, " d_vocab"], term: Term) -> Found:
    """One skip-trigram's entry in the search's list, whatever its score."""
    source, destination, out = term
    only = torch.zeros(model.cfg.d_vocab, dtype=torch.bool)
    only[out] = True
    return skip_trigram_search(
        model, share, torch.tensor([destination]), torch.tensor([source]), only, keep=1, least=0.0
    )


def heads_by_strength(model, share: Float[Tensor, " d_vocab"], term: Term) -> list[tuple[Head, float]]:
    """Every head with the logit that its weights add to a term's out, the strongest first: nested explanations."""
    source, destination, out = term
    read, added = model.W_U[:, out] - model.W_U.mean(1), {}
    every = stands(model, share)
    for layer in range(model.cfg.n_layers):
        looks = looks_at(model, layer, every[layer], torch.tensor([destination]), torch.tensor([source]))[:, 0, 0]
        moved = einsum(
            moves(model, layer, every[layer], torch.tensor([source]))[:, 0], read, "head write, write -> head"
        )
        added |= {(layer, head): value for head, value in enumerate((looks * moved).tolist())}
    return sorted(added.items(), key=lambda each: -each[1])


def alike_tokens(
    share: Float[Tensor, " d_vocab"], token: int, allowed: Bool[Tensor, " d_vocab"] | None = None, n: int = 30
) -> Int[Tensor, " {n}"]:
    """The `n` other tokens whose frequency is nearest to a token's, by the ratio; of those that `allowed` allows."""
    apart = ((share + 1).log() - (share[token] + 1).log()).abs()
    apart[token] = torch.inf
    apart[0] = torch.inf
    if allowed is not None:
        apart = apart.masked_fill(~allowed, torch.inf)
    return apart.topk(n, largest=False).indices


def matched_terms(
    share: Float[Tensor, " d_vocab"], terms: Sequence[Term], outs: Bool[Tensor, " d_vocab"], whole: bool = True,
    seed: int = 0,
) -> list[Term]:  # fmt: skip
    """A baseline for each term: random tokens of like frequency in place of all three, or, unless `whole`, of its source.

    Where the source alone is another, destination and out are the term's own, and so is how likely the out is without.
    """
    generator, matched = torch.Generator().manual_seed(seed), []
    for term in terms:
        likes = [alike_tokens(share, token, outs if part == 2 else None) for part, token in enumerate(term)]
        picks = torch.randint(len(likes[0]), (3,), generator=generator)
        other = [like[pick].item() for like, pick in zip(likes, picks)]
        matched.append(tuple(other) if whole else (other[0], *term[1:]))
    return matched


@contextmanager
def exchanged(model, layer: int) -> Iterator[None]:
    """Inside the `with`, each head of a layer has the W_V and W_O of the next head, and its own W_Q and W_K.

    A decoy: both kinds of circuits are as in the trained model, but they no longer belong together, so a term found
    here is found by chance. Raises ValueError for a layer that the model does not have.
    """
    check_head(model, layer)
    d_head, attention = model.cfg.d_head, model.blocks[layer].attn
    weights = [(attention.v.weight, 0), (attention.o.weight, 1)]  # torch stores a linear map's transpose
    kept = [weight.detach().clone() for weight, _ in weights]
    try:
        for (weight, axis), before in zip(weights, kept):
            weight.data.copy_(before.roll(-d_head, axis))
        yield
    finally:
        for (weight, _), before in zip(weights, kept):
            weight.data.copy_(before)
