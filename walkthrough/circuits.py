"""Weights to matrices: what can be said of a model without running it, and of its stream when it has run."""

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor


def stream_parts(cache, W_O: Float[Tensor, "layer head d_head d_model"]) -> Float[Tensor, "part batch pos d_model"]:
    """All that is ever added to the residual stream: the embedding, then each head's output, layer by layer.

    `cache` is what `run_with_cache` returns. Raises ValueError if it does not hold the embedding and every
    layer's `hook_z` (Elhage et al. 2021, "Transformer Overview": the residual stream).
    """
    wanted = ["hook_embed", *(f"blocks.{layer}.attn.hook_z" for layer in range(len(W_O)))]
    if missing := [name for name in wanted if name not in cache]:
        raise ValueError(f"the cache holds no {missing[0]!r}: run the model with names_filter=None")
    embed, *z = (cache[name] for name in wanted)
    axes = "batch pos head d_head, head d_head d_model -> head batch pos d_model"
    return torch.cat([embed[None], *(einsum(of_layer, W, axes) for of_layer, W in zip(z, W_O))])


def virtual_weights(
    W_O: Float[Tensor, "write d_head d_model"], W_in: Float[Tensor, "read d_model d_head"]
) -> Float[Tensor, "write read d_head d_head"]:
    """What each head of an earlier layer (write) sends to each head of a later one (read), skipping the stream.

    `W_in` is the later layer's W_Q, W_K or W_V. Raises ValueError if the two do not share d_model. The paper's
    W_I² W_O¹, transposed (Elhage et al. 2021, "Virtual Weights").
    """
    if W_O.shape[-1] != W_in.shape[-2]:
        raise ValueError(f"W_O writes {W_O.shape[-1]} dimensions and W_in reads {W_in.shape[-2]}: pass W_O, then W_in")
    return W_O[:, None] @ W_in


def principal_cosines(
    first: Float[Tensor, "*#batch d_model write"], second: Float[Tensor, "*#batch d_model read"]
) -> Float[Tensor, "... angle"]:
    """Cosines of the principal angles between the spaces that the columns of two matrices span, largest first.

    Raises ValueError if the columns are not independent. (Elhage et al. 2021, "Subspaces and Residual Stream
    Bandwidth", speaks of subspaces; the measure is Jordan's.)
    """
    if any((torch.linalg.matrix_rank(columns) < columns.shape[-1]).any() for columns in (first, second)):
        raise ValueError("the columns of a matrix are not independent: pass a basis, one column for each dimension")
    first, second = torch.linalg.qr(first).Q, torch.linalg.qr(second).Q
    return torch.linalg.svdvals(first.mT @ second).clamp(max=1.0)


def random_rotation(size: int, seed: int) -> Float[Tensor, "{size} {size}"]:
    """A random orthogonal matrix, every one equally likely, in float64: turns a model's axes, or is a baseline.

    The first columns are a basis of a random subspace. (Mirrors are among them; the signs make QR unique.)
    """
    noise = torch.randn(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    Q, upper = torch.linalg.qr(noise)
    return Q * upper.diagonal().sign()
