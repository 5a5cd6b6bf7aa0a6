"""Toy models of superposition: more features than dimensions (Elhage et al. 2022, "Toy Models of Superposition").

A feature is a number that is mostly 0. A model writes n of them into m dimensions, a direction (row of W) for each, and
reads them again by the same directions, a bias, and a ReLU. Models of one shape are trained side by side, in a batch.
"""

import math
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

SPARSITY_RUN = Path(__file__).parent.parent / "weights" / "superposition.safetensors"


def reconstruct(
    x: Float[Tensor, "*#model batch feature"],
    W: Float[Tensor, "*#model feature dim"],
    b: Float[Tensor, "*#model feature"],
) -> Float[Tensor, "*#model batch feature"]:
    """What a toy model makes of features: down into few dimensions, up again, and a ReLU.

    Row i of W is the direction of feature i (Elhage et al. 2022: ReLU(W^T W x + b), for columns).
    """
    h = x @ W  # [batch dim]
    return torch.relu(h @ W.mT + b[..., None, :])


def sparse_features(
    u: Float[Tensor, "batch feature"], density: Float[Tensor, " model"]
) -> Float[Tensor, "model batch feature"]:
    """Features that are 0 with probability 1 - density, else uniform between 0 and 1.

    One draw `u` of uniform numbers serves models of any density: the lowest ones become 0, and the rest is stretched.
    """
    zero = 1 - density[:, None, None]
    return ((u - zero) / density[:, None, None]).clamp(min=0)


def weighted_loss(
    x: Float[Tensor, "*model batch feature"],
    out: Float[Tensor, "*model batch feature"],
    importance: Float[Tensor, " feature"],
) -> Float[Tensor, "*model"]:
    """Squared error, each feature's times its importance, summed over features; the mean over the batch."""
    return (importance * (out - x).square()).sum(-1).mean(-1)


def dimensionality(W: Float[Tensor, "*model feature dim"]) -> Float[Tensor, "*model feature"]:
    """How much of a dimension each feature has for itself, from 0 to 1; 0 where its direction is 0.

    Rows of W are the directions. Over all features it sums to at most the rank of W (Elhage et al.
    2022: D_i).
    """
    lengths = W.norm(dim=-1)
    unit = W / lengths.clamp_min(1e-30)[..., None]
    along = (unit @ (W.mT @ W) * unit).sum(-1)  # the sum over j of (unit_i . W_j)^2
    return lengths.square() / along.clamp_min(1e-30)


def worst_nudge(W: Float[Tensor, "feature dim"], feature: int, size: float) -> Float[Tensor, " feature"]:
    """The change of all features, of this length together, that most raises what is read back.

    One number for each feature; as long as the ReLU is open, no other change of this length raises
    it more.
    """
    overlap = W @ W[feature]
    return size * overlap / overlap.norm()


def dimensions_per_feature(W: Float[Tensor, "*model feature dim"]) -> Float[Tensor, "*model"]:
    """Dimensions over the number of represented features, counted as the sum of squared lengths: D*."""
    return W.shape[-1] / W.square().sum((-1, -2))


def groups(W: Float[Tensor, "feature dim"], linked: float = 0.1) -> list[list[int]]:
    """Which features share dimensions: sets of them, chained together by cosines beyond `linked` in size."""
    unit = W / W.norm(dim=1, keepdim=True)
    near = (unit @ unit.T).abs() > linked
    left, found = set(range(len(W))), []
    while left:
        group, reached = set(), {min(left)}
        while reached:
            group |= reached
            reached = set(near[sorted(reached)].any(0).nonzero().flatten().tolist()) - group
        found.append(sorted(group))
        left -= group
    return found


def linear_floor(density: float, importance: Float[Tensor, " feature"], n_dims: int) -> Float[Tensor, ""]:
    """The least loss of a model without ReLU on independent features: what PCA leaves.

    The variance of one feature, times the importances of all but the `n_dims` most important ones.
    """
    variance = density / 3 - density**2 / 4
    return variance * importance.sort(descending=True).values[n_dims:].sum()


