"""The exercises of notebook 16."""

import math

import torch
from torch import Tensor

from walkthrough.exercises.exercise import Exercise
from walkthrough.exercises.shifting import SHIFT_MISTAKES, SUM_MISTAKES, grids, slow_shift, slow_sum, stacks

# 16.3 reading a filter bank


def banks() -> list[tuple]:
    """Filters without symmetry, of odd size."""
    return [(torch.randn(n, size, size, generator=torch.Generator().manual_seed(n)),) for n, size in ((4, 5), (3, 7))]


def slow_direction(filters: Tensor) -> Tensor:
    """Weight by weight: a push from the middle of the filter to its place."""
    middle = (filters.shape[-1] - 1) / 2
    angles = []
    for weights in filters:
        right = sum(weights[y, x] * (x - middle) for y in range(len(weights)) for x in range(len(weights)))
        down = sum(weights[y, x] * (y - middle) for y in range(len(weights)) for x in range(len(weights)))
        angles.append(math.atan2(down, right))
    return torch.tensor(angles)


def turned(filters: Tensor, how: str) -> Tensor:
    """The direction with one of the classic slips."""
    angle = slow_direction(filters)
    flips = {"up": -angle, "swapped": math.pi / 2 - angle, "opposite": angle + math.pi}
    other = flips[how]
    return torch.atan2(other.sin(), other.cos())


def from_corner(filters: Tensor, first: int) -> Tensor:
    """Places counted from the corner, so that the mean weight pulls down and to the right."""
    place = torch.arange(filters.shape[-1]) + float(first)
    return torch.atan2((filters.sum(2) * place).sum(-1), (filters.sum(1) * place).sum(-1))


def of_sizes(filters: Tensor) -> Tensor:
    """The same of the weights' sizes, as if a negative weight wanted ink."""
    return slow_direction(filters.abs())


DIRECTION_MISTAKES = {
    "rows and columns are exchanged: the first axis of a filter goes down, the second to the right":
        lambda f: turned(f, "swapped"),
    "up and down are exchanged: row 0 is the upper one, and pi / 2 is below":
        lambda f: turned(f, "up"),
    "the opposite direction: towards where the weights are low":
        lambda f: turned(f, "opposite"),
    "places are counted from the corner: count them from the middle, so that the middle has 0":
        lambda f: from_corner(f, 0),
    "places are counted from the corner, from 1 on: count them from the middle, so that the middle has 0":
        lambda f: from_corner(f, 1),
    "the sizes of the weights were taken: a negative weight pushes away from its place":
        of_sizes,
    "the angles are right, but in degrees: radians are asked for":
        lambda f: slow_direction(f) * 180 / math.pi,
    "the angles are right, but from 0 to 2 pi: give them as torch.atan2 does, from -pi to pi":
        lambda f: slow_direction(f) % (2 * math.pi),
    "that is atan of a quotient, which cannot tell a direction from its opposite: use torch.atan2(down, right)":
        lambda f: torch.atan(slow_direction(f).tan()),
}  # fmt: skip


# 16.4 the share of a plane


def clouds() -> list[tuple]:
    """Answers of several units to a stimulus as it is turned, not centred, no plane holding all of them."""
    cases = []
    for seed, (n_angles, n_units) in enumerate(((8, 4), (6, 9))):
        generator = torch.Generator().manual_seed(seed)
        angle = 2 * math.pi * torch.arange(n_angles) / n_angles
        circle = torch.stack([angle.cos(), angle.sin()], -1) @ torch.randn(2, n_units, generator=generator)
        noise = 0.4 * torch.randn(n_angles, n_units, generator=generator)
        cases.append((circle + noise + 3 * torch.rand(n_units, generator=generator),))
    return cases


def slow_share(vectors: Tensor) -> float:
    """The two largest eigenvalues of the covariance, over the sum of all."""
    mean = sum(vectors) / len(vectors)
    centred = torch.stack([row - mean for row in vectors]).double()
    values = torch.linalg.eigvalsh(centred.T @ centred).sort(descending=True).values
    return float((values[0] + values[1]) / values.sum())


