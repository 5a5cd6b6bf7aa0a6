"""Blind searches for biases: every term of a two-layer model gets a score from weights alone, before anybody looks.

The scores were written down and committed before either list had been read. The first list was full of quotes and
brackets that close, so two restrictions came afterwards: `outs` (tokens that hold a letter) and `least` (to save time).
"""

from typing import NamedTuple

import torch
from einops import einsum
from jaxtyping import Bool, Float, Int
from torch import Tensor

from walkthrough.architecture import EVERYTHING, leaves_out
from walkthrough.models import check_head

QUERY, KEY = 24, 16  # places of destination and source; `<BOS>` is at 0, the average token everywhere else


class Stand(NamedTuple):
    """What a layer finds where a token stands among average tokens: a stream for each token, and the average one."""

    tokens: Float[Tensor, "d_vocab d_model"]
    average: Float[Tensor, " d_model"]


class Found(NamedTuple):
    """The highest terms of a search, best first: token ids, score in nats, logits added to the out, and the head that adds most."""

    source: Int[Tensor, " term"]
    destination: Int[Tensor, " term"]
    out: Int[Tensor, " term"]
    score: Float[Tensor, " term"]
    added: Float[Tensor, " term"]
    layer: Int[Tensor, " term"]
    head: Int[Tensor, " term"]
    of_head: Float[Tensor, " term"]


@leaves_out(*EVERYTHING)
def log_attention(
    model, layer: int, stand: Stand, token: Float[Tensor, "token d_model"]
) -> tuple[Float[Tensor, "token head d_head"], Float[Tensor, "token head key"]]:
    """Queries, and unnormalised log attention, of tokens at `QUERY` to `<BOS>`, average tokens, and themselves.

    Keys are places 0 to QUERY. Attention is the softmax of the scores; positions count, as in a run.
    """
    W_Q, W_K, place = model.W_Q[layer], model.W_K[layer], model.W_pos
    q = einsum(token + place[QUERY], W_Q / model.cfg.d_head**0.5, "token read, head read d_head -> token head d_head")
    others = torch.cat([stand.tokens[:1], stand.average.expand(QUERY - 1, -1)]) + place[:QUERY]
    k = einsum(others, W_K, "key read, head read d_head -> head key d_head")
    own = einsum(token + place[QUERY], W_K, "token read, head read d_head -> token head d_head")
    scores = torch.cat([einsum(q, k, "token head d, head key d -> token head key"), (q * own).sum(-1)[..., None]], -1)
    return q, scores


@leaves_out(*EVERYTHING)
def stands(model, share: Float[Tensor, " d_vocab"]) -> list[Stand]:
    """What each layer, and W_U after the last, finds of each token among average tokens, whose embedding `share` weighs.

    No text is run: the context is `<BOS>`, then the average embedding at every place, then the token at `QUERY`.
    """
    share = share / share.sum()
    found = [Stand(model.W_E, share @ model.W_E)]
    for layer in range(model.cfg.n_layers):
        stand = found[-1]
        pattern = log_attention(model, layer, stand, stand.tokens)[1].softmax(-1)
        seen = pattern[..., :1] * stand.tokens[0] + pattern[..., 1:-1].sum(-1, keepdim=True) * stand.average
        seen = seen + pattern[..., -1:] * stand.tokens[:, None]  # [token head d_model]
        added = einsum(seen, model.W_V[layer], "token head read, head read d_head -> token head d_head")
        tokens = stand.tokens + einsum(added, model.W_O[layer], "token head d_head, head d_head write -> token write")
        tokens[0] = stand.tokens[0] + (stand.tokens[:1] @ model.W_V[layer] @ model.W_O[layer]).sum(
            (0, 1)
        )  # sees itself only
        found.append(Stand(tokens, share @ tokens))
    return found


@leaves_out(*EVERYTHING)
def looks_at(
    model, layer: int, stand: Stand, destinations: Int[Tensor, " destination"], sources: Int[Tensor, " source"]
) -> Float[Tensor, "head destination source"]:
    """How much attention a destination at `QUERY` pays a source that has taken the average token's place at `KEY`."""
    q, scores = log_attention(model, layer, stand, stand.tokens[destinations])
    scores[..., KEY] = -torch.inf
    rest = scores.logsumexp(-1)  # [destination head]
    k = einsum(stand.tokens[sources] + model.W_pos[KEY], model.W_K[layer], "source read, head read d -> source head d")
    return (einsum(q, k, "to head d, source head d -> head to source") - rest.T[..., None]).sigmoid()


