"""Exercises 16.1 and 16.2: the pattern of an offset, and a sum over offsets."""

import torch
from torch import Tensor

# 16.1 the pattern of an offset


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


# 16.2 a sum over offsets


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
