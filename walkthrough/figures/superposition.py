"""Figures of toy models: what they write where, phases, dimensionalities, pairs, and tokens as features."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from torch import Tensor

COLOURS = ("#1b4965", "#e07a1f", "#f2c14e", "#08704d", "#8a8a8a", "#d0d0d0")
PHASES = ("#cfe0ee", "#f6d5b0", "#d9c7e6")  # the second ignored, the first ignored, an antipodal pair


def overlaps(tables: Float[Tensor, "panel row column"], titles: Sequence[str]) -> list[Axes]:
    """W W^T of several toy models on one scale: what each feature (row) writes where each feature (column) is read."""
    fig, axes = plt.subplots(
        1, len(tables), figsize=(2.5 * len(tables), 3), layout="constrained", sharey=True, squeeze=False
    )
    for ax, table, title in zip(axes.flat, tables, titles):
        image = ax.imshow(np.asarray(table), cmap="RdBu_r", vmin=-1, vmax=1)
        ax.set(title=title, xlabel="feature")
    axes[0, 0].set_ylabel("feature")
    fig.colorbar(image, ax=axes, label="dot product of directions", shrink=0.8)
    return list(axes.flat)


def phases(
    found: Int[Tensor, "density importance"], densities: Float[Tensor, " density"],
    importances: Float[Tensor, " importance"], boundary: Float[Tensor, " fine"], fine: Float[Tensor, " fine"],
    names: Sequence[str], *, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """What training found at each density (up) and importance (across), both on logarithmic axes, and a line from a formula."""
    across, up = np.asarray(importances), np.asarray(densities)
    ax = ax or plt.subplots(figsize=(6.5, 4), layout="constrained")[1]
    ax.pcolormesh(
        across,
        up,
        np.asarray(found),
        cmap=ListedColormap(PHASES),
        vmin=-0.5,
        vmax=2.5,
        shading="nearest",
    )
    for colour, name in zip(PHASES, names):
        ax.plot([], [], "s", color=colour, markersize=10, label=name)
    ax.plot(
        np.asarray(fine), np.asarray(boundary), color="black", linewidth=2, label="closed form: boundary of the pair"
    )
    limits = {"xlim": (across.min(), across.max()), "ylim": (up.min(), up.max())}
    ax.set(xscale="log", yscale="log", xlabel="importance of feature 1 (of feature 0: 1)", ylabel="density", **limits)
    ax.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=2)
    return ax


def plain_ticks(ax: Axes) -> None:
    """Whole numbers under a logarithmic axis that runs from 1 to 8."""
    ax.set_xticks((1, 2, 3, 4, 5, 6, 8), ("1", "2", "3", "4", "5", "6", "8"))
    ax.minorticks_off()


def sticky(
    sparsity: Float[Tensor, " model"], values: Float[Tensor, "model feature"], shown: Float[Tensor, "model feature"],
    average: Float[Tensor, " model"], levels: Mapping[str, float], *, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A dot for the dimensionality of each feature whose `shown` is not 0, a column for each model, lines at the levels."""
    ax = ax or plt.subplots(figsize=(9, 4.6), layout="constrained")[1]
    ratio = float(sparsity[1] / sparsity[0])
    for name, level in levels.items():
        ax.axhline(level, color="#e07a1f", linewidth=0.9)
        crowded = any(0 < other - level < 0.04 for other in levels.values())  # then the name goes below the line
        place = {"transform": ax.get_yaxis_transform(), "fontsize": 8, "va": "top" if crowded else "center"}
        ax.text(1.01, level, name, **place)
    rng = np.random.default_rng(0)
    for x, column, keep in zip(sparsity.tolist(), values, shown):
        y = np.asarray(column)[np.asarray(keep) > 0]
        across = x * ratio ** rng.uniform(-0.3, 0.3, len(y))  # spread, so that equal values can be told apart
        ax.plot(across, y, ".", color="#1b4965", markersize=3, alpha=0.5)
    ax.plot(sparsity, average, color="black", linewidth=1.5, label="dimensions per feature")
    ax.set(xscale="log", xlabel="one over the density (the sparser, the further right)", ylabel="dimensionality")
    ax.set(ylim=(0, 1.05))
    plain_ticks(ax)
    ax.legend(fontsize=8, loc="upper right")
    return ax


def cosine_histograms(panels: Mapping[str, Float[Tensor, " pair"]]) -> list[Axes]:
    """A histogram of cosines between -1 and 1 for each kind of pair, side by side."""
    axes = plt.subplots(1, len(panels), figsize=(3 * len(panels), 2.6), layout="constrained", sharey=True)[1]
    for ax, (name, values) in zip(axes, panels.items()):
        ax.hist(np.asarray(values), bins=np.linspace(-1.05, 1.05, 22), color="#1b4965")
        ax.axvline(0, color="black", linewidth=0.8, linestyle=":")
        ax.set(title=name, xlabel="cosine within the pair", xlim=(-1.1, 1.1))
    axes[0].set_ylabel("pairs")
    return list(axes)


def lines(
    across: Sequence[float], curves: Mapping[str, Float[Tensor, " place"]], *, x: str, y: str,
    errors: Mapping[str, Float[Tensor, " place"]] | None = None, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A curve with markers for each name, over a logarithmic axis from 1 to 8, with bars for its spread where there is one."""
    ax = ax or plt.subplots(figsize=(6.5, 3.6), layout="constrained")[1]
    for (name, values), colour, marker in zip(curves.items(), COLOURS, "osD^"):
        spread = (errors or {}).get(name)
        ax.errorbar(
            across, np.asarray(values), yerr=None if spread is None else np.asarray(spread), color=colour,
            marker=marker, markersize=5, capsize=3, label=name,
        )  # fmt: skip
    ax.set(xlabel=x, ylabel=y, xscale="log")
    plain_ticks(ax)
    ax.legend(fontsize=8)
    return ax


def shares(
    values: Mapping[str, Sequence[float]], groups: Sequence[str], *, chance: float, y: str, ax: Axes | None = None
) -> Axes:
    """Bars side by side in each group, one for each name, and a dotted line at chance."""
    ax = ax or plt.subplots(figsize=(8, 3.4), layout="constrained")[1]
    width = 0.8 / len(values)
    for i, (name, heights) in enumerate(values.items()):
        places = [group + width * (i - (len(values) - 1) / 2) for group in range(len(groups))]
        ax.bar(places, heights, width, color=COLOURS[i], label=name)
    ax.axhline(chance, color="black", linewidth=1, linestyle=":", label="chance")
    ax.set_xticks(range(len(groups)), groups)
    ax.set_ylabel(y)
    ax.legend(fontsize=8, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return ax
