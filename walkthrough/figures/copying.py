"""Figures of what heads do to the tokens that they look at: arrays, labels and an `ax` in, the `ax` out."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor


def against_chance(
    scores: Float[Tensor, " head"], nulls: Mapping[str, Float[Tensor, "head shuffle"]], heads: Sequence[str], *,
    y: str, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A dot for each head, red above zero and blue below, beside grey bars: mean and 3 standard deviations of each null."""
    ax = ax or plt.subplots(figsize=(7.6, 3.4), layout="constrained")[1]
    places = range(len(heads))
    for n, (name, null) in enumerate(nulls.items()):
        beside = [place + 0.16 + 0.16 * n for place in places]
        grey = ("silver", "dimgrey")[n % 2]
        ax.errorbar(
            beside,
            null.mean(1),
            3 * null.std(1),
            fmt="_",
            markersize=8,
            color=grey,
            ecolor=grey,
            elinewidth=5,
            label=name,
        )
    ax.scatter(places, scores, color=["tab:red" if score > 0 else "tab:blue" for score in scores], zorder=3)
    ax.axhline(0, color="grey", linewidth=0.6)
    ax.set_xticks(places, heads)
    ax.set(xlabel="head", ylabel=y, ylim=(-1, 1.1))
    ax.legend(loc="lower left", fontsize=8)
    return ax


def by_prediction(
    panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]], bins: Sequence[str], *, x: str, y: str
) -> list[Axes]:  # fmt: skip
    """A panel for each title, with its own scale: a line for each name over the bins, from means and their standard errors."""
    size = 2.7 * len(panels) + 0.6, 3.4
    axes = plt.subplots(1, len(panels), figsize=size, layout="constrained", squeeze=False)[1]
    styles = (("tab:red", "o", "-"), ("dimgrey", "s", "--"))
    for ax, (title, lines) in zip(axes.flat, panels.items()):
        for (name, points), (colour, mark, dash) in zip(lines.items(), styles):
            means, errors = zip(*points)
            how = {"color": colour, "marker": mark, "linestyle": dash, "markersize": 4, "capsize": 2}
            ax.errorbar(range(len(bins)), means, errors, label=name, **how)
        ax.axhline(0, color="grey", linewidth=0.6)
        ax.set_xticks(range(len(bins)), bins, fontsize=7, rotation=35)
        ax.set(title=title, xlabel=x)
    axes[0, 0].set_ylabel(y)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    axes[0, 0].figure.legend(handles, labels, loc="outside upper center", ncol=len(labels), fontsize=8)
    return list(axes.flat)