def share_of(vectors: Tensor, power: int = 2, n: int = 2) -> float:
    """The share of the first n singular values, to this power."""
    sizes = torch.linalg.svdvals(vectors.double()) ** power
    return float(sizes[:n].sum() / sizes.sum())


SHARE_MISTAKES = {
    "not centred: take away the mean over the angles first, or the mean itself is the first direction":
        share_of,
    "the mean over units was taken away: take that over the angles, which is one vector":
        lambda v: share_of(v - v.mean(1, keepdim=True)),
    "singular values were not squared: a variance is a square":
        lambda v: share_of(v - v.mean(0), power=1),
    "that is the share of one direction: a plane has two":
        lambda v: share_of(v - v.mean(0), n=1),
    "that is the share of three directions: a plane has two":
        lambda v: share_of(v - v.mean(0), n=3),
    "that is what lies outside the plane: the share inside is asked for":
        lambda v: 1 - slow_share(v),
    "squared once more: a singular value squared is a variance, a singular value of the covariance is one already":
        lambda v: share_of(v - v.mean(0), power=4),
}  # fmt: skip


# 16.5 the inputs that drive a unit most


def driven() -> list[tuple]:
    """What units say to inputs, partly negative, the inputs' categories, and how many are looked at."""
    cases = []
    for seed, (n_units, n_inputs, n_kinds, k) in enumerate(((3, 30, 4, 6), (5, 24, 3, 9))):
        generator = torch.Generator().manual_seed(seed)
        kinds = torch.randint(n_kinds, (n_inputs,), generator=generator)
        kinds[:n_kinds] = torch.arange(n_kinds)
        cases.append((torch.randn(n_units, n_inputs, generator=generator), kinds, k))
    return cases


def slow_counts(activation: Tensor, category: Tensor, k: int) -> Tensor:
    """Unit by unit: the inputs in order, and one more for the category of each of the first k."""
    table = torch.zeros(len(activation), int(category.max()) + 1)
    for unit, row in enumerate(activation):
        for i in sorted(range(len(row)), key=lambda n: -row[n])[:k]:
            table[unit, category[i]] += 1
    return table


COUNT_MISTAKES = {
    "those are the inputs that drive a unit least: take the largest activations":
        lambda a, c, k: slow_counts(-a, c, k),
    "the sizes of the activations were taken: a negative one does not drive the unit":
        lambda a, c, k: slow_counts(a.abs(), c, k),
    "those are shares: counts are asked for, which add up to k":
        lambda a, c, k: slow_counts(a, c, k) / k,
    "divided by the size of each category: plain counts are asked for":
        lambda a, c, k: slow_counts(a, c, k) / c.bincount(),
    "all inputs were counted: only the k that drive the unit most are asked for":
        lambda a, c, k: slow_counts(a, c, a.shape[1]),
    "one input too few: take k":
        lambda a, c, k: slow_counts(a, c, k - 1),
    "that sums the activations: count the inputs":
        lambda a, c, k: torch.stack([a.topk(k).values.mul(c[a.topk(k).indices] == n).sum(-1)
                                     for n in range(int(c.max()) + 1)], -1),
    "those are the categories themselves: count how often each occurs":
        lambda a, c, k: c[a.topk(k).indices],
}  # fmt: skip


EXERCISES: dict[str, Exercise] = {
    "16.1": Exercise(grids, slow_shift, SHIFT_MISTAKES),
    "16.2": Exercise(stacks, slow_sum, SUM_MISTAKES),
    "16.3": Exercise(banks, slow_direction, DIRECTION_MISTAKES),
    "16.4": Exercise(clouds, slow_share, SHARE_MISTAKES),
    "16.5": Exercise(driven, slow_counts, COUNT_MISTAKES),
}
