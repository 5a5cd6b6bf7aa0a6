"""Figures of biases, edits and attacks: effects with baselines, costs on a logarithmic axis, success call by call."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

COLOURS = ("#1b4965", "#e07a1f", "#08704d", "#8a8a8a")


def rises(
    names: Sequence[str], found: Sequence[float], spread: Sequence[float], left: Sequence[float],
    baseline: Sequence[float], *, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A row for each bias: its rise in nats with its spread over contexts, and what an edit leaves; a band for random terms."""
    ax = ax or plt.subplots(figsize=(7.5, 0.6 * len(names) + 1.4), layout="constrained")[1]
    places = np.arange(len(names))
    low, high = np.quantile(baseline, (0.05, 0.95))
    ax.axvspan(low, high, color="#d0d0d0", label="random terms: 9 of 10")
    ax.errorbar(found, places, xerr=spread, fmt="o", color=COLOURS[0], capsize=3, label="before (bar: one std. dev.)")
    ax.plot(left, places, "D", color=COLOURS[1], label="after the edit")
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_yticks(places, names)
    ax.invert_yaxis()
    ax.set_xlabel("rise of the out's log-probability, in nats")
    ax.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 1.25), ncols=3)
    return ax


def effect_against_cost(
    names: Sequence[str], left: Sequence[float], costs: Sequence[float], errors: Sequence[float], before: float, *,
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """What each way to remove a bias leaves of it (across) and costs elsewhere (up, logarithmic beyond 0.1 millinats)."""
    ax = ax or plt.subplots(figsize=(7.5, 4.2), layout="constrained")[1]
    ax.axvline(before, color="black", linestyle=":", linewidth=1, label="before")
    for i, (name, x, y, error) in enumerate(zip(names, left, costs, errors)):
        ax.errorbar(x, y, yerr=error, fmt="osD^v<>phX*"[i % 11], color=COLOURS[i % len(COLOURS)], capsize=3, label=name)
    ax.set_yscale("symlog", linthresh=1e-4)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set(xlabel="what is left of the rise, in nats", ylabel="cost elsewhere, in nats a token")
    ax.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    return ax


def success_by_calls(calls: Mapping[str, Sequence[int]], n_calls: int, *, ax: Axes | None = None) -> Axes:
    """The share of targets that each way to attack has won after each number of calls (logarithmic); 0 means never won."""
    ax = ax or plt.subplots(figsize=(6.5, 3.6), layout="constrained")[1]
    for (name, each), colour in zip(calls.items(), COLOURS):
        each = np.asarray(each)
        across = np.arange(1, n_calls + 1)
        ax.step(
            across,
            [np.mean((each > 0) & (each <= n)) for n in across],
            where="post",
            color=colour,
            linewidth=2,
            label=name,
        )
    ax.set(xscale="log", xlabel="calls of the model", ylabel="share of targets won", ylim=(0, 1))
    ax.legend(fontsize=8)
    return ax


def weights_against_runs(
    weights: Sequence[float], runs: Sequence[float], marked: Mapping[str, tuple[float, float]] | None = None, *,
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A dot for each pair of tokens: its score from weights (across) and from runs (up), both logarithmic; some with names."""
    ax = ax or plt.subplots(figsize=(5.2, 4.6), layout="constrained")[1]
    floor = 1e-6
    ax.plot(np.maximum(weights, floor), np.maximum(runs, floor), ".", color=COLOURS[0], alpha=0.4)
    ax.plot((floor, 1), (floor, 1), color="black", linewidth=0.8, linestyle=":", label="equal")
    for name, (x, y) in (marked or {}).items():
        ax.annotate(name, (max(x, floor), max(y, floor)), fontsize=8)
    ax.set(xscale="log", yscale="log", xlabel="score from weights, in nats", ylabel="score from runs, in nats")
    ax.legend(fontsize=8)
    return ax
