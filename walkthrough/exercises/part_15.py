"""The exercises of notebook 15: toy models of superposition, and tokens as features."""

import torch
from torch import Tensor

from walkthrough.exercises.exercise import Exercise

# 15.1 what a linear model leaves


def importances() -> list[tuple]:
    """A density, importances in no order, and a number of dimensions."""
    return [
        (0.4, torch.tensor([0.3, 1.0, 0.5, 0.8, 0.2]), 2),
        (1.0, torch.tensor([0.9, 0.1, 0.6]), 1),
        (0.05, torch.tensor([0.2, 0.7, 0.4, 1.3]), 3),
    ]


def slow_floor(density: float, importance: Tensor, n_dims: int) -> Tensor:
    """The variance from the two moments, by a sum over many sizes; and the least important features one by one."""
    sizes = (torch.arange(100_000).double() + 0.5) / 100_000
    mean, square = density * sizes.mean(), density * sizes.square().mean()
    left = sorted(importance.tolist())[: len(importance) - n_dims]
    return torch.tensor(sum(weight * float(square - mean**2) for weight in left))


def floor(variance: float, importance: Tensor, n_dims: int) -> Tensor:
    """The formula, for any variance."""
    return variance * importance.sort(descending=True).values[n_dims:].sum()


def spread(p: float) -> float:
    """The variance of a feature."""
    return p / 3 - p**2 / 4


FLOOR_MISTAKES = {
    "the importances are not in order: sort them first, the largest in front":
        lambda p, i, m: spread(p) * i[m:].sum(),
    "those are the features that a linear model keeps: what it loses are the OTHERS":
        lambda p, i, m: floor(spread(p), i, 0) - floor(spread(p), i, m),
    "the least important features were kept, and the most important ones lost":
        lambda p, i, m: spread(p) * i.sort().values[m:].sum(),
    "that is the mean square of a feature: the bias answers its mean, so take the square of the mean away":
        lambda p, i, m: floor(p / 3, i, m),
    "that is the variance of a feature that is there: it is 0 with probability 1 - density, which changes both moments":
        lambda p, i, m: floor(1 / 12, i, m),
    "that is density / 12: the mean is density / 2, so its square, density^2 / 4, is what to take from the mean square":
        lambda p, i, m: floor(p / 12, i, m),
    "that is the standard deviation: the loss is made of squares":
        lambda p, i, m: floor(spread(p) ** 0.5, i, m),
    "the loss is a sum over features, not a mean":
        lambda p, i, m: floor(spread(p), i, m) / len(i),
    "that is the mean over the lost features: the loss is their sum":
        lambda p, i, m: floor(spread(p), i, m) / (len(i) - m),
    "the importances are missing: each lost feature counts by its own":
        lambda p, i, m: spread(p) * (len(i) - m),
}  # fmt: skip


# 15.2 the boundary between two phases


def second_importances() -> list[tuple]:
    """Below 1, at 1, and above 1."""
    return [(torch.tensor([0.1, 0.4, 1.0, 2.0, 7.0], dtype=torch.float64),)]


def crossing(importance: Tensor, ignoring, pairing) -> Tensor:
    """Where two losses cross, by bisection: below it, the second is smaller."""
    low, high = torch.full_like(importance, 1e-9), torch.full_like(importance, 20.0)
    for _ in range(80):
        middle = (low + high) / 2
        below = pairing(middle, importance) < ignoring(middle, importance)
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return low


def ignoring(p: Tensor, r: Tensor) -> Tensor:
    """The loss of the better of the two features alone."""
    return torch.minimum(r, torch.ones_like(r)) * (p / 3 - p**2 / 4)


def pairing(p: Tensor, r: Tensor) -> Tensor:
    """The loss of an antipodal pair."""
    return (1 + r) * p**2 / 6


