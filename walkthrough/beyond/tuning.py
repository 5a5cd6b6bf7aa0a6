"""Stimuli that are turned step by step, and what can be said of a unit's answers to them."""

import copy
import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from walkthrough.beyond.vision import LetterReader

FIELD = 40  # pixels of a stimulus' side: larger than a letter, so that its border can be left out
FINE = 4  # a stimulus is drawn on a grid so many times finer, and averaged


def _coordinates() -> tuple[Tensor, Tensor]:
    """How far below and to the right of the middle each point of the fine grid lies, in pixels."""
    along = (torch.arange(FIELD * FINE) + 0.5) / FINE - FIELD / 2
    return along[:, None], along[None]


def edges(angles: Float[Tensor, " angle"]) -> Float[Tensor, "angle 1 y x"]:
    """Half paper, half ink; `angles` (radians) is where the ink lies: 0 right, pi / 2 below."""
    y, x = _coordinates()
    drawn = [(x * angle.cos() + y * angle.sin() > 0).float() for angle in angles]
    return avg_pool2d(torch.stack(drawn)[:, None], FINE)


def arcs(angles: Float[Tensor, " angle"], radius: float | int, stroke: float = 2.5) -> Float[Tensor, "angle 1 y x"]:
    """A piece of a circle through the middle, 12 pixels long, with its centre in the direction `angles` (radians).

    `radius` is in pixels; `math.inf` gives a straight stroke at a right angle to that direction.
    """
    y, x = _coordinates()
    drawn = []
    for angle in angles:
        toward, along = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
        if math.isinf(radius):
            off, length = toward.abs(), along.abs()
        else:
            off = ((radius - toward) ** 2 + along**2).sqrt() - radius
            off, length = off.abs(), radius * torch.atan2(along, radius - toward).abs()
        drawn.append(((off < stroke / 2) & (length < 6)).float())
    return avg_pool2d(torch.stack(drawn)[:, None], FINE)


def responses(net: LetterReader, stimuli: Float[Tensor, "angle 1 y x"], layer: int) -> Float[Tensor, "unit angle"]:
    """Each unit's largest answer near the middle of each stimulus, in layer 0 or 1; the picture's border is left out."""
    with torch.no_grad():
        return _largest_in_the_middle(net.layers(stimuli)[layer]).T


def _largest_in_the_middle(said: Float[Tensor, "picture unit y x"]) -> Float[Tensor, "picture unit"]:
    """Each unit's largest value where a quarter of the picture is left out on each side."""
    margin = said.shape[-1] // 4
    return said[..., margin:-margin, margin:-margin].amax((2, 3))


def with_median_thresholds(net: LetterReader, stimuli: Float[Tensor, "angle 1 y x"]) -> LetterReader:
    """A copy whose second-layer units answer to at most half of these stimuli: a control for what biases alone do.

    Each unit's bias is lowered by the median of its largest values before ReLU near the middle of the stimuli.
    """
    changed = copy.deepcopy(net)
    with torch.no_grad():
        before_relu = changed.conv2(changed.pool(changed.layers(stimuli)[0]))
        changed.conv2.bias -= _largest_in_the_middle(before_relu).quantile(0.5, dim=0)
    return changed


def selectivity(tuning: Float[Tensor, "unit angle"], period: int = 1) -> Float[Tensor, " unit"]:
    """How much a unit prefers one direction: 1 if it answers to one of the angles only, 0 if to all alike.

    The angles divide a whole turn evenly. `period` 2 takes a direction and its opposite for one, as for straight strokes.
    A unit that never answers has 0. (The length of the mean resultant vector of circular statistics.)
    """
    angles = 2 * math.pi * torch.arange(tuning.shape[1], dtype=tuning.dtype) / tuning.shape[1]
    across = (tuning * (period * angles).cos()).sum(-1)
    down = (tuning * (period * angles).sin()).sum(-1)
    total = tuning.sum(-1)
    return torch.hypot(across, down) / total.clamp_min(1e-9)