@leaves_out(*EVERYTHING)
def moves(model, layer: int, stand: Stand, sources: Int[Tensor, " source"]) -> Float[Tensor, "head source d_model"]:
    """What each head writes if it looks at the source alone, more than if it looked at the average token."""
    more = stand.tokens[sources] - stand.average
    return more @ model.W_V[layer] @ model.W_O[layer]


@leaves_out(*EVERYTHING)
def skip_trigram_search(
    model, share: Float[Tensor, " d_vocab"], destinations: Int[Tensor, " destination"],
    sources: Int[Tensor, " source"], outs: Bool[Tensor, " d_vocab"] | None = None, keep: int = 1000, least: float = 0.2,
) -> Found:  # fmt: skip
    """The `keep` strongest skip-trigrams of all heads together, one for each pair of source and destination.

    THE SCORE. Let p be what the model says after the destination among average tokens, and p' the same with the term
    added: the sum over all heads of (attention to the source) x (what the head moves from it to the logits). The score
    of an out is p' log(p' / p), in nats: its share of the Kullback-Leibler divergence of p' from p. It is large only
    where the source makes an out that becomes likely much likelier than it was. Each pair is listed with its best out,
    of those that `outs` allows; pairs in which no head pays the source `least` of its attention are left out.
    """
    every = stands(model, share)
    layers = range(model.cfg.n_layers)
    attention = torch.cat([looks_at(model, at, every[at], destinations, sources) for at in layers])
    moved = torch.cat([moves(model, at, every[at], sources) for at in layers])  # [layer_and_head source d_model]
    forbidden = torch.zeros(model.cfg.d_vocab, dtype=torch.bool) if outs is None else ~outs
    pairs, scores, bests = [], [], []
    for number, destination in enumerate(destinations.tolist()):
        near = (attention[:, number].amax(0) >= least).nonzero()[:, 0]
        before = (every[-1].tokens[destination] @ model.W_U).log_softmax(-1)
        written = einsum(attention[:, number, near], moved[:, near], "head source, head source write -> source write")
        after = (before + written @ model.W_U).log_softmax(-1)
        score, out = (after.exp() * (after - before)).masked_fill(forbidden, -torch.inf).max(-1)
        pairs.append(torch.stack([torch.full_like(near, number), near]))
        scores.append(score)
        bests.append(out)
    (to, of), score, out = torch.cat(pairs, 1), torch.cat(scores), torch.cat(bests)
    best = score.topk(min(keep, len(score))).indices
    to, of, out = to[best], of[best], out[best]
    read = (model.W_U - model.W_U.mean(1, keepdim=True))[:, out]  # centred: a softmax ignores the mean
    by_head = attention[:, to, of] * einsum(moved[:, of], read, "head term write, write term -> head term")
    strongest = by_head.argmax(0)
    layer, head = strongest // model.cfg.n_heads, strongest % model.cfg.n_heads
    of_head = by_head.gather(0, strongest[None])[0]
    return Found(sources[of], destinations[to], out, score[best], by_head.sum(0), layer, head, of_head)


class Misquotes(NamedTuple):
    """Tokens in the order of how badly they are copied: the token, what is said instead, and the margin in logits."""

    token: Int[Tensor, " token"]
    instead: Int[Tensor, " token"]
    margin: Float[Tensor, " token"]


@leaves_out(*EVERYTHING)
def misquote_search(
    model, share: Float[Tensor, " d_vocab"], heads: list[tuple[int, int]], tokens: Int[Tensor, " token"]
) -> Misquotes:
    """Tokens that induction heads are worst at repeating.

    THE SCORE. The induction heads, added up, look at a token alone (as their layer finds it among average tokens); the
    score is the logit that they add to the token they raise most among all others, less the logit that they add to the
    token itself. Above zero, they make the model say another token than the one that they look at. Raises ValueError
    for heads that the model does not have, or of different layers.
    """
    layers = {layer for layer, _ in heads}
    if len(layers) != 1:
        raise ValueError(f"the heads are added up at one layer, but these are of layers {sorted(layers)}")
    for layer, head in heads:
        check_head(model, layer, head)
    layer = layers.pop()
    stand = stands(model, share)[layer]
    W_OV = sum(model.W_V[each] @ model.W_O[each] for each in heads)
    added = stand.tokens[tokens] @ W_OV @ model.W_U
    own = added.gather(1, tokens[:, None])[:, 0]
    best, instead = added.scatter(1, tokens[:, None], -torch.inf).max(1)
    order = (best - own).argsort(descending=True, stable=True)
    return Misquotes(tokens[order], instead[order], (best - own)[order])
