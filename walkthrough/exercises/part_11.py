"""The exercises of notebook 11."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from walkthrough.exercises.exercise import Exercise
from walkthrough.exercises.learning import LEARNING_MISTAKES, runs, slow_learning

# 11.2 the learning rate along a run


def moments() -> list[tuple[int, int, int]]:
    """Steps in the warm-up, at its end, in the middle and near the end, for two recipes."""
    return [(step, steps, warmup) for steps, warmup in ((40, 8), (90, 5)) for step in (0, 3, warmup - 1, 12, 33, 39)]


def slow_factor(step: int, steps: int, warmup: int) -> float:
    """The two factors one by one."""
    rising = (step + 1) / warmup if step + 1 < warmup else 1.0
    return rising * (1 + math.cos(math.pi * step / steps)) / 2


FACTOR_MISTAKES: dict[str, Callable] = {
    "the first step has a learning rate of 0 and is lost: count from step + 1 in the warm-up":
        lambda step, steps, warmup: min(1, step / warmup) * slow_factor(step, steps, 1),
    "the warm-up goes on rising: no factor may exceed 1, so take the minimum":
        lambda step, steps, warmup: (step + 1) / warmup * slow_factor(step, steps, 1),
    "the warm-up is missing":
        lambda step, steps, warmup: slow_factor(step, steps, 1),
    "the fall is missing: after the warm-up the factor follows half a cosine down to 0":
        lambda step, steps, warmup: min(1, (step + 1) / warmup),
    "a whole cosine comes back to 1 at the end: half of it, from 0 to pi, is asked":
        lambda step, steps, warmup: min(1, (step + 1) / warmup) * (1 + math.cos(2 * math.pi * step / steps)) / 2,
    "a cosine goes from 1 to -1: add 1 and halve it":
        lambda step, steps, warmup: min(1, (step + 1) / warmup) * math.cos(math.pi * step / steps),
    "that falls in a straight line, where half a cosine was asked":
        lambda step, steps, warmup: min(1, (step + 1) / warmup) * (1 - step / steps),
    "the cosine begins after the warm-up: here it runs over all steps, and the warm-up multiplies it":
        lambda step, steps, warmup: (step + 1) / warmup if step < warmup else
        (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2,
    "the smaller of the two factors was taken: multiply them":
        lambda step, steps, warmup: min((step + 1) / warmup, slow_factor(step, steps, 1)),
}  # fmt: skip


# 11.3 when a curve reaches a level


def rising_curves() -> list[tuple[list[float], list[float], float]]:
    """Curves with uneven spaces: one that dips again, one that never arrives, one that begins above, and one exact hit."""
    return [
        ([0.0, 100.0, 250.0, 300.0, 500.0], [0.0, 0.1, 0.3, 0.5, 0.9], 0.4),
        ([0.0, 50.0, 200.0, 210.0, 300.0, 420.0], [0.0, 0.35, 0.6, 0.2, 0.3, 0.8], 0.5),
        ([0.0, 100.0, 200.0], [0.1, 0.2, 0.39], 0.4),
        ([30.0, 100.0, 200.0], [0.6, 0.7, 0.8], 0.5),
        ([0.0, 80.0, 200.0, 260.0], [0.0, 0.2, 0.4, 0.7], 0.4),
    ]


def slow_reached(tokens: list[float], scores: list[float], level: float) -> float:
    """Each piece of the curve in turn."""
    if scores[0] >= level:
        return tokens[0]
    for (left, low), (right, high) in zip(zip(tokens, scores), zip(tokens[1:], scores[1:])):
        if low < level <= high:
            return left + (right - left) * (level - low) / (high - low)
    return math.inf


def measured_first(tokens, scores, level, above=lambda score, level: score >= level) -> float:
    """The first measurement above the level, without a line between."""
    return next((at for at, score in zip(tokens, scores) if above(score, level)), math.inf)


def last_crossing(tokens, scores, level) -> float:
    """From the end: where the curve rises above the level for good."""
    below = [i for i, score in enumerate(scores) if score < level]
    if not below:
        return tokens[0]
    return slow_reached(tokens[below[-1] :], scores[below[-1] :], level)


REACHED_MISTAKES: dict[str, Callable] = {
    "that is the first measurement above the level: between two of them the curve is a straight line":
        measured_first,
    "that is the first measurement strictly above the level: the line between two of them may reach it earlier":
        lambda t, s, level: measured_first(t, s, level, lambda score, level: score > level),
    "that is the last measurement below the level: the line from there reaches it later":
        lambda t, s, level: t[0] if s[0] >= level else
        next((t[i - 1] for i in range(1, len(s)) if s[i] >= level), math.inf),
    "that is where the curve reaches the level for good: where it does so first was asked":
        last_crossing,
    "that is the middle between two measurements: a straight line reaches the level elsewhere":
        lambda t, s, level: t[0] if s[0] >= level else
        next(((t[i - 1] + t[i]) / 2 for i in range(1, len(s)) if s[i] >= level), math.inf),
    "that is the place among the measurements: tokens were asked":
        lambda t, s, level: next((float(i) for i, score in enumerate(s) if score >= level), math.inf),
    "that is where the score is highest":
        lambda t, s, level: t[s.index(max(s))],
    "a curve that never reaches the level has no such moment: return math.inf, not its last one":
        lambda t, s, level: min(slow_reached(t, s, level), t[-1]),
    "a curve that never reaches the level: return math.inf, later than everything":
        lambda t, s, level: math.nan if slow_reached(t, s, level) == math.inf else slow_reached(t, s, level),
}  # fmt: skip


# 11.4 Newton–Schulz


def updates() -> list[tuple[Tensor, int]]:
    """Wide and square matrices of different size, and how many iterations."""
    draw = lambda seed, *shape: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return [(0.01 * draw(0, 4, 9), 5), (30 * draw(1, 6, 6), 5), (draw(2, 3, 8), 2), (draw(3, 5, 7), 1)]


def polynomial(s: Tensor, a: float = 3.4445, b: float = -4.7750, c: float = 2.0315) -> Tensor:
    """What one iteration makes of each singular value."""
    return a * s + b * s**3 + c * s**5


def slow_orthogonal(update: Tensor, steps: int, step: Callable = polynomial, size: Callable | None = None) -> Tensor:
    """By singular values: an iteration changes nothing else."""
    U, s, Vh = torch.linalg.svd(update.double(), full_matrices=False)
    s = s / (s.norm() if size is None else size(s))
    for _ in range(steps):
        s = step(s)
    return (U * s) @ Vh


ORTHOGONAL_MISTAKES: dict[str, Callable] = {
    "the division by the norm is missing: the iterations only hold singular values that begin below about 1.2":
        lambda update, steps: slow_orthogonal(update, steps, size=lambda s: 1.0),
    "divided by the largest singular value: divide by the norm of all entries, which needs no decomposition":
        lambda update, steps: slow_orthogonal(update, steps, size=lambda s: s.max()),
    "that is the exact polar factor: here the iterations are asked for, which come near it":
        lambda update, steps: slow_orthogonal(update, 1, step=torch.ones_like),
    "one iteration too few":
        lambda update, steps: slow_orthogonal(update, steps - 1),
    "one iteration too many":
        lambda update, steps: slow_orthogonal(update, steps + 1),
    "c belongs to the square of X X^T: it stands before X X^T twice":
        lambda update, steps: slow_orthogonal(update, steps, step=lambda s: 3.4445 * s - 4.775 * s**3 + 2.0315 * s**3),
    "b and c have changed places":
        lambda update, steps: slow_orthogonal(update, steps, step=lambda s: polynomial(s, b=2.0315, c=-4.7750)),
    "a X is missing in the sum":
        lambda update, steps: slow_orthogonal(update, steps, step=lambda s: polynomial(s, a=0.0)),
    "only the first iteration uses X X^T of its own X: compute it anew in each":
        lambda update, steps: slow_orthogonal(update, steps, step=frozen_gram(update)),
}  # fmt: skip


def frozen_gram(update: Tensor) -> Callable:
    """An iteration with the square of the first singular values."""
    s = torch.linalg.svdvals(update.double())
    first = (s / s.norm()) ** 2
    return lambda now: now * (3.4445 - 4.7750 * first + 2.0315 * first**2)


# 11.5 a power law


def sizes_and_tokens() -> list[tuple[Tensor, Tensor]]:
    """Noisy power laws of two exponents."""
    cases = []
    for seed, (constant, exponent) in enumerate(((4.0, 0.5), (2.0, 0.8))):
        sizes = torch.tensor([128.0, 256, 512, 512, 1024, 2048, 4096])
        noise = 0.1 * torch.randn(7, generator=torch.Generator().manual_seed(seed))
        cases.append((sizes, 10 ** (constant + exponent * sizes.log10() + noise)))
    return cases


def slow_law(sizes: Tensor, tokens: Tensor) -> tuple[float, float]:
    """By torch's own least squares."""
    columns = torch.stack([torch.ones_like(sizes), sizes.log10()], 1).double()
    return tuple(torch.linalg.lstsq(columns, tokens.log10().double()[:, None]).solution[:, 0].tolist())