BOUNDARY_MISTAKES = {
    "right for importances below 1: above 1 it is the first feature, of importance 1, that is ignored":
        lambda r: 4 * r / (2 + 5 * r),
    "right for importances above 1: below 1 it is the second feature that is ignored":
        lambda r: 4 / (2 * r + 5),
    "the GREATER importance was ignored: the best model gives up the lesser one":
        lambda r: 4 * r.clamp(min=1) / (2 * (1 + r) + 3 * r.clamp(min=1)),
    "an ignored feature costs its variance, density / 3 - density^2 / 4: the bias answers its mean":
        lambda r: 2 * r.clamp(max=1) / (1 + r),
    "in an antipodal pair both features are wrong where both are there: their importances are 1 and r, together 1 + r":
        lambda r: 4 * r.clamp(max=1) / (2 * r + 3 * r.clamp(max=1)),
    "both are there with probability density^2, not density":
        lambda r: (4 - 2 * (1 + r) / r.clamp(max=1)) / 3,
    "the mean square of the smaller of two uniform numbers is 1/6: 1/3 is that of one":
        lambda r: 4 * r.clamp(max=1) / (4 * (1 + r) + 3 * r.clamp(max=1)),
    "the mean square of the smaller of two uniform numbers is 1/6: 1/9 is the square of its mean":
        lambda r: 12 * r.clamp(max=1) / (4 * (1 + r) + 9 * r.clamp(max=1)),
    "that is one over the density: the boundary itself is asked for":
        lambda r: (2 * (1 + r) + 3 * r.clamp(max=1)) / (4 * r.clamp(max=1)),
    "that is the sparsity, 1 - density: the density is asked for":
        lambda r: 1 - 4 * r.clamp(max=1) / (2 * (1 + r) + 3 * r.clamp(max=1)),
}  # fmt: skip


# 15.3 dimensionality


def directions() -> list[tuple]:
    """Directions of several lengths, of more features than dimensions."""
    generator = torch.Generator().manual_seed(0)
    wide = torch.randn(7, 3, generator=generator) * torch.linspace(0.3, 1.6, 7)[:, None]
    pair = torch.tensor([[2.0, 0.0], [-1.0, 0.0], [0.0, 0.5]])
    return [(wide,), (pair,)]


def slow_dimensionality(W: Tensor) -> Tensor:
    """Feature by feature, and by pairs."""
    found = []
    for w in W.double():
        unit = w / w.norm()
        along = sum(float(unit @ other) ** 2 for other in W.double())
        found.append(float(w @ w) / along)
    return torch.tensor(found)


def unit(W: Tensor) -> Tensor:
    """Rows of length 1."""
    return W / W.norm(dim=1, keepdim=True)


DIMENSIONALITY_MISTAKES = {
    "the length of the feature went wrong: its SQUARED length stands above, and the direction below has length 1":
        lambda W: W.square().sum(1) / (W @ W.T).square().sum(1),
    "all features were brought to length 1: only the direction along which one measures is":
        lambda W: 1 / (unit(W) @ unit(W).T).square().sum(1),
    "the length in the numerator must be squared":
        lambda W: W.norm(dim=1) / (unit(W) @ W.T).square().sum(1),
    "the sum over features counts the feature itself, too: without it, a feature alone would have infinitely much":
        lambda W: W.square().sum(1) / ((unit(W) @ W.T).square().sum(1) - W.square().sum(1)),
    "what the others write must be squared before it is summed: opposite signs would cancel":
        lambda W: W.square().sum(1) / (unit(W) @ W.T).sum(1).square(),
    "absolute values were summed, where squares are asked for":
        lambda W: W.square().sum(1) / (unit(W) @ W.T).abs().sum(1),
    "turned over: that is how many features share the dimension of each":
        lambda W: (unit(W) @ W.T).square().sum(1) / W.square().sum(1),
    "that is the share of the columns: features are the ROWS of W":
        lambda W: W.square().sum(0) / (W.T @ unit(W.T).T).square().sum(0),
}  # fmt: skip


# 15.4 the worst nudge


def nudged() -> list[tuple]:
    """Directions, which feature, and how far."""
    (wide,), (pair,) = directions()
    return [(wide, 2, 0.1), (wide, 5, 0.7), (pair, 1, 0.2)]


