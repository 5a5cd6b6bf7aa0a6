"""Two features in one dimension: which strategy is best, in closed form, and what training finds, without sampling."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from walkthrough.beyond.superposition import reconstruct


def ignoring_loss(
    density: Float[Tensor, "*cell"], importance: Float[Tensor, "*cell"]
) -> Float[Tensor, "*cell"]:  # fmt: skip
    """The loss of writing one feature down perfectly and answering the mean for the other, whose importance this is.

    A feature's variance, density / 3 - density^2 / 4, times the importance of the ignored one.
    """
    return importance * (density / 3 - density**2 / 4)


def antipodal_loss(
    density: Float[Tensor, "*cell"], importance: Float[Tensor, "*cell"]
) -> Float[Tensor, "*cell"]:  # fmt: skip
    """The loss of directions +1 and -1 without a bias; the first feature has importance 1, the second this one.

    One feature alone comes out exactly. Where both are there, each is wrong by the smaller of the two, whose mean square is 1/6.
    """
    return (1 + importance) * density**2 / 6


def phase_boundary(importance: Float[Tensor, "*cell"]) -> Float[Tensor, "*cell"]:
    """The density below which an antipodal pair loses less than ignoring the lesser feature does.

    The first feature has importance 1, the second this one, above 0.
    """
    lesser = importance.clamp(max=1)
    return 4 * lesser / (2 * (1 + importance) + 3 * lesser)


def grid(n: int) -> Float[Tensor, "point feature"]:
    """Midpoints for integrals over two features: both absent, the first alone, the second alone, both."""
    t, nothing = (torch.arange(n) + 0.5) / n, torch.zeros(n)
    both = torch.cartesian_prod(t, t)
    first, second = torch.stack([t, nothing], 1), torch.stack([nothing, t], 1)
    return torch.cat([torch.zeros(1, 2), first, second, both])


def grid_weights(density: Float[Tensor, " cell"], n: int) -> Float[Tensor, "cell point"]:
    """The probability of each point of `grid`; a row sums to 1."""
    p = density[:, None]
    one, both = (p * (1 - p) / n).expand(-1, 2 * n), (p**2 / n**2).expand(-1, n**2)
    return torch.cat([(1 - p) ** 2, one, both], 1)


def expected_loss(
    W: Float[Tensor, "cell start feature 1"], b: Float[Tensor, "cell start feature"],
    density: Float[Tensor, " cell"], importance: Float[Tensor, " cell"], n: int = 8,
) -> Float[Tensor, "cell start"]:  # fmt: skip
    """The mean loss over all data, as an integral on a grid of n midpoints a feature instead of a sample."""
    x, probability = grid(n), grid_weights(density, n)
    error = (reconstruct(x, W, b) - x).square()
    weighted = error[..., 0] + importance[:, None, None] * error[..., 1]  # [cell start point]
    return (weighted * probability[:, None]).sum(-1)


def train_two(
    density: Float[Tensor, " cell"], importance: Float[Tensor, " cell"], *, starts: int = 10, steps: int = 400,
    lr: float = 0.03, seed: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """W, b and loss of the best of several starts for each pair of density and importance; exact gradients, no sampling.

    W is [cell feature], b [cell feature], the loss [cell], on a finer grid than that of the training.
    """
    generator = torch.Generator().manual_seed(seed)
    W = torch.randn(len(density), starts, 2, 1, generator=generator).requires_grad_()
    b = torch.zeros(len(density), starts, 2).requires_grad_()
    adam = torch.optim.Adam([W, b])
    for step in range(steps):
        adam.param_groups[0]["lr"] = lr * (1 + math.cos(math.pi * step / steps)) / 2
        adam.zero_grad()
        expected_loss(W, b, density, importance).sum().backward()
        adam.step()
    W, b = W.detach(), b.detach()
    loss = expected_loss(W, b, density, importance, n=40)
    best, cells = loss.argmin(1), torch.arange(len(density))
    return W[cells, best, :, 0], b[cells, best], loss[cells, best]
