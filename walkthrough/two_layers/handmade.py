"""A bench for heads that are written by hand: the paper's architecture, with an axis for each thing worth knowing."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough.paths import attention_pattern, head_output


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
    W_U: Float[Tensor, "d_model d_vocab"], heads: Sequence[Sequence[Tensor]],
) -> tuple[Float[Tensor, "batch pos d_vocab"], Float[Tensor, "batch layer query key"]]:  # fmt: skip
    """Logits and patterns of a model with one head a layer, each given as (W_Q, W_K, W_V, W_O).

    Raises ValueError for prompts longer than W_pos, and for a head whose matrices do not fit the stream.
    """
    d_model, resid, patterns = W_E.shape[1], W_E[tokens], []
    for layer, (W_Q, W_K, W_V, W_O) in enumerate(heads):
        if {len(W_Q), len(W_K), len(W_V), W_O.shape[-1]} != {d_model}:
            raise ValueError(f"head of layer {layer}: W_Q, W_K, W_V must be [{d_model} d_head], W_O [d_head {d_model}]")
        patterns.append(attention_pattern(resid, W_pos, W_Q, W_K))
        resid = resid + head_output(patterns[-1], resid, W_V, W_O)
    return resid @ W_U, torch.stack(patterns, 1)