def slow_nudge(W: Tensor, feature: int, size: float) -> Tensor:
    """By autograd: uphill for the number that is read back for the feature."""
    with torch.enable_grad():
        x = torch.zeros(len(W), dtype=torch.float64, requires_grad=True)
        read = x @ W.double() @ W[feature].double()
        (uphill,) = torch.autograd.grad(read, x)
    return size * uphill / uphill.norm()


def only(W: Tensor, feature: int, size: float) -> Tensor:
    """The feature itself, made larger."""
    nudge = torch.zeros(len(W))
    nudge[feature] = size
    return nudge


def others(W: Tensor, feature: int) -> Tensor:
    """What all other features write where this one is read."""
    overlap = W @ W[feature]
    overlap[feature] = 0
    return overlap


NUDGE_MISTAKES = {
    "that is the feature itself, made larger: the other features write there, too":
        only,
    "the nudge must be as long as asked: divide it by its length":
        lambda W, j, s: s * (W @ W[j]),
    "the nudge has length 1: multiply it by the size that is asked for":
        lambda W, j, s: W @ W[j] / (W @ W[j]).norm(),
    "the feature itself belongs to the nudge as well":
        lambda W, j, s: s * others(W, j) / others(W, j).norm(),
    "that lowers the feature most: the sign is flipped":
        lambda W, j, s: -s * (W @ W[j]) / (W @ W[j]).norm(),
    "that is a direction in the few dimensions: the nudge is given to the features, one number for each":
        lambda W, j, s: s * W[j] / W[j].norm(),
    "each part has the size that is asked for: it is the whole nudge that should be so long":
        lambda W, j, s: s * (W @ W[j]).sign(),
    "the parts must not be divided by the lengths of the features: a longer direction is a better lever":
        lambda W, j, s: s * (unit(W) @ W[j]) / (unit(W) @ W[j]).norm(),
}  # fmt: skip


# 15.5 interference between all pairs


def slow_rms(W: Tensor) -> Tensor:
    """Pair by pair."""
    squares = [float(torch.cosine_similarity(a, b, dim=0)) ** 2
               for i, a in enumerate(W.double()) for j, b in enumerate(W.double()) if i != j]  # fmt: skip
    return torch.tensor(sum(squares) / len(squares)).sqrt()


def cosines(W: Tensor) -> Tensor:
    """Between all rows."""
    return unit(W) @ unit(W).T


def mean_of(table: Tensor) -> Tensor:
    """The mean of a square table without its diagonal."""
    n = len(table)
    return (table.sum() - table.diagonal().sum()) / (n * (n - 1))


RMS_MISTAKES = {
    "each row has a cosine of 1 with itself: leave the diagonal out":
        lambda W: cosines(W).square().mean().sqrt(),
    "the diagonal is set to zero, but still counted: there are n (n - 1) pairs, not n^2":
        lambda W: (mean_of(cosines(W).square()) * (len(W) - 1) / len(W)).sqrt(),
    "that is the mean square: its root is missing":
        lambda W: mean_of(cosines(W).square()),
    "that is the mean absolute cosine: square before you take the mean":
        lambda W: mean_of(cosines(W).abs()),
    "that is the mean cosine, in which opposite signs cancel":
        lambda W: mean_of(cosines(W)),
    "those are dot products: bring the rows to length 1 first":
        lambda W: mean_of((W @ W.T).square()).sqrt(),
    "that is between columns: features are the rows":
        lambda W: mean_of(cosines(W.T).square()).sqrt(),
}  # fmt: skip


EXERCISES: dict[str, Exercise] = {
    "15.1": Exercise(importances, slow_floor, FLOOR_MISTAKES),
    "15.2": Exercise(second_importances, lambda r: crossing(r, ignoring, pairing), BOUNDARY_MISTAKES),
    "15.3": Exercise(directions, slow_dimensionality, DIMENSIONALITY_MISTAKES),
    "15.4": Exercise(nudged, slow_nudge, NUDGE_MISTAKES),
    "15.5": Exercise(directions, slow_rms, RMS_MISTAKES),
}