def gradients(
    x: Float[Tensor, "model batch feature"],
    W: Float[Tensor, "model feature dim"],
    b: Float[Tensor, "model feature"],
    importance: Float[Tensor, " feature"],
    linear: bool = False,
) -> tuple[Tensor, Tensor]:
    """Of `weighted_loss`, with respect to W and b; written out, which is three times as fast as autograd here."""
    h = x @ W
    up = torch.baddbmm(b[:, None], h, W.mT)
    error = (up if linear else up.relu()) - x
    error *= 2 / x.shape[1] * importance
    if not linear:
        error.masked_fill_(up <= 0, 0)  # the ReLU passes nothing back where it is shut
    return x.mT @ (error @ W) + error.mT @ h, error.sum(1)


def train(
    data: Callable[[torch.Generator], Float[Tensor, "model batch feature"]],
    n_dims: int,
    importance: Float[Tensor, " feature"],
    *,
    steps: int = 1000,
    lr: float = 0.02,
    seed: int = 0,
    linear: bool = False,
) -> tuple[Float[Tensor, "model feature dim"], Float[Tensor, "model feature"]]:
    """W and b of models trained side by side with Adam; `data` draws a batch for each of them from a generator.

    The learning rate rises over 50 steps and then falls along a cosine to 0. Denormal numbers are set to 0 meanwhile.
    """
    generator = torch.Generator().manual_seed(seed)
    n_models, _, n_features = data(generator).shape
    W = torch.randn(n_models, n_features, n_dims, generator=generator) / (2 * n_dims**0.5)
    b = torch.zeros(n_models, n_features)
    adam = torch.optim.Adam([W, b], fused=True)
    torch.set_flush_denormal(True)
    for step in range(steps):
        W.grad, b.grad = gradients(data(generator), W, b, importance, linear)
        rate = lr * min(1, (step + 1) / 50) * (1 + math.cos(math.pi * step / steps)) / 2
        adam.param_groups[0]["lr"] = rate
        adam.step()
    torch.set_flush_denormal(False)
    return W, b


def sparsity_sweep(
    n_features: int, density: Float[Tensor, " model"], batch: int = 256
) -> Callable[[torch.Generator], Float[Tensor, "model batch feature"]]:
    """What `train` draws from, for one model at each density; all see the same draw."""
    return lambda generator: sparse_features(torch.rand(batch, n_features, generator=generator), density)


def pairs(
    kind: str, n_models: int, n_pairs: int, density: float, batch: int = 256
) -> Callable[[torch.Generator], Float[Tensor, "model batch feature"]]:
    """What `train` draws from, for features in pairs: 0 with 1, 2 with 3, …; each feature has the given density.

    "correlated": both of a pair are there or neither. "anticorrelated": never both, so the density is at most 1/2.
    "independent": each for itself. Their sizes are independent in any case.
    """
    if kind not in ("correlated", "anticorrelated", "independent"):
        raise ValueError(f"{kind!r} is no kind of pair")

    def draw(generator: torch.Generator) -> Float[Tensor, "model batch feature"]:
        """A batch for each model."""
        sizes = torch.rand(n_models, batch, n_pairs, 2, generator=generator)
        u, v = torch.rand(2, n_models, batch, n_pairs, generator=generator)
        first = u < density
        second = {
            "correlated": first,
            "anticorrelated": (u >= density) & (u < 2 * density),
            "independent": v < density,
        }[kind]
        return (sizes * torch.stack([first, second], -1)).flatten(2)

    return draw


def load_sparsity_run() -> tuple[Float[Tensor, " model"], Float[Tensor, "model feature dim"]]:
    """The shipped run, in order of density: the density and W of models of 400 features in 30 dimensions.

    All importances are 1. It is what `train(sparsity_sweep(400, density), 30, torch.ones(400), steps=6000)` gives, rounded to
    16 bits: a few minutes on one core.
    """
    stored = load_file(SPARSITY_RUN)
    return stored["density"], stored["W"].float()
