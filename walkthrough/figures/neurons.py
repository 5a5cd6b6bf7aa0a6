"""Figures of scales and neurons: arrays, labels and an `ax` in, the `ax` out."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor

COLOURS = ("tab:blue", "tab:orange", "tab:green", "grey")


def histograms(
    values: Mapping[str, Float[Tensor, " _value"]], *, x: str, y: str, log: bool = False, ax: Axes | None = None
) -> Axes:  # fmt: skip
    """Outlined histograms over the same 60 bins, each as shares of its own values; `log` for bins of equal ratios."""
    ax = ax or plt.subplots(figsize=(7.5, 3.2), layout="constrained")[1]
    low = min(float(each.min()) for each in values.values())
    high = max(float(each.max()) for each in values.values())
    bins = np.geomspace(low, high, 61) if log else np.linspace(low, high, 61)
    for (name, each), colour in zip(values.items(), COLOURS):
        weights = np.full(len(each), 1 / len(each))
        ax.hist(np.asarray(each), bins, weights=weights, histtype="step", linewidth=1.6, color=colour, label=name)
    if log:
        ax.set_xscale("log")
    ax.set(xlabel=x, ylabel=y)
    ax.legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def losses(
    means: Sequence[float], errors: Sequence[float], names: Sequence[str], *, whole: float, ax: Axes | None = None
) -> Axes:  # fmt: skip
    """A horizontal bar for each change of a model, with its standard error; a line marks the loss of the whole model."""
    ax = ax or plt.subplots(figsize=(7.5, 0.7 + 0.36 * len(names)), layout="constrained")[1]
    ax.barh(range(len(names)), means, xerr=errors, color="lightsteelblue", error_kw={"linewidth": 1})
    for row, mean in enumerate(means):
        ax.text(0.05, row, f"{mean:.2f}", va="center", fontsize=9)
    ax.axvline(whole, color="black", linewidth=1, linestyle=":")
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set_xlabel("loss in nats (dotted: the whole model)")
    return ax


def two_tests(
    groups: Mapping[str, tuple[Float[Tensor, " neuron"], Float[Tensor, " neuron"]]], *, least: tuple[float, float],
    x: str, y: str,
) -> list[Axes]:  # fmt: skip
    """A panel for each group, with a dot for each neuron; what lies right of and above both lines passes both tests."""
    size = (3.7 * len(groups), 3.4)
    axes = plt.subplots(1, len(groups), figsize=size, layout="constrained", sharex=True, sharey=True, squeeze=False)[1]
    for ax, (name, (across, up)) in zip(axes.flat, groups.items()):
        ax.scatter(across, up, s=16, alpha=0.7)
        ax.axvline(least[0], color="grey", linewidth=0.8, linestyle="--")
        ax.axhline(least[1], color="grey", linewidth=0.8, linestyle="--")
        ax.set(title=name, xlabel=x, xlim=(-0.04, 1.04), ylim=(-0.04, 1.04))
    axes[0, 0].set_ylabel(y)
    return list(axes.flat)
