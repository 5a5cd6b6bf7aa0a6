"""Figures of what terms are worth: arrays, labels and an `ax` in, the `ax` out, as in `basics`."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor

from walkthrough.figures import basics


def grouped_bars(
    means: Mapping[str, Float[Tensor, " group"]], errors: Mapping[str, Float[Tensor, " group"]],
    groups: Sequence[str], *, x: str, y: str, reported: Sequence[float] = (), ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A bar with its standard error for each name in each group; a line across the group where a number is only reported."""
    ax = ax or plt.subplots(figsize=(8, 3.5), layout="constrained")[1]
    width = 0.8 / len(means)
    for i, (name, heights) in enumerate(means.items()):
        places = [group + width * (i - (len(means) - 1) / 2) for group in range(len(groups))]
        ax.bar(places, heights.tolist(), width, yerr=errors[name].tolist(), label=name)
    if reported:
        left, right = ([group + side for group in range(len(groups))] for side in (-0.45, 0.45))
        ax.hlines(reported, left, right, color="black", label="reported for the paper's model")
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xticks(range(len(groups)), groups)
    ax.set(xlabel=x, ylabel=y)
    ax.legend(fontsize=8, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return ax


def pair_effects(
    means: Float[Tensor, "panel write read"], errors: Float[Tensor, "panel write read"], titles: Sequence[str]
) -> list[Axes]:
    """A heat map for each way to measure pairs of heads, on one scale; a dot: within two standard errors of zero."""
    axes = plt.subplots(1, len(means), figsize=(4.5 * len(means), 4), layout="constrained", squeeze=False)[1][0]
    limit = 1000 * float(means.abs().max())
    for ax, mean, error, title in zip(axes, means, errors, titles):
        basics.head_pairs(1000 * mean, limit=limit, label="change of the loss (thousandths of a nat)", ax=ax)
        unsure = (mean.abs() < 2 * error).nonzero()
        ax.plot(unsure[:, 1], unsure[:, 0], ".", color="black", markersize=3)
        ax.set_title(title)
    return list(axes)
