"""A bench for heads that are written by hand: the paper's architecture, with an axis for each thing worth knowing."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough.paths import attention_pattern, head_output
from walkthrough.two_layers.causes import read_parts, score_parts


def bench(
    d_vocab: int, n_ctx: int
) -> tuple[Float[Tensor, "d_vocab d_model"], Float[Tensor, "n_ctx d_model"], Float[Tensor, "d_model d_vocab"]]:
    """W_E, W_pos and W_U of a stream with d_model = 3 d_vocab + n_ctx axes, in four blocks.

    The present token, one-hot, where W_E writes; d_vocab free axes; d_vocab axes that W_U reads as logits; positions,
    one-hot, which only W_Q and W_K see. Raises ValueError unless both sizes are positive.
    """
    if min(d_vocab, n_ctx) < 1:
        raise ValueError(f"{d_vocab} tokens and {n_ctx} positions: a bench needs at least one of each")
    axes = torch.eye(3 * d_vocab + n_ctx)
    return axes[:d_vocab], axes[3 * d_vocab :], axes[:, 2 * d_vocab : 3 * d_vocab]


def run_heads(
    tokens: Int[Tensor, "batch pos"], W_E: Float[Tensor, "d_vocab d_model"], W_pos: Float[Tensor, "n_ctx d_model"],
    W_U: Float[Tensor, "d_model d_vocab"], heads: Sequence[Sequence[Tensor]], *, in_stream: bool = False,
) -> tuple[Float[Tensor, "batch pos d_vocab"], Float[Tensor, "batch layer query key"]]:  # fmt: skip
    """Logits and patterns of a model with one head a layer, each given as (W_Q, W_K, W_V, W_O).

    Positions are added to what W_Q and W_K read; with `in_stream`, to the stream itself, so that W_V reads them as well.
    Raises ValueError for prompts longer than W_pos, and for a head whose matrices do not fit the stream.
    """
    d_model, resid, patterns = W_E.shape[1], W_E[tokens], []
    if in_stream:
        resid, W_pos = resid + W_pos[: tokens.shape[1]], torch.zeros_like(W_pos)
    for layer, (W_Q, W_K, W_V, W_O) in enumerate(heads):
        if {len(W_Q), len(W_K), len(W_V), W_O.shape[-1]} != {d_model}:
            raise ValueError(f"head of layer {layer}: W_Q, W_K, W_V must be [{d_model} d_head], W_O [d_head {d_model}]")
        patterns.append(attention_pattern(resid, W_pos, W_Q, W_K))
        resid = resid + head_output(patterns[-1], resid, W_V, W_O)
    return resid @ W_U, torch.stack(patterns, 1)


def positional_copier(d_vocab: int, n_ctx: int, back: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A fake induction head on a bench, as W_Q, W_K, W_V, W_O: it copies what stands `back` before.

    Where there is no such place, it looks at all places alike.
    """
    axes = torch.eye(3 * d_vocab + n_ctx)  # a row for each axis
    token, _, logits, position = axes.split((d_vocab, d_vocab, d_vocab, n_ctx))
    W_Q = 100 * position.T.roll(-back, dims=1)  # position i asks for position i - back
    W_K = position.T  # position j shows that it is position j
    W_V = 20 * token.T  # which token stands there
    W_O = logits  # is written where W_U reads
    return W_Q, W_K, W_V, W_O


def pointer_heads(
    W_E: Float[Tensor, "d_vocab d_model"], W_pos: Float[Tensor, "n_ctx d_model"],
    W_U: Float[Tensor, "d_model d_vocab"],
) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:  # fmt: skip
    """Induction by pointer arithmetic; positions must be in the stream, and n_ctx <= d_vocab."""
    d_vocab, n_ctx = len(W_E), len(W_pos)
    axes = torch.eye(W_E.shape[1])
    token, free, out, place = axes.split((d_vocab, d_vocab, d_vocab, n_ctx), dim=1)
    pointer = free[:, :n_ctx]  # an axis for each position that can be pointed to
    equal = torch.cat([1000 * token, -500 * place], dim=1)  # an equal token, but rather not myself
    find = (equal, torch.cat([token, place], dim=1), place, pointer.T.roll(-1, dims=0))
    fetch = (1000 * pointer, place, 20 * token, out.T)
    return [find, fetch]


def pointer_terms(d_vocab: int, length: int, batch: int) -> Float[Tensor, "of_query of_key batch query key"]:
    """All terms of the scores of the second of `pointer_heads`, as `causes.score_parts` returns them.

    On `<BOS>` (token 0) and `length` different random tokens said twice: the first head points to *the* earlier copy.
    """
    W_E, W_pos, W_U = bench(d_vocab, 2 * length + 1)
    once = torch.stack([1 + torch.randperm(d_vocab - 1)[:length] for _ in range(batch)])
    tokens = torch.cat([torch.zeros(batch, 1, dtype=torch.long), once, once], dim=1)
    find, fetch = pointer_heads(W_E, W_pos, W_U)
    patterns = run_heads(tokens, W_E, W_pos, W_U, [find, fetch], in_stream=True)[1]
    W_V, W_O = find[2][None], find[3][None]
    parts = read_parts(W_E[tokens], W_pos, torch.zeros_like(W_pos), patterns[:, :1], W_V, W_O)
    return score_parts(parts, fetch[0], fetch[1])
