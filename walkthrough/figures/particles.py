"""Figures of tokens as particles: where they go, when they are together, and the shapes they form without a sphere."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes

Number = float | int
Dots = tuple[Float[np.ndarray, " mark"], Float[np.ndarray, " mark"]]  # when, and how high
BLUE, ORANGE, GREEN, VIOLET, GREY = "#1b4965", "#b8500a", "#08704d", "#86288f", "#8a8a8a"
LINES = ((BLUE, "-"), (ORANGE, "--"), (GREEN, "-."), (VIOLET, ":"), ("#000000", (0, (5, 1, 1, 1, 1, 1))), (GREY, "-"))


def moments(
    x: Float[np.ndarray, "time token dim"], titles: Sequence[str], *, hues: Float[np.ndarray, " token"] | None = None
) -> list[Axes]:
    """Tokens on the circle or the sphere at several times, a panel each; in three dimensions, those behind are paler.

    `hues`, from 0 to 1, colour the tokens; without them all are blue.
    """
    size = (2.3 * len(x), 2.7)
    axes = plt.subplots(1, len(x), figsize=size, layout="constrained", squeeze=False)[1]
    turn = np.linspace(0, 2 * np.pi, 200)
    for ax, points, title in zip(axes.flat, x, titles):
        ax.plot(np.cos(turn), np.sin(turn), color=GREY, linewidth=0.8)
        near = 0.25 + 0.75 * (points[:, 2] + 1) / 2 if points.shape[1] > 2 else np.ones(len(points))
        colour = {"color": BLUE} if hues is None else {"c": hues, "cmap": "twilight", "vmin": 0, "vmax": 1}
        ax.scatter(points[:, 0], points[:, 1], s=28, alpha=near, edgecolors="white", linewidths=0.4, zorder=3, **colour)
        ax.set(title=title, aspect="equal", xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), xticks=[], yticks=[])
        ax.set_frame_on(False)
    return list(axes.flat)


def over_time(
    times: Float[np.ndarray, " time"], curves: Mapping[str, Float[np.ndarray, " time"]], *, y: str, log_x: bool = False,
    log_y: bool = False, marks: Mapping[str, Dots] | None = None, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A line for each name over time, and dots for each name of `marks` (their times, their heights)."""
    ax = ax or plt.subplots(figsize=(6.5, 3.4), layout="constrained")[1]
    for (name, values), (colour, dash) in zip(curves.items(), LINES):
        ax.plot(times, values, color=colour, linestyle=dash, label=name)
    for (name, (at, values)), (colour, _) in zip((marks or {}).items(), LINES):
        ax.plot(at, values, "o", color=colour, markersize=4, markerfacecolor="white", label=name)
    ax.set(xlabel="time", ylabel=y)
    if log_x:
        ax.set_xscale("symlog" if times[0] == 0 else "log")
    if log_y:
        ax.set_yscale("log")
    ax.legend(fontsize=8)
    return ax


def phase_maps(
    diagrams: Mapping[str, Float[np.ndarray, "time beta"]], times: Float[np.ndarray, " time"],
    betas: Float[np.ndarray, " beta"], *, crossing: Float[np.ndarray, " beta"] | None = None, named: str = "",
) -> list[Axes]:  # fmt: skip
    """For each title the share of pairs that are together, over beta (across) and time (up), all on one scale.

    `crossing`, a time for each beta, is drawn over each as a line, and `named` says what it is.
    """
    size = (3.1 * len(diagrams) + 0.8, 3.4)
    fig, axes = plt.subplots(1, len(diagrams), figsize=size, layout="constrained", sharey=True, squeeze=False)
    for ax, (title, share) in zip(axes.flat, diagrams.items()):
        image = ax.pcolormesh(betas, times, share, cmap="viridis", vmin=0, vmax=1, shading="nearest")
        if crossing is not None:
            ax.plot(betas, crossing, color="white", linewidth=3.5)
            ax.plot(betas, crossing, color="#d1310c", linewidth=1.8, linestyle="--", label=named)
        ax.set(title=title, xlabel="beta", xlim=(betas[0], betas[-1]), ylim=(times[0], times[-1]))
    axes[0, 0].set_ylabel("time")
    if named:
        axes[0, 0].legend(fontsize=8, loc="upper left")
    fig.colorbar(image, ax=axes, label="share of pairs together")
    return list(axes.flat)


