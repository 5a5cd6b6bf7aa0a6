"""Figures of pictures, filters, and of units that are tuned to a direction."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor


def pictures(images: Float[Tensor, "picture y x"], names: Sequence[str], *, n_columns: int = 10) -> list[Axes]:
    """Pictures in rows, each under its name: ink is white."""
    n_rows = math.ceil(len(images) / n_columns)
    size = (n_columns * 0.9, n_rows * 1.1)
    axes = plt.subplots(n_rows, n_columns, figsize=size, layout="constrained", squeeze=False)[1]
    for ax, image, name in zip(axes.flat, images, names):
        ax.imshow(np.asarray(image), cmap="gray", vmin=0, vmax=1)
        ax.set_title(name, fontsize=9)
    for ax in axes.flat:
        ax.axis("off")
    return list(axes.flat[: len(images)])


def filter_bank(
    filters: Float[Tensor, "unit y x"], names: Sequence[str], *, angles: Sequence[float | None] = (), n_columns: int = 6
) -> list[Axes]:
    """Weights as pictures, one scale for each: red where ink raises the unit, blue where it lowers it.

    An arrow from the middle of each filter that has an angle (radians, 0 right, pi / 2 below) points in that direction.
    """
    n_rows = math.ceil(len(filters) / n_columns)
    size = (n_columns * 1.3, n_rows * 1.55)
    axes = plt.subplots(n_rows, n_columns, figsize=size, layout="constrained", squeeze=False)[1]
    for n, (ax, weights, name) in enumerate(zip(axes.flat, filters, names)):
        limit = float(weights.abs().max())
        ax.imshow(np.asarray(weights), cmap="RdBu_r", vmin=-limit, vmax=limit)
        ax.set_title(name, fontsize=9)
        angle = angles[n] if n < len(angles) else None
        if angle is not None:
            middle, reach = (len(weights) - 1) / 2, 0.38 * len(weights)
            tip = (middle + reach * math.cos(angle), middle + reach * math.sin(angle))
            ax.annotate("", tip, (middle, middle), arrowprops={"arrowstyle": "-|>", "linewidth": 1.8})
    for ax in axes.flat:
        ax.axis("off")
    return list(axes.flat[: len(filters)])


def tuning_curves(
    panels: Mapping[str, Mapping[str, Float[Tensor, " angle"]]], *, y: str, n_columns: int = 4
) -> list[Axes]:
    """A panel for each unit: its answer over the angle of the stimulus, a line for each kind of stimulus."""
    n_rows = math.ceil(len(panels) / n_columns)
    size = (2.3 * n_columns, 2.0 * n_rows + 0.4)
    fig, axes = plt.subplots(n_rows, n_columns, figsize=size, layout="constrained", squeeze=False, sharex=True)
    for ax, (title, lines) in zip(axes.flat, panels.items()):
        for (name, values), style in zip(lines.items(), ("-", "--", ":", "-.")):
            ax.plot(360 * np.arange(len(values)) / len(values), np.asarray(values), style, label=name)
        ax.set_title(title, fontsize=9)
        ax.set(xticks=(0, 90, 180, 270), ylim=(0, None))
    for ax in axes.flat[len(panels) :]:
        ax.remove()
    fig.supxlabel("angle of the stimulus (degrees)", fontsize=10)
    fig.supylabel(y, fontsize=10)
    handles, names = axes.flat[0].get_legend_handles_labels()
    fig.legend(handles, names, loc="outside upper center", ncols=len(names), fontsize=9)
    return list(axes.flat[: len(panels)])


def offset_maps(maps: Float[Tensor, "panel y x"], titles: Sequence[str], *, label: str) -> list[Axes]:
    """Side by side and to one scale, a signed number for each offset: how far above or below, left or right it looks."""
    size = (2.6 * len(maps) + 1, 2.9)
    fig, axes = plt.subplots(1, len(maps), figsize=size, layout="constrained", squeeze=False)
    limit, reach = float(maps.abs().max()), maps.shape[-1] // 2
    for ax, values, title in zip(axes.flat, maps, titles):
        extent = (-reach - 0.5, reach + 0.5, reach + 0.5, -reach - 0.5)
        image = ax.imshow(np.asarray(values), cmap="RdBu_r", vmin=-limit, vmax=limit, extent=extent)
        ax.set(xlabel="offset to the right", xticks=range(-reach, reach + 1), yticks=range(-reach, reach + 1))
        ax.set_title(title, fontsize=10)
    axes[0, 0].set_ylabel("offset downwards")
    fig.colorbar(image, ax=axes, label=label, shrink=0.8)
    return list(axes.flat)


def loops(panels: Mapping[str, Float[Tensor, "angle 2"]]) -> list[Axes]:
    """Side by side, the path of a point in a plane as a stimulus is turned once; the colour is the angle, a cross the origin."""
    fig, axes = plt.subplots(1, len(panels), figsize=(2.7 * len(panels) + 1, 3), layout="constrained", squeeze=False)
    for ax, (title, points) in zip(axes.flat, panels.items()):
        closed = np.concatenate([np.asarray(points), np.asarray(points[:1])])
        ax.plot(*closed.T, color="silver", linewidth=1, zorder=1)
        degrees = 360 * np.arange(len(points)) / len(points)
        dots = ax.scatter(*np.asarray(points).T, c=degrees, cmap="twilight", vmin=0, vmax=360, s=40, zorder=2)
        dots.set_edgecolor("dimgrey")
        ax.plot(0, 0, "+", color="black", markersize=10)
        ax.set(aspect="equal", xlabel="first direction")
        ax.set_title(title, fontsize=10)
    axes[0, 0].set_ylabel("second direction")
    fig.colorbar(dots, ax=axes, label="angle of the stimulus (degrees)", shrink=0.9, ticks=(0, 90, 180, 270, 360))
    return list(axes.flat)


def verdicts(shares: Float[Tensor, "row 3"], rows: Sequence[str], numbers: Sequence[int]) -> Axes:
    """A bar for each kind of unit: the shares that fall in no category, in one, in several; with the number of units."""
    ax = plt.subplots(figsize=(8, 0.42 * len(rows) + 1), layout="constrained")[1]
    left = np.zeros(len(rows))
    looks = (("none", "whitesmoke", ""), ("one", "tab:green", ""), ("several", "tab:orange", "//"))
    for (name, colour, hatch), part in zip(looks, np.asarray(shares).T):
        ax.barh(rows, part, left=left, color=colour, hatch=hatch, edgecolor="dimgrey", linewidth=0.6, label=name)
        left = left + part
    for row, number in enumerate(numbers):
        ax.text(1.01, row, f"{number} units", va="center", fontsize=8)
    ax.invert_yaxis()
    ax.set(xlim=(0, 1.0), xlabel="share of the units")
    ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=9)
    return ax
