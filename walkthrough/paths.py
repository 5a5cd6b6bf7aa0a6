"""Runs taken apart: parts of the stream, heads as linear maps, products of heads, and patterns held fixed."""

from collections.abc import Callable
from typing import Any

import torch
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough.architecture import ADDED, LOGITS, SCORING, STREAM, leaves_out
from walkthrough.models import head_weights


def direct_path(
    tokens: Int[Tensor, "*batch pos"],
    W_E: Float[Tensor, "d_vocab d_model"],
    W_U: Float[Tensor, "d_model d_vocab"],
) -> Float[Tensor, "*batch pos d_vocab"]:
    """Logits that each token gives to what may follow it by its embedding alone, past all heads.

    Elhage et al. 2021, "Zero-Layer Transformers" (W_U W_E, for columns).
    """
    return W_E[tokens] @ W_U


def layer_parts(
    z: Float[Tensor, "batch pos head d_head"], W_O: Float[Tensor, "head d_head d_model"]
) -> Float[Tensor, "head batch pos d_model"]:
    """What each head of a layer adds to the stream: its averaged values z, times its own W_O.

    Elhage et al. 2021, "Attention Heads are Independent and Additive".
    """
    return einsum(z, W_O, "batch pos head d_head, head d_head d_model -> head batch pos d_model")


@leaves_out(*ADDED, "writes", "between", exact="walkthrough.beyond.frozen:frozen_stream_parts")
def stream_parts(cache, W_O: Float[Tensor, "layer head d_head d_model"]) -> Float[Tensor, "part batch pos d_model"]:
    """All that is ever added to the residual stream: the embedding, then each head's output, layer by layer.

    `cache` is what `run_with_cache` returns. Raises ValueError if it does not hold the embedding and every
    layer's `hook_z` (Elhage et al. 2021, "Transformer Overview": the residual stream).
    """
    wanted = ["hook_embed", *(f"blocks.{layer}.attn.hook_z" for layer in range(len(W_O)))]
    if missing := [name for name in wanted if name not in cache]:
        raise ValueError(f"the cache holds no {missing[0]!r}: run the model with names_filter=None")
    embed, *z = (cache[name] for name in wanted)
    return torch.cat([embed[None], *(layer_parts(*of_layer) for of_layer in zip(z, W_O))])


def attention_pattern(
    resid: Float[Tensor, "*batch pos d_model"],
    W_pos: Float[Tensor, "n_ctx d_model"],
    W_Q: Float[Tensor, "d_model d_head"],
    W_K: Float[Tensor, "d_model d_head"],
) -> Float[Tensor, "*batch query key"]:
    """Where a head looks: shares of attention over the keys up to the query's own position.

    `resid` comes without positions: they are added here. Each row sums to 1. Raises ValueError if
    the stream is longer than W_pos (Elhage et al. 2021, "Attention Heads as Information Movement";
    scores are divided by the square root of d_head, which the paper leaves out).
    """
    n_pos = resid.shape[-2]
    if n_pos > len(W_pos):
        raise ValueError(f"{n_pos} positions, but W_pos has only {len(W_pos)}: shorten the prompt")
    placed = resid + W_pos[:n_pos]
    q, k = placed @ W_Q, placed @ W_K
    scores = q @ k.mT / W_Q.shape[-1] ** 0.5
    future = torch.ones_like(scores).triu(1).bool()
    return scores.masked_fill(future, -torch.inf).softmax(-1)


def head_output(
    pattern: Float[Tensor, "*batch query key"],
    resid: Float[Tensor, "*batch pos d_model"],
    W_V: Float[Tensor, "d_model d_head"],
    W_O: Float[Tensor, "d_head d_model"],
) -> Float[Tensor, "*batch query d_model"]:
    """What a head adds to the residual stream, from its pattern and the stream that it reads.

    Raises ValueError if pattern and stream have different lengths. (Elhage et al. 2021, "Attention
    Heads as Information Movement": A x W_V W_O in our row vectors.)
    """
    n_keys, n_pos = pattern.shape[-1], resid.shape[-2]
    if n_keys != n_pos:
        raise ValueError(f"a pattern over {n_keys} keys cannot read {n_pos} positions: use one prompt")
    values = resid @ W_V
    return pattern @ values @ W_O


def layer_output(
    pattern: Float[Tensor, "head query key"],
    resid: Float[Tensor, "pos d_model"],
    W_V: Float[Tensor, "head d_model d_head"],
    W_O: Float[Tensor, "head d_head d_model"],
) -> Float[Tensor, "query d_model"]:
    """What a layer adds to the residual stream: the sum of what each of its heads would add alone.

    Every head reads the same `resid` (Elhage et al. 2021, "Attention Heads are Independent and
    Additive").
    """
    heads = range(len(pattern))
    outputs = [head_output(pattern[head], resid, W_V[head], W_O[head]) for head in heads]
    return sum(outputs)


def virtual_pattern(
    first: Float[Tensor, "*batch pos key"], second: Float[Tensor, "*batch query pos"]
) -> Float[Tensor, "*batch query key"]:
    """Where a virtual head looks: the later head's pattern, read through the earlier head's.

    Rows sum to 1. Raises ValueError for patterns of different lengths (Elhage et al. 2021,
    "Two-Layer Attention-Only Transformers": A2 A1, the later head on the left).
    """
    n_first, n_second = first.shape[-2], second.shape[-1]
    if n_first != n_second:
        raise ValueError(f"patterns of {n_first} and {n_second} positions: use two of one prompt")
    return second @ first


