"""Figures of a training run: losses and head scores against the tokens that were learnt from."""

from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from torch import Tensor

Numbers = Sequence | np.ndarray | Tensor
Mark = tuple[float | int, str]  # tokens, and the word for what happened there
COLOURS = ("C0", "C1", "C2", "C3", "C4", "C5", "C6", "C8")  # one for each head of a layer
STYLES = ("--", "-", ":", "-.")  # one for each layer


def over_tokens(tokens: Numbers, ax: Axes, *, y: str, marks: Iterable[Mark] = (), log_x: bool = False) -> Axes:
    """Label the axes of a run, and mark places in it: a thin line each, with its word on top."""
    for at, word in marks:
        ax.axvline(at, color="dimgrey", linewidth=0.8, linestyle=(0, (2, 2)))
        place = {"xycoords": ("data", "axes fraction"), "xytext": (0, 2), "textcoords": "offset points"}
        ax.annotate(word, (at, 1), **place, fontsize=7, color="dimgrey", ha="center", va="bottom")
    ax.set(xlabel="tokens learnt from", ylabel=y)
    if log_x:
        ax.set_xscale("log")
    elif np.max(tokens) >= 1e6:
        ax.xaxis.set_major_formatter(lambda value, _: f"{value / 1e6:g}M")
    elif np.max(tokens) >= 1e4:
        ax.xaxis.set_major_formatter(lambda value, _: f"{value / 1e3:g}k")
    return ax


def losses(
    tokens: Numbers, lines: Mapping[str, Numbers], *, marks: Iterable[Mark] = (),
    log_x: bool = False, y: str = "loss (nats)", ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """One labelled curve each over the tokens learnt from; `marks` are places (tokens, word) in the run."""
    ax = ax or plt.subplots(figsize=(5, 3.5), layout="constrained")[1]
    for colour, (name, values) in zip(COLOURS, lines.items()):
        ax.plot(tokens, values, color=colour, label=name)
    ax.legend(fontsize=8)
    return over_tokens(tokens, ax, y=y, marks=marks, log_x=log_x)


def head_scores(
    tokens: Numbers, scores: Numbers, *, y: str,
    marks: Iterable[Mark] = (), silent: Iterable[tuple[int, int]] = (), line: float | int | None = None,
    log_x: bool = False, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A score of every head, [time][layer][head], over the tokens learnt from.

    Colours tell heads apart, and dashes layers. Heads that are `silent` at the end are drawn pale, and named "ablated".
    `line` is a level to compare with.
    """
    ax = ax or plt.subplots(figsize=(5, 3.5), layout="constrained")[1]
    scores, silent = np.asarray(scores), set(map(tuple, silent))
    for layer, style in zip(range(scores.shape[1]), STYLES):
        for head in range(scores.shape[2]):
            off = (layer, head) in silent
            label = f"{layer}:{head}" + " (ablated)" * off
            colour = COLOURS[head % len(COLOURS)]
            ax.plot(tokens, scores[:, layer, head], style, color=colour, label=label, alpha=0.3 if off else 1)
    if line is not None:
        ax.axhline(line, color="grey", linewidth=0.8, linestyle=":")
    ax.set_ylim(0, 1)
    ax.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5), title="head", title_fontsize=7)
    return over_tokens(tokens, ax, y=y, marks=marks, log_x=log_x)