def cluster_shares(
    counts: Mapping[str, Int[np.ndarray, "beta seed"]], betas: Sequence[Number], *, most: int = 5
) -> list[Axes]:
    """For each title and beta, a stacked bar: in which share of the starts there were 1, 2, 3, … clusters."""
    size = (3.1 * len(counts) + 0.8, 3.2)
    fig, axes = plt.subplots(1, len(counts), figsize=size, layout="constrained", sharey=True, squeeze=False)
    shades = plt.get_cmap("viridis")(np.linspace(0, 0.95, most))
    for ax, (title, found) in zip(axes.flat, counts.items()):
        below = np.zeros(len(betas))
        for k in range(1, most + 1):
            share = ((found == k) if k < most else (found >= most)).mean(1)
            name = f"{k}" + (" or more" if k == most else "")
            ax.bar(range(len(betas)), share, 0.8, below, color=shades[k - 1], edgecolor="white", label=name)
            below += share
        ax.set_xticks(range(len(betas)), [f"{beta:g}" for beta in betas])
        ax.set(title=title, xlabel="beta", ylim=(0, 1))
    axes[0, 0].set_ylabel("share of the starts")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), title="clusters", fontsize=8, loc="outside right upper")
    return list(axes.flat)


def staircase(
    times: Float[np.ndarray, " time"], energy: Float[np.ndarray, " time"], clusters: np.ndarray, *, top: Number
) -> tuple[Axes, Axes]:
    """The energy over time, on a logarithmic axis, below a dotted line at that of one point; the number of clusters."""
    upper, lower = plt.subplots(2, 1, figsize=(7, 4.2), layout="constrained", sharex=True, height_ratios=(2, 1))[1]
    upper.plot(times, energy, color=BLUE)
    upper.axhline(top, color="black", linestyle=":", linewidth=1, label="all tokens in one point")
    upper.set(ylabel="energy", xscale="log")
    upper.legend(fontsize=8, loc="lower right")
    lower.step(times, clusters, where="post", color=ORANGE)
    lower.set(xlabel="time", ylabel="clusters", yscale="log")
    ticks = [k for k in (1, 2, 3, 5, 10, 30, 100) if k <= clusters.max()]
    lower.set_yticks(ticks, [str(k) for k in ticks])
    lower.minorticks_off()
    return upper, lower


def shapes(
    panels: Mapping[str, tuple[Float[np.ndarray, "time token 2"], Bool[np.ndarray, " token"]]],
) -> list[Axes]:
    """Paths of tokens in the plane, from grey dots to where they end; the chosen ones end orange, the others blue."""
    size = (3.4 * len(panels), 3.4)
    axes = plt.subplots(1, len(panels), figsize=size, layout="constrained", squeeze=False)[1]
    for ax, (title, (z, chosen)) in zip(axes.flat, panels.items()):
        ax.plot(z[..., 0], z[..., 1], color=GREY, linewidth=0.5, alpha=0.6)
        ax.plot(z[0, :, 0], z[0, :, 1], ".", color=GREY, markersize=5, label="start")
        for which, colour, marker in ((~chosen, BLUE, "o"), (chosen, ORANGE, "s")):
            ax.plot(z[-1, which, 0], z[-1, which, 1], marker, color=colour, markersize=6, zorder=3)
        ax.set(title=title, aspect="equal", xlabel="coordinate 0")
    axes[0, 0].set_ylabel("coordinate 1")
    return list(axes.flat)
