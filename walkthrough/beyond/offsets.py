"""A convolution as a sum over offsets, in the form in which an attention layer is a sum over heads."""

import torch
from jaxtyping import Float
from torch import Tensor


def shift_pattern(height: int, width: int, down: int, right: int) -> Float[Tensor, "out_pos in_pos"]:
    """Where each pixel looks that reads the pixel so many places below it and to its right.

    A 1 there, else 0. Pixels are counted row by row. A pixel whose target lies outside looks
    nowhere: its row is zero.
    """
    pattern = torch.zeros(height * width, height * width)
    for y in range(height):
        for x in range(width):
            inside = 0 <= y + down < height and 0 <= x + right < width
            if inside:
                pattern[y * width + x, (y + down) * width + (x + right)] = 1
    return pattern


def offset_patterns(height: int, width: int, size: int) -> Float[Tensor, "offset out_pos in_pos"]:
    """The patterns of all offsets of a square kernel of odd size, row by row from its upper left corner."""
    reach = range(-(size // 2), size // 2 + 1)
    return torch.stack([shift_pattern(height, width, down, right) for down in reach for right in reach])


def by_offset(weight: Float[Tensor, "out in height width"]) -> Float[Tensor, "offset in out"]:
    """A convolution's weights as one matrix for each offset, for row vectors: what a pixel says there, to what is made of it."""
    return weight.permute(2, 3, 1, 0).flatten(0, 1)


def sum_over_offsets(
    x: Float[Tensor, "pos in"],
    patterns: Float[Tensor, "offset out_pos pos"],
    W: Float[Tensor, "offset in out"],
) -> Float[Tensor, "out_pos out"]:
    """The sum of A x W over offsets: a convolution, if the patterns are shifts.

    With heads in place of offsets it is an attention layer (Elhage et al. 2021, who write it as a
    sum of A ⊗ W).
    """
    total = 0
    for pattern, W_offset in zip(patterns, W):
        total = total + pattern @ x @ W_offset
    return total
