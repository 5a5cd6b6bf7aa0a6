"""Figures of notebooks 08 and 09: the corner, a head at work on a text, and what an intervention costs."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor

from walkthrough.figures.basics import label_tokens


def corner(
    table: Float[Tensor, "early late number"], null: Float[Tensor, "*batch early late number"], *, least: float = 0.0,
    title: str = "", ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A dot for each pair of heads: its first number across, its second up, its third as size.

    Grey crosses are `null`, tables of a shuffled vocabulary; the corner, above 0.5 both ways, is tinted, and those in it whose
    third number is above `least` are named.
    """
    across, up, size = table.flatten(0, 1).T
    names = [f"0:{early} → 1:{late}" for early in range(table.shape[0]) for late in range(table.shape[1])]
    ax = ax or plt.subplots(figsize=(4, 4), layout="constrained")[1]
    ax.fill_between((0.5, 1.08), 0.5, 1.08, color="mistyrose")
    x, y = null[..., 0].flatten(), null[..., 1].flatten()
    ax.scatter(x, y, marker="x", s=10, linewidths=0.6, color="grey", label="shuffled vocabulary")
    area = lambda gain: 8 + 60 * gain
    ax.scatter(across, up, s=area(size.clamp(min=0)), color="tab:blue", alpha=0.6)
    for gain in (0, 1, 3):
        ax.scatter([], [], s=area(gain), color="tab:blue", alpha=0.6, label=f"match gain {gain}")
    ax.legend(fontsize=7, loc="lower left", labelspacing=0.9)
    inside = [i for i in range(len(names)) if across[i] > 0.5 and up[i] > 0.5 and size[i] > least]
    for row, i in enumerate(sorted(inside, key=lambda i: -up[i])):
        line = {"arrowstyle": "-", "linewidth": 0.5, "color": "grey"}
        place = (-0.22, 1.0 - 0.12 * row)
        ax.annotate(names[i], (across[i], up[i]), place, ha="right", va="center", fontsize=8, arrowprops=line)
    ax.set(xlim=(-1.08, 1.08), ylim=(-1.08, 1.08), xlabel="positivity of the later head's OV", title=title)
    ax.set_ylabel("positivity of the K-composed term")
    return ax


def reading(
    pattern: Float[Tensor, "query key"], weighted: Float[Tensor, "query key"], effect: Float[Tensor, " query"],
    tokens: Sequence[str], *, title: str = "",
) -> list[Axes]:  # fmt: skip
    """A head on a text: its attention, the length of what it moves, and the logits it gives the token that came next."""
    fig, axes = plt.subplots(
        1, 3, figsize=(12, 6), layout="constrained", width_ratios=(5, 5, 1.3), sharey=True, gridspec_kw={"wspace": 0}
    )
    for ax, values, name in zip(axes, (pattern, weighted), ("attention", "attention × |v W_O|")):
        image = ax.imshow(np.asarray(values), cmap="Blues", vmin=0, aspect="auto")
        label_tokens(ax, tokens, tokens)
        ax.set(xlabel="key (looked at)", title=name)
        fig.colorbar(image, ax=ax, shrink=0.6, location="top", pad=0.02)
    axes[0].set_ylabel("query (looking)")
    axes[2].barh(range(len(effect)), np.asarray(effect), color=["tab:red" if x > 0 else "tab:blue" for x in effect])
    axes[2].axvline(0, color="black", linewidth=0.8)
    axes[2].set(xlabel="logits, on the\ntoken that came", title="logit effect")
    fig.suptitle(title)
    return list(axes)


def costs(
    means: Float[Tensor, "head change"], errors: Float[Tensor, "head change"], heads: Sequence[str],
    changes: Sequence[str], *, label: str, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A group of bars for each head, one bar for each change made to it, with error bars."""
    ax = ax or plt.subplots(figsize=(8, 3.2), layout="constrained")[1]
    width = 0.8 / len(changes)
    for i, change in enumerate(changes):
        places = [head + (i - (len(changes) - 1) / 2) * width for head in range(len(heads))]
        ax.bar(
            places,
            np.asarray(means[:, i]),
            width,
            yerr=np.asarray(errors[:, i]),
            label=change,
            color=f"C{i}",
            error_kw={"linewidth": 0.8},
        )
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xticks(range(len(heads)), heads)
    ax.set(xlabel="head", ylabel=label)
    ax.legend(fontsize=8)
    return ax


def stripes(pattern: Float[Tensor, "query key"], starts: Sequence[int], *, title: str, ax: Axes | None = None) -> Axes:
    """Attention on repeated tokens, too many to name; a thin line marks where each new copy starts."""
    ax = ax or plt.subplots(figsize=(4.6, 4), layout="constrained")[1]
    image = ax.imshow(np.asarray(pattern), cmap="Blues", vmin=0, vmax=1)
    for start in starts:
        ax.axhline(start - 0.5, color="grey", linewidth=0.6)
    ax.set(xlabel="key (position looked at)", ylabel="query (position looking)", title=title)
    ax.figure.colorbar(image, ax=ax, label="attention", shrink=0.7)
    return ax


def against(
    x: Sequence[float], lines: Mapping[str, Float[Tensor, " index"]], *, xlabel: str, ylabel: str,
    dashed: Sequence[str] = (), ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A labelled curve each, in its own colour, over the same x; up to three in `dashed` also have dashes of their own."""
    ax = ax or plt.subplots(figsize=(7.5, 3.2), layout="constrained")[1]
    styles = dict(zip(dashed, ((0, (5, 2)), (0, (1, 1.2)), (0, (5, 2, 1, 2)))))
    for name, values in lines.items():
        ax.plot(x, values, marker=".", label=name, linestyle=styles.get(name, "-"))
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if len(x) <= 10:
        ax.set_xticks(list(x))
    ax.legend(fontsize=8, handlelength=3, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def steering(grids: Mapping[str, Float[Tensor, "by step"]], *, head: str) -> list[Axes]:
    """One small table of numbers for each name: rows are what the head was made to do, columns where it led."""
    fig, axes = plt.subplots(1, len(grids), figsize=(4.5 * len(grids), 3.4), layout="constrained", squeeze=False)
    for ax, (name, grid) in zip(axes.flat, grids.items()):
        image = ax.imshow(np.asarray(grid), cmap="Blues")
        for by in range(len(grid)):
            for step in range(grid.shape[1]):
                bright = grid[by, step] > (grid.min() + grid.max()) / 2
                ax.text(
                    step, by, f"{grid[by, step]:.1f}", ha="center", va="center", color="white" if bright else "black"
                )
        ax.set_xticks(range(grid.shape[1]), range(1, grid.shape[1] + 1))
        ax.set_yticks(range(len(grid)), range(1, len(grid) + 1))
        ax.set(
            xlabel="tokens after the current one's earlier copy", ylabel=f"{head} is made to look back by", title=name
        )
        fig.colorbar(image, ax=ax, shrink=0.8)
    return list(axes.flat)
