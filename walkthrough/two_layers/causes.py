"""Why induction heads form: keys that are smeared, heads that are missed, and what a query and a key read."""

import itertools
import random
from collections.abc import Collection

import torch
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough.architecture import ADDED, SCORING, STREAM, leaves_out
from walkthrough.paths import head_output

PARTS = ("tokens", "tokens, through heads", "positions", "positions, through heads")


def smear(
    keys: Float[Tensor, "*batch head pos d_head"], alpha: Float[Tensor, " head"]
) -> Float[Tensor, "*batch head pos d_head"]:
    """Each key mixed with the one before it, in shares sigmoid(alpha) and 1 - sigmoid(alpha).

    The first key has none before it, and stays (Olsson et al. 2022, "smeared keys").
    """
    share = alpha.sigmoid()[:, None, None]
    mixed = share * keys[..., 1:, :] + (1 - share) * keys[..., :-1, :]
    return torch.cat([keys[..., :1, :], mixed], dim=-2)


def stream_without(
    embed: Float[Tensor, "batch pos d_model"],
    patterns: Float[Tensor, "layer batch head query key"],
    W_V: Float[Tensor, "layer head d_model d_head"],
    W_O: Float[Tensor, "layer head d_head d_model"],
    silent: Collection[tuple[int, int]],
) -> Float[Tensor, "batch pos d_model"]:
    """The last stream of a run without the (layer, head)s in `silent`, all patterns kept.

    (Olsson et al. 2022, "pattern-preserving ablation".)
    """
    stream = embed
    for layer in range(len(W_V)):
        added = torch.zeros_like(stream)
        for head in range(len(W_V[layer])):
            if (layer, head) not in silent:
                pattern = patterns[layer][:, head]
                added = added + head_output(pattern, stream, W_V[layer, head], W_O[layer, head])
        stream = stream + added
    return stream


def control_sets(n_layers: int, n_heads: int, chosen: Collection[tuple[int, int]]) -> list[tuple[tuple[int, int], ...]]:
    """Up to six sets of as many (layer, head)s as `chosen`, none of them in it: always the same random draw."""
    every = [(layer, head) for layer in range(n_layers) for head in range(n_heads)]
    sets = list(itertools.combinations([head for head in every if head not in chosen], len(chosen)))
    return random.Random(0).sample(sets, min(6, len(sets)))


def read_parts(
    tokens: Float[Tensor, "batch pos d_model"],
    in_stream: Float[Tensor, "pos d_model"],
    beside: Float[Tensor, "pos d_model"],
    patterns: Float[Tensor, "batch head query key"],
    W_V: Float[Tensor, "head d_model d_head"],
    W_O: Float[Tensor, "head d_head d_model"],
) -> Float[Tensor, "part batch pos d_model"]:
    """What W_Q and W_K of layer 1 read, as the four parts that `PARTS` names: they add up to it.

    `tokens` are embeddings; positions are added to the stream (`in_stream`), where the heads of layer 0, whose
    `patterns` and weights follow, move them on; or only to what layer 1's W_Q and W_K read (`beside`).
    """
    through = []
    for part in (tokens, in_stream.expand_as(tokens)):
        heads = range(len(W_V))
        through.append(sum(head_output(patterns[:, head], part, W_V[head], W_O[head]) for head in heads))
    positions = (in_stream + beside).expand_as(tokens)
    return torch.stack([tokens, through[0], positions, through[1]])


def score_parts(
    parts: Float[Tensor, "part batch pos d_model"],
    W_Q: Float[Tensor, "d_model d_head"],
    W_K: Float[Tensor, "d_model d_head"],
) -> Float[Tensor, "of_query of_key batch query key"]:
    """A head's scores, unmasked, one term for each part of the query and each part of the key.

    Their sum is the score, divided by the square root of d_head.
    """
    q, k = parts @ W_Q, parts @ W_K
    axes = "of_query batch query d_head, of_key batch key d_head -> of_query of_key batch query key"
    return einsum(q, k, axes) / W_Q.shape[-1] ** 0.5


@leaves_out(*STREAM, *ADDED, *SCORING)
def head_terms(
    model, tokens: Int[Tensor, "batch pos"], head: int
) -> Float[Tensor, "of_query of_key batch query key"]:  # fmt: skip
    """All terms of the scores of a head of layer 1, in a model whose positions W_Q and W_K read, and W_V does not."""
    positions = model.W_pos[: tokens.shape[1]]
    layer_0 = model.run_with_cache(tokens)[1]["pattern", 0], model.W_V[0], model.W_O[0]
    parts = read_parts(model.W_E[tokens], torch.zeros_like(positions), positions, *layer_0)
    return score_parts(parts, model.W_Q[1, head], model.W_K[1, head])


def attention_without(
    scores: Float[Tensor, "*batch query key"], term: Float[Tensor, "*batch query key"]
) -> Float[Tensor, "*batch query key"]:
    """The pattern if one term is missing from unmasked scores; each row sums to 1."""
    left = scores - term
    future = torch.ones_like(left).triu(1).bool()
    return left.masked_fill(future, -torch.inf).softmax(-1)


def follower_and_fixed(
    pattern: Float[Tensor, "batch head query key"], length: int, back: int
) -> Float[Tensor, "head 2"]:
    """Attention to the token after the earlier copy, and to the one `back` places before the query.

    On `behaviour.repeated_tokens(…, length, times=2, …)`; means over the queries of the second copy
    that have a place so far back, after `<BOS>`.
    """
    first = max(length, back) + 1
    query = torch.arange(first, pattern.shape[-1])
    follower = pattern[:, :, query, query - length + 1].mean((0, -1))
    fixed = pattern[:, :, query, query - back].mean((0, -1))
    return torch.stack([follower, fixed], dim=1)
