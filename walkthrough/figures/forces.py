"""Figures of heads as forces: cosines through layers, heads against heads, and how far a head
reaches.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from torch import Tensor

COLOURS = ("#1b4965", "#e07a1f", "#08704d", "#8a8a8a", "#8e5ea2", "#c0392b", "#5aa9e6")
Array = Tensor | np.ndarray


def through_layers(
    whole: Mapping[str, Float[Array, "part text"]], common: Mapping[str, Float[Array, "part text"]],
    parts: Mapping[str, Sequence[str]],
) -> list[Axes]:  # fmt: skip
    """For each model, the mean cosine of each text after each part (thin), their mean (thick), and what a common
    direction gives.

    The filled area is the mean of `common`; what lies between it and the thick line is the rest.
    """
    panels = plt.subplots(
        1, len(whole), figsize=(2.7 * len(whole) + 0.6, 3.4), sharey=True, layout="constrained", squeeze=False
    )
    axes = list(panels[1].flat)
    for ax, (name, curves) in zip(axes, whole.items()):
        curves, shared = np.asarray(curves), np.asarray(common[name]).mean(1)
        places = np.arange(len(curves))
        ax.fill_between(places, 0, shared, color="#f2c14e", alpha=0.5, label="of it: one common direction")
        ax.plot(places, curves, color="#1b4965", linewidth=0.7, alpha=0.4)
        ax.plot(places, curves.mean(1), color="#1b4965", linewidth=2.5, label="mean cosine (thin: each text)")
        ax.axhline(0, color="black", linewidth=0.6)
        ax.set_xticks(places, parts[name], rotation=45, ha="right", fontsize=8)
        ax.set_title(name, fontsize=10)
    axes[0].set_ylabel("cosine between two tokens")
    axes[0].legend(fontsize=7, loc="upper left")
    return axes


def heads_against(
    x: Float[Array, " head"], y: Float[Array, " head"], model: Int[Array, " head"], models: Sequence[str], *,
    labels: tuple[str, str], legend: bool = True, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A dot for every head, in the colour of its model; lines at zero."""
    ax = ax or plt.subplots(figsize=(5, 3.8), layout="constrained")[1]
    x, y, model = np.asarray(x), np.asarray(y), np.asarray(model)
    for i, name in enumerate(models):
        ax.plot(x[model == i], y[model == i], "o", color=COLOURS[i % len(COLOURS)], markersize=5, alpha=0.8, label=name)
    ax.axhline(0, color="black", linewidth=0.6)
    ax.axvline(0, color="black", linewidth=0.6)
    ax.set(xlabel=labels[0], ylabel=labels[1])
    if legend:
        ax.legend(fontsize=7)
    return ax


def force_parts(
    radial: Float[Array, " head"], towards: Float[Array, " head"], sideways: Float[Array, " head"],
    names: Sequence[str], *, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A bar for each head, from 0 to 1: how its squared force is shared out among three directions."""
    ax = ax or plt.subplots(figsize=(6.5, 0.8 + 0.24 * len(names)), layout="constrained")[1]
    left = np.zeros(len(names))
    kinds = {
        "on the way to the sender": (towards, "#e07a1f"),
        "along the token itself": (radial, "#1b4965"),
        "sideways": (sideways, "#d0d0d0"),
    }
    for label, (shares, colour) in kinds.items():
        ax.barh(range(len(names)), np.asarray(shares), left=left, color=colour, label=label)
        left = left + np.asarray(shares)
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.invert_yaxis()
    ax.set(xlabel="share of the squared force", xlim=(0, 1))
    ax.legend(fontsize=8, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return ax


def reach(
    curves: Mapping[str, Float[Array, " distance"]], *, marks: Mapping[str, int] | None = None, ax: Axes | None = None
) -> Axes:
    """What share of each head's force comes from each distance back; dotted lines at the distances that are marked by
    name.
    """
    ax = ax or plt.subplots(figsize=(7.5, 3), layout="constrained")[1]
    for i, (name, shares) in enumerate(curves.items()):
        ax.plot(np.asarray(shares), "o-", color=COLOURS[i], markersize=3, linewidth=1, label=name)
    for name, distance in (marks or {}).items():
        ax.axvline(distance, color="black", linewidth=0.9, linestyle=":")
        ax.annotate(name, (distance, 1), xytext=(3, 2), textcoords="offset points", fontsize=8, va="bottom")
    ax.set(xlabel="distance back, in tokens", ylabel="share of the head's force", ylim=(-0.03, 1.12))
    ax.legend(fontsize=8, loc="center right")
    return ax


def step_curves(
    curves: Mapping[str, Float[Array, " time"]], fits: Mapping[str, Float[Array, " time"]], *, ax: Axes | None = None
) -> Axes:
    """The mean cosine from step to step (dots), and in the same colour the equation that was fitted to it (line), where
    there is one.
    """
    ax = ax or plt.subplots(figsize=(7, 3.6), layout="constrained")[1]
    for i, (name, values) in enumerate(curves.items()):
        ax.plot(np.asarray(values), "o", color=COLOURS[i], markersize=5, label=name)
        if name in fits:
            ax.plot(np.asarray(fits[name]), color=COLOURS[i], linewidth=1.2)
    ax.plot([], [], color="black", linewidth=1.2, label="equation of equal angles, fitted")
    ax.set(xlabel="times that the layer was applied", ylabel="mean cosine between two tokens", ylim=(-0.02, 1.02))
    ax.legend(fontsize=8)
    return ax


def times_applied(
    times: Sequence[int], cosines: Mapping[str, Float[Array, " time"]], losses: Mapping[str, Float[Array, " time"]], *,
    trained: int,
) -> list[Axes]:  # fmt: skip
    """Mean cosine and loss over how often the layer is applied, on a logarithmic axis; dotted: as in training.

    Both panels take the colours in order, so begin both with the same curves.
    """
    axes = list(plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")[1])
    for ax, curves, label in zip(axes, (cosines, losses), ("mean cosine between two tokens", "loss (nats)")):
        for i, (name, values) in enumerate(curves.items()):
            ax.plot(times, np.asarray(values), "o-", color=COLOURS[i], markersize=4, label=name)
        ax.axvline(trained, color="black", linewidth=0.9, linestyle=":", label=f"in training: {trained} times")
        ax.set(xscale="log", xlabel="times that the layer is applied", ylabel=label)
        ax.set_xticks(times, [str(time) for time in times])
        ax.set_xticks([], minor=True)
    axes[0].legend(fontsize=8, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    return axes
