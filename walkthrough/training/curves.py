"""Curves of training runs: when a score is reached, and how that moment depends on the size of a step."""

import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor


def first_reached(tokens: Sequence[float], scores: Sequence[float], level: float) -> float:
    """After how many tokens a curve first reaches a level; infinity if it never does.

    Between two measurements, the curve is a straight line.
    """
    for i, score in enumerate(scores):
        if score < level:
            continue
        if i == 0:
            return tokens[0]
        share = (level - scores[i - 1]) / (score - scores[i - 1])
        return tokens[i - 1] + share * (tokens[i] - tokens[i - 1])
    return math.inf


def power_law(
    sizes: Float[Tensor, " run"], tokens: Float[Tensor, " run"]
) -> tuple[float, float]:  # fmt: skip
    """The law N = 10^a size^b nearest to the runs, by least squares in logarithms: a and b."""
    x, y = sizes.log10(), tokens.log10()
    from_mean = x - x.mean()
    exponent = (from_mean * (y - y.mean())).sum() / (from_mean**2).sum()
    return (y.mean() - exponent * x.mean()).item(), exponent.item()
