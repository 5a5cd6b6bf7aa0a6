"""Checks of how much more one model wins by a step than another, with its standard error."""

import math

import torch
from torch import Tensor

# 10.4 a difference of differences


def four_losses() -> list[tuple]:
    """Losses of two models before and after a step, on windows that are easy or hard for both."""
    cases = []
    for seed, n_windows in enumerate([6, 9]):
        generator = torch.Generator().manual_seed(seed)
        draw = lambda *shape, g=generator: torch.randn(*shape, generator=g)
        hard, helped = 1 + draw(n_windows, 1).abs(), draw(n_windows, 1).abs()
        before = 2 * hard + 0.3 * draw(2, n_windows, 5)
        after = before - torch.tensor([1.1, 0.8])[:, None, None] * helped + 0.2 * draw(2, n_windows, 5)
        cases.append((before[0], after[0], before[1], after[1]))
    return cases


def slow_difference(before_a: Tensor, after_a: Tensor, before_b: Tensor, after_b: Tensor) -> Tensor:
    """One number for each window, their mean, and the root of their variance over their number."""
    wins = [
        sum((x - y) - (z - w) for x, y, z, w in zip(*of_tokens)) / len(of_tokens[0])
        for of_tokens in zip(*(losses.tolist() for losses in (before_a, after_a, before_b, after_b)))
    ]
    mean = sum(wins) / len(wins)
    variance = sum((win - mean) ** 2 for win in wins) / (len(wins) - 1)
    return torch.tensor([mean, math.sqrt(variance / len(wins))])


def with_error(error):
    """The right mean, with a standard error that `error` makes of the wins of a and of b."""
    return lambda a, b, c, d: torch.stack([slow_difference(a, b, c, d)[0], error(a - b, c - d)])


def stderr(x: Tensor) -> Tensor:
    """Standard error of the mean of numbers in a row."""
    return x.std() / len(x) ** 0.5


DIFFERENCE_MISTAKES = {
    "summed over the tokens of each window: take their mean":
        lambda a, b, c, d: slow_difference(a, b, c, d) * a.shape[1],
    "tokens taken as independent: first average over each window, then take the error over windows":
        with_error(lambda a, b: stderr((a - b).flatten())),
    "errors of a and b combined as if independent: both saw the same windows, so take differences first":
        with_error(lambda a, b: (stderr(a.mean(1)) ** 2 + stderr(b.mean(1)) ** 2).sqrt()),
    "that is the standard deviation over windows: divide it by the root of their number":
        with_error(lambda a, b: (a - b).mean(1).std()),
    "divided by the number of windows: the standard error falls with its square root":
        with_error(lambda a, b: (a - b).mean(1).std() / len(a)),
    "that is the variance of the mean: its root was asked":
        with_error(lambda a, b: stderr((a - b).mean(1)) ** 2),
    "the mean was estimated from the same windows: divide by their number less one in the variance":
        with_error(lambda a, b: (a - b).mean(1).std(correction=0) / len(a) ** 0.5),
    "the sign of the mean is flipped: a win is the loss before less the loss after, and b's is taken from a's":
        lambda a, b, c, d: slow_difference(a, b, c, d) * torch.tensor([-1.0, 1.0]),
    "error over positions: average over the tokens of each window, not over windows":
        with_error(lambda a, b: stderr((a - b).mean(0))),
    "only the losses after the step are compared: a win is the loss before less the loss after":
        lambda a, b, c, d: slow_difference(0 * a, b, 0 * c, d),
}  # fmt: skip