def line(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Intercept and slope."""
    slope = ((x - x.mean()) * (y - y.mean())).mean() / (x - x.mean()).square().mean()
    return (y.mean() - slope * x.mean()).item(), slope.item()


LAW_MISTAKES: dict[str, Callable] = {
    "no logarithms were taken: the law is a straight line only between logarithms":
        lambda sizes, tokens: line(sizes, tokens),
    "natural logarithms were taken: the exponent is the same, but a is to be a power of 10":
        lambda sizes, tokens: line(sizes.log(), tokens.log()),
    "that is 10^a: return a itself":
        lambda sizes, tokens: (10 ** slow_law(sizes, tokens)[0], slow_law(sizes, tokens)[1]),
    "a and b have changed places":
        lambda sizes, tokens: slow_law(sizes, tokens)[::-1],
    "sizes and tokens have changed places: how do the tokens depend on the size?":
        lambda sizes, tokens: line(tokens.log10(), sizes.log10()),
    "only the sizes were taken as logarithms":
        lambda sizes, tokens: line(sizes.log10(), tokens),
    "that line goes through the first and the last run only: all of them count":
        lambda sizes, tokens: line(sizes[[0, -1]].log10(), tokens[[0, -1]].log10()),
    "that line goes through the origin: it needs a constant":
        lambda sizes, tokens: (0.0, (sizes.log10() * tokens.log10()).sum().item() / sizes.log10().square().sum().item()),
    "that is the exponent alone: return a as well":
        lambda sizes, tokens: slow_law(sizes, tokens)[1],
}  # fmt: skip


EXERCISES: dict[str, Exercise] = {
    "11.1": Exercise(runs, slow_learning, LEARNING_MISTAKES),
    "11.2": Exercise(moments, slow_factor, FACTOR_MISTAKES),
    "11.3": Exercise(rising_curves, slow_reached, REACHED_MISTAKES),
    "11.4": Exercise(updates, slow_orthogonal, ORTHOGONAL_MISTAKES),
    "11.5": Exercise(sizes_and_tokens, slow_law, LAW_MISTAKES),
}
