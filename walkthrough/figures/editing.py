"""Figures of biases, edits and attacks: effects with baselines, costs on a logarithmic axis, success call by call."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

COLOURS = ("#1b4965", "#e07a1f", "#08704d", "#b23a48", "#6a4c93", "#7a7a7a")
MARKERS = "osD^vX*P"


def rises(
    names: Sequence[str], found: Sequence[float], spread: Sequence[float], left: Sequence[float],
    baseline: Sequence[float], *, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A row for each bias: its rise in nats with its spread over contexts, and what an edit leaves; a band for a baseline."""
    ax = ax or plt.subplots(figsize=(7.5, 0.5 * len(names) + 1.2), layout="constrained")[1]
    places = np.arange(len(names))
    low, high = np.quantile(baseline, (0.05, 0.95))
    ax.axvspan(low, high, color="#d0d0d0", label="terms to compare with: 9 of 10")
    ax.errorbar(found, places, xerr=spread, fmt="o", color=COLOURS[0], capsize=3, label="before (bar: one std. dev.)")
    ax.plot(left, places, "D", color=COLOURS[1], label="after the edit")
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_yticks(places, names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlabel("rise of the out's log-probability, in nats")
    ax.legend(fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False)
    return ax


def effect_against_cost(
    names: Sequence[str], left: Sequence[float], costs: Sequence[float], errors: Sequence[float], before: float, *,
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A point for each way to take a bias away: what is left of it (across), and the cost elsewhere with its standard error.

    Ways of the same name share a sign. The scale is logarithmic above 10^-4 nats and straight below, so that gains fit.
    """
    ax = ax or plt.subplots(figsize=(8.5, 3.8), layout="constrained")[1]
    ax.axvline(before, color="black", linestyle=":", linewidth=1, label="before")
    kinds = list(dict.fromkeys(names))
    for number, kind in enumerate(kinds):
        some = [place for place, name in enumerate(names) if name == kind]
        x, y, error = (np.asarray(values)[some] for values in (left, costs, errors))
        ax.errorbar(
            x,
            y,
            yerr=error,
            fmt=MARKERS[number % len(MARKERS)],
            color=COLOURS[number % len(COLOURS)],
            capsize=3,
            label=kind,
        )
    ax.set_yscale("symlog", linthresh=1e-4)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set(xlabel="what is left of the rise, in nats", ylabel="cost elsewhere, in nats a token")
    ax.set_xlim(left=min(0, *left))
    ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return ax


def success_by_calls(calls: Mapping[str, Sequence[int]], n_calls: int, *, ax: Axes | None = None) -> Axes:
    """The share of targets that each way to attack has won after each number of calls (logarithmic); 0 means never won."""
    ax = ax or plt.subplots(figsize=(7.5, 3.2), layout="constrained")[1]
    across = np.arange(1, n_calls + 1)
    for number, (name, each) in enumerate(calls.items()):
        won = np.sort([call for call in each if call > 0])
        share = np.searchsorted(won, across, side="right") / len(each)
        style = dict(color=COLOURS[number % len(COLOURS)], linestyle=("-", "--", ":")[number % 3], linewidth=2)
        ax.step(across, share, where="post", label=name, **style)
    ax.set(xscale="log", xlabel="calls of the model", ylabel="share of targets won", ylim=(-0.02, 1))
    ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return ax


def weights_against_runs(
    weights: Sequence[float], runs: Sequence[float], marked: Mapping[str, tuple[float, float]] | None = None, *,
    floor: float = 1e-6, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A dot for each pair of tokens: its score from weights (across) and from runs (up), both logarithmic.

    Scores below `floor`, zero and less among them, stand at it. Some dots get a ring and a name, in the legend.
    """
    ax = ax or plt.subplots(figsize=(7, 4.2), layout="constrained")[1]
    ax.plot(np.maximum(weights, floor), np.maximum(runs, floor), ".", color=COLOURS[0], alpha=0.4)
    ax.plot((floor, 1), (floor, 1), color="black", linewidth=0.8, linestyle=":", label="equal")
    for number, (name, (x, y)) in enumerate((marked or {}).items()):
        sign, colour = MARKERS[number % len(MARKERS)], COLOURS[1 + number % (len(COLOURS) - 1)]
        ax.plot(max(x, floor), max(y, floor), sign, markersize=8, markerfacecolor="none", color=colour, label=name)
    ax.set(xscale="log", yscale="log", xlabel="score from weights, in nats", ylabel="score from runs, in nats")
    ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return ax


def listed_terms_in_runs(
    scores: Sequence[float], rises_in_runs: Sequence[float], planted: Sequence[bool], least: float, *,
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A dot for each term of a search's list: its score from weights, and its mean rise in runs; planted terms are diamonds."""
    ax = ax or plt.subplots(figsize=(6, 3.4), layout="constrained")[1]
    scores, rises_in_runs, planted = (np.asarray(values) for values in (scores, rises_in_runs, planted))
    ax.axhline(0, color="black", linewidth=0.8)
    ax.axhline(least, color="black", linewidth=0.8, linestyle=":", label=f"borne out: {least:g} nats")
    ax.plot(scores[~planted], rises_in_runs[~planted], ".", color=COLOURS[-1], label="not planted")
    ax.plot(scores[planted], rises_in_runs[planted], "D", color=COLOURS[1], label="planted")
    ax.set(xscale="log", xlabel="score from weights, in nats", ylabel="mean rise in runs, in nats")
    ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return ax
