"""Figures of what terms are worth: arrays, labels and an `ax` in, the `ax` out, as in `basics`."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor

from walkthrough.figures import basics

COLOURS = (
    "#1b4965",
    "#e07a1f",
    "#f2c14e",
    "#8a8a8a",
)  # dark blue, orange, yellow, grey: told apart without colour, too
MARKERS = ("o", "s", "^", "D")


def grouped_bars(
    means: Mapping[str, Float[Tensor, " group"]], errors: Mapping[str, Float[Tensor, " group"]],
    groups: Sequence[str], *, x: str, y: str, reported: Sequence[float] = (), ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A bar with its standard error for each name in each group; a line across the group where a number is only reported."""
    ax = ax or plt.subplots(figsize=(8, 3.5), layout="constrained")[1]
    width = 0.8 / len(means)
    for i, (name, heights) in enumerate(means.items()):
        places = [group + width * (i - (len(means) - 1) / 2) for group in range(len(groups))]
        how = {"color": COLOURS[i % len(COLOURS)], "ecolor": "black", "label": name}
        ax.bar(places, heights.tolist(), width, yerr=errors[name].tolist(), **how)
    if reported:
        left, right = ([group + side for group in range(len(groups))] for side in (-0.45, 0.45))
        how = {"color": "crimson", "linewidth": 2, "linestyle": "--"}
        ax.hlines(reported, left, right, label="reported for the paper's model", **how)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xticks(range(len(groups)), groups)
    ax.set(xlabel=x, ylabel=y)
    ax.legend(fontsize=8, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return ax


def fade_in(
    sizes: Float[Tensor, " size"], losses: Float[Tensor, " size"], slope: float, *, ax: Axes | None = None
) -> Axes:
    """The loss as a term grows from nothing (0) to what it is (1), and the straight line that starts with its slope.

    Two arrows at size 1: down along the line, the slope; from there up to the curve, the curvature.
    """
    ax = ax or plt.subplots(figsize=(6.5, 3.8), layout="constrained")[1]
    start, end = float(losses[sizes.tolist().index(0)]), float(losses[sizes.tolist().index(1)])
    ax.plot(sizes, losses, color=COLOURS[0], linewidth=2.5, label="loss")
    ax.plot(
        [0, 1], [start, start + slope], "--", color=COLOURS[1], linewidth=2, label="straight line with the slope at 0"
    )
    ax.axhline(start, color="grey", linewidth=0.8, linestyle=":")
    arrow = {"shrinkA": 0, "shrinkB": 0, "linewidth": 2}
    low = start + slope
    for text, x, tail, tip, colour in (
        ("slope", 1.0, start, low, COLOURS[1]),
        ("curvature", 1.07, low, end, "#08704d"),
    ):
        ax.annotate("", (x, tip), (x, tail), arrowprops={**arrow, "arrowstyle": "-|>", "color": colour})
        ax.text(x + 0.03, (tail + tip) / 2, f"{text} {tip - tail:+.2f}", color=colour, va="center", zorder=5)
    ax.plot([0, 1], [start, end], "o", color=COLOURS[0])
    ax.set(xlabel="size of the term (0: absent, 1: as it is)", ylabel="loss (nats)", xlim=(-0.05, float(sizes.max())))
    ax.legend(fontsize=8, loc="lower left")
    return ax


def fading(
    sizes: Float[Tensor, " size"], losses: Mapping[str, Float[Tensor, " size"]], *, ax: Axes | None = None
) -> Axes:
    """A curve for each group of paths: the loss if that group alone is multiplied by a size; 1 is the model itself."""
    ax = ax or plt.subplots(figsize=(6.5, 3.8), layout="constrained")[1]
    for i, (name, values) in enumerate(losses.items()):
        ax.plot(sizes, values, color=COLOURS[i], marker=MARKERS[i], markersize=5, label=name)
    ax.axvline(1, color="black", linewidth=0.8, linestyle=":")
    ax.set(xlabel="size of the group (0: left out, 1: as it is)", ylabel="loss (nats)")
    ax.legend(fontsize=9)
    return ax


def pair_worths(
    worths: Float[Tensor, "panel write read"], errors: Float[Tensor, "panel write read"], titles: Sequence[str]
) -> list[Axes]:
    """A heat map for each way to measure pairs of heads, on one scale; a dot: within two standard errors of zero."""
    axes = plt.subplots(1, len(worths), figsize=(4.5 * len(worths), 4), layout="constrained", squeeze=False)[1][0]
    limit = 1000 * float(worths.abs().max())
    for ax, worth, error, title in zip(axes, worths, errors, titles):
        basics.head_pairs(1000 * worth, limit=limit, label="worth (thousandths of a nat)", ax=ax)
        unsure = (worth.abs() < 2 * error).nonzero()
        ax.plot(unsure[:, 1], unsure[:, 0], ".", color="black", markersize=3)
        ax.set_title(title)
    return list(axes)
