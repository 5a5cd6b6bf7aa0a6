"""Figures of a forming head: what came when, from seed to seed, and which tokens gained."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor

MARKERS = ("o", "s", "^", "D")


def arrivals(
    times: Float[Tensor, "seed quantity"], names: Sequence[str], seeds: Sequence[int], *, ax: Axes | None = None
) -> Axes:
    """A row for each quantity, the first to come on top, and in it a mark for each seed, over the tokens learnt from."""
    ax = ax or plt.subplots(figsize=(7.5, 0.6 + 0.36 * len(names)), layout="constrained")[1]
    times = np.asarray(times)
    for row in range(len(names)):
        ax.plot([times[:, row].min(), times[:, row].max()], [row, row], color="lightgrey", linewidth=4, zorder=0)
    for values, seed, marker in zip(times, seeds, MARKERS):
        ax.plot(values, range(len(names)), marker, markersize=6, label=f"seed {seed}")
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.xaxis.set_major_formatter(lambda value, _: f"{value / 1e6:g}M")
    ax.set_xlabel("tokens learnt from")
    ax.grid(axis="x", alpha=0.3)
    ax.legend(fontsize=8, loc="upper right")
    return ax


def gains(
    changes: Float[Tensor, "kind model"], errors: Float[Tensor, "kind model"], kinds: Sequence[str],
    models: Sequence[str], *, label: str, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Bars in groups: how a number changed on each kind of token, in each model; with standard errors."""
    ax = ax or plt.subplots(figsize=(7.5, 3.2), layout="constrained")[1]
    width = 0.8 / len(models)
    for column, model in enumerate(models):
        x = np.arange(len(kinds)) + (column - (len(models) - 1) / 2) * width
        ax.bar(x, np.asarray(changes)[:, column], width, yerr=np.asarray(errors)[:, column], label=model, capsize=3)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xticks(range(len(kinds)), kinds)
    ax.set_ylabel(label)
    ax.legend(fontsize=8)
    return ax
