"""Figures of a network made smaller: loss against size and against speed, the ranks that are left, and edges."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from torch import Tensor

STYLES = (("#1b4965", "o"), ("#e07a1f", "s"), ("#08704d", "D"), ("#f2c14e", "^"), ("#8a8a8a", "v"), ("#a23b72", "P"))


def cost_curves(
    curves: Mapping[str, Sequence[tuple[float, float, float]]], *, x: str, target: float | None = None,
    at: float | None = None, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A curve for each method through points (x, cost, standard error) in nats; upwards linear to 0.01, then logarithmic.

    A dotted line marks the loss that one is ready to pay, `target`, and another the size or speed that one wants, `at`.
    """
    ax = ax or plt.subplots(figsize=(7, 4.2), layout="constrained")[1]
    for (name, points), (colour, marker) in zip(curves.items(), STYLES):
        across, cost, error = (np.array(values, dtype=float) for values in zip(*sorted(points)))
        ax.errorbar(across, cost, yerr=error, color=colour, marker=marker, markersize=5, capsize=3, label=name)
    for draw, value in ((ax.axhline, target), (ax.axvline, at)):
        if value is not None:
            draw(value, color="black", linewidth=1, linestyle=":")
    ax.set_yscale("symlog", linthresh=0.01)
    lowest = min(cost - error for points in curves.values() for _, cost, error in points)
    ax.set(xlabel=x, ylabel="loss above the whole model's, nats", ylim=(min(0, lowest), None))
    ax.legend(fontsize=8)
    return ax


def rank_table(ranks: Int[Tensor, "kind layer head"], d_head: int) -> list[Axes]:
    """How many ranks are left of each head's QK and OV circuit; darker is more, and a dash is a head without scores (0)."""
    fig, axes = plt.subplots(1, len(ranks), figsize=(8.5, 2.2), layout="constrained", sharey=True)
    for ax, table, name in zip(axes, np.asarray(ranks), ("QK", "OV")):
        image = ax.imshow(table, cmap="Blues", vmin=0, vmax=d_head)
        for layer, row in enumerate(table):
            for head, rank in enumerate(row):
                colour = "white" if rank > d_head / 2 else "black"
                ax.text(head, layer, f"{rank}" if rank else "–", ha="center", va="center", color=colour, fontsize=9)
        ax.set(title=f"rank of {name}", xlabel="head", xticks=range(table.shape[1]), yticks=range(table.shape[0]))
    axes[0].set_ylabel("layer")
    fig.colorbar(image, ax=axes, label="rank", shrink=0.9)
    return list(axes)


def edge_costs(costs: Float[Tensor, "edge write read"], names: Sequence[str]) -> list[Axes]:
    """What cutting each edge costs: a panel for each of its three ends, writers down and readers across; one scale."""
    fig, axes = plt.subplots(1, len(costs), figsize=(9.5, 3.2), layout="constrained", sharey=True)
    limit = float(costs.abs().max())
    for ax, table, name in zip(axes, np.asarray(costs), names):
        image = ax.imshow(table, cmap="RdBu_r", vmin=-limit, vmax=limit)
        ax.set(title=f"into the {name}", xlabel="head of layer 1")
    axes[0].set_ylabel("head of layer 0")
    fig.colorbar(image, ax=axes, label="nats that cutting it costs", shrink=0.9)
    return list(axes)


def rank_shares(curves: Mapping[str, Float[Tensor, " rank"]], *, ax: Axes | None = None) -> Axes:
    """The share of the mean square that is lost if so many ranks are kept, a curve for each circuit; logarithmic."""
    ax = ax or plt.subplots(figsize=(6.5, 3.6), layout="constrained")[1]
    for (name, shares), (colour, _) in zip(curves.items(), STYLES):
        lost = 1 - np.concatenate([[0], np.cumsum(np.asarray(shares, dtype=float))])[:-1]
        ax.plot(range(len(lost)), lost, color=colour, label=name)
    ax.set(yscale="log", xlabel="ranks kept", ylabel="share of the mean square that is lost")
    ax.legend(fontsize=8)
    return ax
