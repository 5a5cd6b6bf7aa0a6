"""Figures of how heads read one another: arrays, labels and an `ax` in, the `ax` out, as in `basics`."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from torch import Tensor

from walkthrough.figures.basics import head_pairs


def wires(
    values: Float[Tensor, "write read"], *, limit: float, layers: tuple[int, int] = (0, 1), colour: str = "tab:red",
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A line from each head that writes (below) to each that reads (above), as thick as its value; none below zero.

    A line of the value `limit` is eight points wide; none is thinner than 0.8, and below a fiftieth of it there is none.
    """
    ax = ax or plt.subplots(figsize=(4, 2.5), layout="constrained")[1]
    for layer, height, n_heads in zip(layers, (0, 1), values.shape):
        ax.scatter([head / max(n_heads - 1, 1) for head in range(n_heads)], [height] * n_heads, s=12, color="black")
        for head in range(n_heads):
            place = (head / max(n_heads - 1, 1), height + (0.06 if height else -0.06))
            ax.annotate(f"{layer}:{head}", place, ha="center", va="bottom" if height else "top", fontsize=8)
    for write, read in (values > limit / 50).nonzero().tolist():
        ends = write / max(values.shape[0] - 1, 1), read / max(values.shape[1] - 1, 1)
        ax.plot(ends, (0, 1), color=colour, alpha=0.7, linewidth=width(float(values[write, read]), limit))
    ax.set(xticks=[], yticks=[], xlim=(-0.1, 1.1), ylim=(-0.25, 1.25))
    ax.spines[:].set_visible(False)
    return ax


def width(value: float, limit: float) -> float:
    """How many points wide the line of a value is, if that of `limit` is eight points wide."""
    return max(0.8, 8 * value / limit)


def thickness(ax: Axes, values: Sequence[float], *, limit: float, label: str, colour: str = "tab:red") -> Axes:
    """Say under a picture of wires how thick the line of some values is; `label` says what they are."""
    samples = [Line2D([], [], color=colour, alpha=0.7, linewidth=width(value, limit)) for value in values]
    names = [f"{value:g}" for value in values]
    ax.figure.legend(samples, names, title=label, loc="outside lower center", ncols=len(values), fontsize=8)
    return ax


def bold(ax: Axes, names: Sequence[str]) -> Axes:
    """Put the names of these heads ("1:6") in bold, where they are ticks across or stand in the picture."""
    for label in [*ax.get_xticklabels(), *ax.texts]:
        if label.get_text() in names:
            label.set_fontweight("bold")
    return ax


def grouped(
    means: Float[Tensor, "group part"], spreads: Float[Tensor, "group part"], groups: Sequence[str],
    parts: Sequence[str], *, label: str, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A group of bars side by side, one for each part; the thin black line on each is its spread to both sides."""
    ax = ax or plt.subplots(figsize=(9, 3.4), layout="constrained")[1]
    each = 0.8 / len(parts)
    for i, (name, colour) in enumerate(zip(parts, ("lightgrey", "tab:blue", "tab:orange", "tab:purple"))):
        places = [group - 0.4 + each * (i + 0.5) for group in range(len(groups))]
        ax.bar(places, means[:, i].tolist(), each, yerr=spreads[:, i].tolist(), color=colour, label=name, capsize=2)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xticks(range(len(groups)), groups, fontsize=9)
    ax.set_ylabel(label)
    ax.legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def against_chance(
    across: Float[Tensor, "write read"], up: Float[Tensor, "write read"], by_chance: Float[Tensor, "write read"], *,
    x: str, y: str, named: Mapping[str, tuple[int, int]], ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A dot for each pair of heads, and above or below it a grey ring: the height that the same pair has by chance.

    The pairs in `named` have their names beside their dots.
    """
    ax = ax or plt.subplots(figsize=(7, 4), layout="constrained")[1]
    flat = across.flatten(), by_chance.flatten()
    ax.scatter(*flat, s=22, facecolors="none", edgecolors="darkgrey", linewidths=1, label="by chance")
    ax.scatter(across.flatten(), up.flatten(), s=22, color="tab:blue", label="as it is", zorder=3)
    for name, pair in named.items():
        at = float(across[pair]), float(up[pair])
        toward = "right" if at[0] > float(across.min() + across.max()) / 2 else "left"
        place = (-6 if toward == "right" else 6, 4)
        ax.annotate(name, at, xytext=place, textcoords="offset points", fontsize=9, ha=toward)
    ax.set(xlabel=x, ylabel=y, ylim=(0, None))
    ax.legend(loc="upper right")
    return ax


def three_kinds(
    scores: Mapping[str, Float[Tensor, "write read"]], baseline: float, within: Mapping[str, tuple[float, float]], *,
    bold_names: Sequence[str],
) -> list[Axes]:  # fmt: skip
    """Maps of composition scores minus chance for Q, K and V, all to one scale; a dot where random pairs lie."""
    fig = plt.figure(figsize=(10, 3.7), layout="constrained")
    axes = list(fig.subplots(1, len(scores)))
    limit = max(float((each - baseline).abs().max()) for each in scores.values())
    for ax, (kind, each) in zip(axes, scores.items()):
        head_pairs(each - baseline, limit=limit, within=within[kind], ax=ax)
        bold(ax, bold_names).set_title(f"{kind}-composition")
    fig.colorbar(axes[-1].images[0], ax=axes, label="score minus chance", shrink=0.7)
    return axes


def two_programs(
    over: Mapping[tuple[str, str], Float[Tensor, "write read"]], *, bold_names: Sequence[str]
) -> list[Axes]:
    """Wires by two programs, a row each, for Q, K and V: all panels to one scale, which is written below them."""
    axes = plt.subplots(2, 3, figsize=(9, 4.4), layout="constrained")[1]
    limit = max(float(each.max()) for each in over.values())
    for ax, ((name, kind), each) in zip(axes.flat, over.items()):
        wires(each, limit=limit, ax=ax)
        bold(ax, bold_names).set_title(f"program {name}: {kind}")
    label = "score above chance, the same scale in all six"
    thickness(axes[0, 0], [round(limit * part, 3) for part in (1, 0.5, 0.25, 0.1)], limit=limit, label=label)
    return list(axes.flat)


def models_side_by_side(
    ratios: Mapping[str, Float[Tensor, "write read"]], bold_names: Mapping[str, Sequence[str]]
) -> list[Axes]:
    """Maps of scores in multiples of chance, a panel for each model, all to one scale; white is chance."""
    fig, axes = plt.subplots(1, len(ratios), figsize=(10, 3.8), layout="constrained")
    limit = max(float((each - 1).abs().max()) for each in ratios.values())
    for ax, (name, each) in zip(axes, ratios.items()):
        head_pairs(each - 1, limit=limit, ax=ax)
        bold(ax, bold_names[name]).set_title(name)
    fig.colorbar(axes[-1].images[0], ax=axes, label="K-composition / chance − 1", shrink=0.7)
    return list(axes)
