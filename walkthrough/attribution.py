"""A logit taken apart: what each path of heads adds to it, and from which positions of the prompt."""

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor


def first_layer(n_layers: int, n_heads: int, limit: int = 1000) -> int:
    """The lowest layer from which there are at most `limit` paths; 0 where the whole model can be expanded.

    From layer k on there are (n_heads + 1) ** (n_layers - k): "direct" and each chain of heads (Elhage et al. 2021,
    "Path Expansion Trick").
    """
    return next(layer for layer in range(n_layers + 1) if (n_heads + 1) ** (n_layers - layer) <= limit)


def path_names(n_layers: int, n_heads: int, first: int = 0) -> list[str]:
    """Paths through the layers from `first` on, named and ordered as `paths.path_expansion` has them.

    `path_names(2, 1)` is ["direct", "0:0", "1:0", "0:0 → 1:0"].
    """
    chains: list[list[str]] = [[]]
    for layer in range(first, n_layers):
        chains += [[*chain, f"{layer}:{head}"] for head in range(n_heads) for chain in chains]
    return [" → ".join(chain) or "direct" for chain in chains]


def path_sources(
    resid: Float[Tensor, "pos d_model"], patterns: Float[Tensor, "layer head pos pos"],
    W_V: Float[Tensor, "layer key_head d_model d_head"], W_O: Float[Tensor, "layer head d_head d_model"],
    readout: Float[Tensor, "d_model target"], position: int,
) -> Float[Tensor, "path target source"]:  # fmt: skip
    """What each path, with patterns held fixed, brings from each source position to what is read at one position.

    For a virtual head (A2 A1)[position, source] · x[source] W_V1 W_O1 W_V2 W_O2 readout; paths as in `path_names`.
    `resid` is what the first layer given reads: the embedding, if all layers are given. With columns of W_U as
    `readout` the unit is logits, and the sum over paths and sources is the model's logits, exactly, if it is of the
    paper's kind: with norms, biases or MLPs it is not, and `paths.path_expansion` of the model is. Raises ValueError for
    heads that share values, and for a position that the prompt does not have (Elhage et al. 2021, "Virtual Attention Heads").
    """
    if not 0 <= position < len(resid):
        raise ValueError(f"there is no position {position}: the prompt has positions 0 to {len(resid) - 1}")
    if W_V.shape[:2] != W_O.shape[:2]:
        raise ValueError(
            f"{W_V.shape[1]} W_V for {W_O.shape[1]} W_O: heads that share values need `paths.path_expansion`"
        )
    seen = torch.eye(len(resid), dtype=resid.dtype)[[position]]  # [path source]: a row of the product of patterns
    read = readout[None]  # [path d_model target]: the readout, carried back through the heads
    for pattern, V, O in zip(patterns.flip(0), W_V.flip(0), W_O.flip(0)):
        back = einsum(seen, pattern, "path query, head query key -> path head key")
        seen = torch.cat([seen[:, None], back], dim=1).flatten(0, 1)
        written = einsum(O, read, "head d_head write, path write target -> path head d_head target")
        back = einsum(V, written, "head read d_head, path head d_head target -> path head read target")
        read = torch.cat([read[:, None], back], dim=1).flatten(0, 1)
    return seen[:, None] * einsum(read, resid, "path read target, source read -> path target source")