def freeze(patterns: list[Float[Tensor, "batch head query key"]]) -> list[tuple[str, Callable]]:
    """Hooks for `run_with_hooks` that force stored patterns on a run, one tensor for each layer.

    One stored sequence serves a whole batch. Running raises ValueError where positions or heads
    do not fit (Elhage et al. 2021, "One-Layer Attention-Only Transformers").
    """

    def force(pattern, hook):
        """The stored pattern of the hook's layer, in place of the one just computed."""
        stored = patterns[hook.layer()]
        fits = stored.shape[1:] == pattern.shape[1:] and len(stored) in (1, len(pattern))
        if not fits:
            mine, theirs = list(pattern.shape), list(stored.shape)
            raise ValueError(f"{hook.name} is {mine}, not {theirs}: freeze the same prompt")
        return stored.expand_as(pattern)

    return [(f"blocks.{layer}.attn.hook_pattern", force) for layer in range(len(patterns))]


@leaves_out(*STREAM, *ADDED, *LOGITS, "groups", exact="walkthrough.beyond.frozen:frozen_path_expansion")
def path_expansion(
    model, tokens: Int[Tensor, "batch pos"]
) -> dict[str, Float[Tensor, "batch pos d_vocab"]]:  # fmt: skip
    """The model's logits as a sum over paths: "direct", heads such as "0:3", chains of heads.

    A chain is called "0:3 → 1:5", and is the paper's virtual head. Exact, in logits: there are
    (n_heads + 1) ** n_layers paths. Patterns are those of the model's own run (Elhage et al. 2021,
    "Path Expansion Trick").
    """
    _, cache = model.run_with_cache(tokens)
    streams = {"direct": cache["hook_embed"]}
    for layer in range(model.cfg.n_layers):
        earlier = list(streams.items())
        for head in range(model.cfg.n_heads):
            pattern = cache["pattern", layer][:, head]
            W_V, W_O = model.W_V[layer, head], model.W_O[layer, head]
            for path, stream in earlier:
                name = f"{layer}:{head}" if path == "direct" else f"{path} → {layer}:{head}"
                streams[name] = head_output(pattern, stream, W_V, W_O)
    return {path: stream @ model.W_U for path, stream in streams.items()}


@leaves_out(*STREAM, *ADDED, *SCORING, exact="walkthrough.beyond.frozen_scores:frozen_score_terms")
def attention_score_terms(
    model, tokens: Int[Tensor, "batch pos"], layer: int, head: int
) -> dict[tuple[str, str], Float[Tensor, "batch query key"]]:
    """A head's scores before mask and softmax, as a sum over pairs: what its query reads, what its key reads.

    Parts are "tokens" (the embedding), "positions", and the output of each earlier head ("0:3"). Exact, and divided by
    √d_head. Raises ValueError if there is no such head (Elhage et al. 2021, "Two-Layer" models: the terms of C_QK).
    """
    (W_Q, W_K, _, _), n_heads = head_weights(model, layer, head), model.cfg.n_heads
    embed, *outputs = stream_parts(model.run_with_cache(tokens)[1], model.W_O)[: 1 + layer * n_heads]
    names = [f"{earlier}:{each}" for earlier in range(layer) for each in range(n_heads)]
    parts = {"tokens": embed, "positions": model.W_pos[: tokens.shape[1]].expand_as(embed)} | dict(zip(names, outputs))
    q, k = ({part: x @ W for part, x in parts.items()} for W in (W_Q / model.cfg.d_head**0.5, W_K))
    return {(query, key): q[query] @ k[key].mT for query in parts for key in parts}


def rank_terms(
    terms: dict[Any, Float[Tensor, "*where column"]], where: tuple[int, ...], against: slice | list[int] = slice(None)
) -> list[tuple[Any, float]]:
    """What each term of a sum adds to one entry, over its mean on `against` (columns of that row).

    A softmax sees differences only. Largest effect first, of either sign. `terms` are of `path_expansion` (`where`:
    batch, position, token; in logits) or of `attention_score_terms` (batch, query, key). Raises ValueError if `where`
    has not one index for each axis.
    """
    for x in terms.values():
        if x.ndim != len(where):
            raise ValueError(f"{where} is not one entry: the terms have {x.ndim} axes, so give {x.ndim} indices")
    *row, column = where
    effects = {name: (x[*row, column] - x[*row][against].mean()).item() for name, x in terms.items()}
    return sorted(effects.items(), key=lambda term: -abs(term[1]))


def score_terms(
    embed: Float[Tensor, "*batch pos d_model"], W_pos: Float[Tensor, "n_ctx d_model"],
    W_Q: Float[Tensor, "d_model d_head"], W_K: Float[Tensor, "d_model d_head"],
) -> Float[Tensor, "term *batch query key"]:  # fmt: skip
    """A head's scores, unmasked, as four terms: token-token, token-position, position-token, position-position.

    What the query gives is named first. They add up to the scores that the softmax takes: divided by √d_head, which
    the paper leaves out. `embed` comes without positions. Raises ValueError for more tokens than W_pos has
    positions (Elhage et al. 2021, "One-Layer" models; positions as in "Technical Details").
    """
    if embed.shape[-2] > len(W_pos):
        raise ValueError(f"{embed.shape[-2]} positions, but W_pos has only {len(W_pos)}: shorten the prompt")
    parts = embed, W_pos[: embed.shape[-2]].expand_as(embed)
    return torch.stack([(q @ W_Q) @ (k @ W_K).mT / W_Q.shape[-1] ** 0.5 for q in parts for k in parts])
