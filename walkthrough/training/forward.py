"""The model's forward pass without what only a reader needs: no hooks, no stored patterns, no biases of zero."""

import math
from collections.abc import Collection

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from walkthrough.models import PaperModel, check_length


def final_stream(
    model: PaperModel,
    tokens: Int[Tensor, "batch pos"],
    silent: Collection[tuple[int, int]] = (),
    patterns: list[Tensor] | None = None,
) -> Float[Tensor, "batch pos d_model"]:
    """What W_U reads: the same numbers as in `PaperModel.forward`, by torch's fused attention.

    The (layer, head)s in `silent` add nothing to the stream. To a list of `patterns`, each layer's are appended,
    [batch head query key]. Raises ValueError for a prompt longer than the context.
    """
    check_length(tokens.shape[1], model.cfg.n_ctx)
    resid, here = model.entered(model.tok_embed(tokens)), slice(0, tokens.shape[1])
    for layer, block in enumerate(model.layers):
        heads = block.attn
        placed = heads.placed(resid, here)
        q, k, v = (
            F.linear(x, linear.weight).unflatten(-1, (heads.n_heads, heads.d_head)).transpose(1, 2)
            for linear, x in ((heads.q, placed), (heads.k, placed), (heads.v, resid))
        )
        q, k = heads.matched(q, k)
        if patterns is None:
            z = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1 / heads.scale)
        else:
            scores = (q @ k.mT / heads.scale).masked_fill(heads.causal_mask[here, here], -math.inf)
            patterns.append(scores.softmax(-1))
            z = patterns[-1] @ v
        if quiet := [head for at, head in silent if at == layer]:
            z = z.index_fill(1, torch.tensor(quiet, device=z.device), 0.0)
        resid = model.between(resid + F.linear(z.transpose(1, 2).flatten(2), heads.o.weight))
    return resid