def edge_direction(filters: Float[Tensor, "unit y x"]) -> Float[Tensor, " unit"]:
    """In which direction from a filter's middle its weights grow: 0 right, pi / 2 below (radians).

    The direction of the sum of weight times place: where an edge filter wants ink.
    """
    size = filters.shape[-1]
    place = torch.arange(size) - (size - 1) / 2
    right = (filters.sum(1) * place).sum(-1)
    down = (filters.sum(2) * place).sum(-1)
    return torch.atan2(down, right)


def plane_share(vectors: Float[Tensor, "angle unit"]) -> Float[Tensor, ""]:
    """The share of the vectors' variance in the best plane: 1 if all of them lie in it."""
    sizes = torch.linalg.svdvals(vectors - vectors.mean(0)).square()
    return sizes[:2].sum() / sizes.sum()


def corners(angles: Float[Tensor, " angle"], stroke: float = 2.5) -> Float[Tensor, "angle 1 y x"]:
    """Two straight strokes of 6 pixels that meet at a right angle in the middle, and open in the direction `angles` (radians)."""
    y, x = _coordinates()
    drawn = []
    for angle in angles:
        toward, along = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
        off, length = (toward - along.abs()).abs() / 2**0.5, (toward + along.abs()) / 2**0.5
        drawn.append(((off < stroke / 2) & (length < 6) & (length > -stroke / 2)).float())
    return avg_pool2d(torch.stack(drawn)[:, None], FINE)


def preferred(tuning: Float[Tensor, "unit angle"]) -> Float[Tensor, " unit"]:
    """The direction of each unit's mean resultant vector, in radians from -pi to pi: the middle of what it answers to."""
    angles = 2 * math.pi * torch.arange(tuning.shape[1], dtype=tuning.dtype) / tuning.shape[1]
    return torch.atan2((tuning * angles.sin()).sum(-1), (tuning * angles.cos()).sum(-1))


def degrees_apart(a: Float[Tensor, "*any"], b: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """How far two angles in radians lie apart on the circle, in degrees from 0 to 180."""
    apart = (a - b + math.pi) % (2 * math.pi) - math.pi
    return apart.abs() * 180 / math.pi


def bend_units(net: LetterReader, angles: Float[Tensor, " angle"]) -> list[int]:
    """The units of the second layer that answer to arcs of one direction, and more to arcs than to straight strokes.

    On arcs of radius 6 their selectivity is above 0.3, and their largest answer is more than 1.2 times that to a straight
    stroke. Both limits are ours, chosen before anything was counted (after the curve detectors of Cammarata et al. 2020).
    """
    bent, straight = (responses(net, arcs(angles, radius), 1) for radius in (6, math.inf))
    chosen = (selectivity(bent) > 0.3) & (bent.amax(-1) > 1.2 * straight.amax(-1))
    return chosen.nonzero()[:, 0].tolist()


def reading_error(
    learnt: Float[Tensor, "unit angle"],
    new: Float[Tensor, "unit angle"],
    angles: Float[Tensor, " angle"],
    ridge: float = 1e-3,
) -> float:
    """How many degrees a linear reading of the angle is wrong on new stimuli, on average; by chance 90.

    The reading maps a vector of answers to a point near (cos, sin) of the angle, by least squares with a little ridge (a
    share of the answers' mean squared length); it is learnt on the answers `learnt`.
    """
    target = torch.stack([angles.cos(), angles.sin()], -1).double()
    first, second = (torch.cat([x.T, torch.ones(x.shape[1], 1)], 1).double() for x in (learnt, new))
    penalty = ridge * first.square().sum() / len(first) * torch.eye(first.shape[1], dtype=torch.float64)
    point = second @ torch.linalg.solve(first.T @ first + penalty, first.T @ target)
    return degrees_apart(torch.atan2(point[:, 1], point[:, 0]), angles.double()).mean().item()


def turns(points: Float[Tensor, "angle 2"]) -> int:
    """How often a closed path of points runs round the origin, which is their mean if they are centred; its direction does not count."""
    at = torch.atan2(points[:, 1], points[:, 0])
    steps = (at.roll(-1) - at + math.pi) % (2 * math.pi) - math.pi
    return abs(round(steps.sum().item() / (2 * math.pi)))
