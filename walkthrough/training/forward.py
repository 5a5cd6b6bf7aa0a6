"""The model's forward pass without what only a reader needs: no hooks, no stored patterns, no biases of zero."""

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from walkthrough.models import PaperModel, check_length


def final_stream(model: PaperModel, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
    """What W_U reads: the same numbers as in `PaperModel.forward`, by torch's fused attention.

    Raises ValueError for a prompt longer than the context.
    """
    check_length(tokens.shape[1], model.cfg.n_ctx)
    resid = model.tok_embed(tokens)
    positions = model.pos.weight[: tokens.shape[1]]
    for block in model.layers:
        heads = block.attn
        placed = resid + positions
        q, k, v = (
            F.linear(x, linear.weight).unflatten(-1, (heads.n_heads, heads.d_head)).transpose(1, 2)
            for linear, x in ((heads.q, placed), (heads.k, placed), (heads.v, resid))
        )
        z = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1 / heads.scale)
        resid = resid + F.linear(z.transpose(1, 2).flatten(2), heads.o.weight)
    return resid
