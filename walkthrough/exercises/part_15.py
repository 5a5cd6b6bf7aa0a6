"""The exercises of notebook 15."""

import math

import torch
from torch import Tensor

from walkthrough.exercises.exercise import Exercise

# 15.1 the pattern of an offset


def grids() -> list[tuple]:
    """Height, width, and how far below and to the right: grids that are not square, offsets without symmetry."""
    return [(3, 4, 1, 0), (4, 3, 0, -1), (4, 5, -1, 2), (2, 3, 0, 0), (3, 5, 2, 1)]


def slow_shift(height: int, width: int, down: int, right: int) -> Tensor:
    """Each pair of pixels: does the second lie at this offset from the first?"""
    places = [(y, x) for y in range(height) for x in range(width)]
    return torch.tensor([[float((b[0] - a[0], b[1] - a[1]) == (down, right)) for b in places] for a in places])


def by_index(height: int, width: int, step: int) -> Tensor:
    """A shift of the flat list of pixels, which runs over the ends of rows."""
    n = height * width
    return torch.eye(n).roll(step, 1) if abs(step) >= n else torch.diag(torch.ones(n - abs(step)), step)


def wrapped(height: int, width: int, down: int, right: int) -> Tensor:
    """What leaves on one side comes in on the other."""
    places = torch.arange(height * width).view(height, width)
    target = places.roll((-down, -right), (0, 1)).flatten()
    return torch.eye(height * width)[target]


SHIFT_MISTAKES = {
    "a pixel at the end of a row reads the next row's first one: whether it lies inside has to be asked of y and of x":
        lambda h, w, d, r: by_index(h, w, d * w + r),
    "what leaves on one side comes in on the other: outside there is nothing, so the row of such a pixel is zero":
        wrapped,
    "pixels are counted column by column: count them row by row, as y * width + x":
        lambda h, w, d, r: slow_shift(h, w, d, r).view(h, w, h, w).permute(1, 0, 3, 2).reshape(h * w, h * w),
    "down and right are exchanged: `down` is added to y":
        lambda h, w, d, r: slow_shift(h, w, r, d),
    "that looks in the opposite direction, or rows and columns are exchanged: a row is the pixel that looks":
        lambda h, w, d, r: slow_shift(h, w, -d, -r),
    "a pixel is its number y * width + x, not y * height + x":
        lambda h, w, d, r: mixed_up(h, w, d, r),
}  # fmt: skip


def mixed_up(height: int, width: int, down: int, right: int) -> Tensor:
    """The flat number made with the height in place of the width."""
    pattern = torch.zeros(height * width, height * width)
    for y in range(height):
        for x in range(width):
            if 0 <= y + down < height and 0 <= x + right < width:
                row, column = y * height + x, (y + down) * height + x + right
                if max(row, column) < height * width:
                    pattern[row, column] = 1
    return pattern


# 15.2 a sum over offsets


def stacks() -> list[tuple]:
    """What stands at some positions, patterns without symmetry, and a matrix for each, not square."""
    cases = []
    for seed, (n_pos, n_offsets, d_in, d_out) in enumerate(((5, 3, 4, 2), (6, 4, 3, 5))):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(n_pos, d_in, generator=generator)
        patterns = torch.rand(n_offsets, n_pos, n_pos, generator=generator)
        cases.append((x, patterns, torch.randn(n_offsets, d_in, d_out, generator=generator)))
    return cases


def slow_sum(x: Tensor, patterns: Tensor, W: Tensor) -> Tensor:
    """One offset, one pixel that looks and one that is looked at, at a time."""
    total = torch.zeros(patterns.shape[1], W.shape[-1])
    for n in range(len(W)):
        for query in range(patterns.shape[1]):
            for key in range(len(x)):
                total[query] += patterns[n, query, key] * (x[key] @ W[n])
    return total


SUM_MISTAKES = {
    "the patterns are transposed: a row is the pixel that looks, so it is pattern @ x":
        lambda x, a, w: slow_sum(x, a.mT, w),
    "that is the mean over offsets: their sum is asked for":
        lambda x, a, w: slow_sum(x, a, w) / len(w),
    "the patterns were added up first: each offset has its own matrix, so sum last":
        lambda x, a, w: a.sum(0) @ x @ w.sum(0),
    "the patterns are missing: nothing is moved":
        lambda x, a, w: x @ w.sum(0),
    "only the last offset is there: add to the total in each round":
        lambda x, a, w: a[-1] @ x @ w[-1],
    "one table for each offset, where their sum is asked for":
        lambda x, a, w: a @ x @ w,
    "what stands at the pixel itself is added: a convolution has no residual stream":
        lambda x, a, w: slow_sum(x, a, w) + (x if x.shape[1] == w.shape[2] else x.mean(1, keepdim=True)),
}  # fmt: skip


# 15.3 reading a filter bank


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


# 15.4 the share of a plane


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


# 15.5 the inputs that drive a unit most


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
    "15.1": Exercise(grids, slow_shift, SHIFT_MISTAKES),
    "15.2": Exercise(stacks, slow_sum, SUM_MISTAKES),
    "15.3": Exercise(banks, slow_direction, DIRECTION_MISTAKES),
    "15.4": Exercise(clouds, slow_share, SHARE_MISTAKES),
    "15.5": Exercise(driven, slow_counts, COUNT_MISTAKES),
}
