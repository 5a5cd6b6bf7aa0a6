"""The exercises of notebook 04."""

import math

import torch
from torch import Tensor

from walkthrough.exercises.exercise import Exercise
from walkthrough.exercises.expanding import GROWING, expanded, small_models
from walkthrough.exercises.scoring import RISE_MISTAKES, SCORE_MISTAKES, log_probs, slow_rise, slow_score, triples
from walkthrough.exercises.tables import (
    CENTRED_MISTAKES,
    LOST,
    OV_MISTAKES,
    QK_MISTAKES,
    heads_of_a_model,
    ov_circuits,
    slow_centred,
    slow_ov,
    slow_qk,
)

# 4.7 positions shifted by a matrix


def shifts() -> list[tuple]:
    """Frequencies in radians a token, all different, and how far to shift."""
    return [(torch.tensor([1.9, 0.7, 0.2]), 3), (torch.tensor([2.5, 1.1]), 1)]


def slow_shift(frequency: Tensor, offset: int) -> Tensor:
    """Least squares between a table of positions and the same table moved."""
    angle = torch.arange(60)[:, None] * frequency.double()
    W_pos = torch.stack([angle.sin(), angle.cos()], -1).flatten(1)
    return torch.linalg.lstsq(W_pos[offset:], W_pos[:-offset]).solution


def rotation(frequency: Tensor, offset: int | float) -> Tensor:
    """Each (sine, cosine) pair turned back by offset times its frequency."""
    blocks = [torch.tensor([[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]]) for a in frequency * offset]
    return torch.block_diag(*blocks)


def in_halves(frequency: Tensor, offset: int) -> Tensor:
    """The same for a layout with all sines first."""
    order = torch.arange(2 * len(frequency)).view(-1, 2).T.flatten()
    return rotation(frequency, offset)[order][:, order]


def mirrored(frequency: Tensor, offset: int) -> Tensor:
    """The same with all entries off the diagonal positive."""
    R = rotation(frequency, offset)
    diagonal = R.diagonal().diag()
    return diagonal + (R - diagonal).abs()


SHIFT_MISTAKES = {
    "the wrong way: that makes pos + offset. Is R transposed, or the sign of one sine wrong?":
        lambda f, k: rotation(f, -k),
    "that shifts by one token, whatever the offset": lambda f, k: rotation(f, 1),
    "the angle is frequency times offset, not frequency over offset": lambda f, k: rotation(f, 1 / k),
    "the angle is the frequency times the offset: yours has only the offset":
        lambda f, k: rotation(torch.ones_like(f), k),
    "sines and cosines alternate: column 2i is a sine, column 2i + 1 its cosine": in_halves,
    "both sines have the same sign: then R is a mirror or a stretch, not a rotation": mirrored,
    "the sines are missing: R must mix each sine with its cosine": lambda f, k: rotation(f, k).diagonal().diag(),
}  # fmt: skip


EXERCISES: dict[str, Exercise] = {
    "4.1": Exercise(small_models, judge=expanded, crashes={"dictionary changed size": GROWING}),
    "4.2": Exercise(heads_of_a_model, slow_qk, QK_MISTAKES),
    "4.3": Exercise(heads_of_a_model, slow_ov, OV_MISTAKES),
    "4.4": Exercise(ov_circuits, slow_centred, CENTRED_MISTAKES, crashes={"must match the size of tensor b": LOST}),
    "4.5": Exercise(triples, slow_score, SCORE_MISTAKES),
    "4.6": Exercise(log_probs, slow_rise, RISE_MISTAKES),
    "4.7": Exercise(shifts, slow_shift, SHIFT_MISTAKES),
}
