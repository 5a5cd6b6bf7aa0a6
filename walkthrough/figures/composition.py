"""Figures of how heads read one another: arrays, labels and an `ax` in, the `ax` out, as in `basics`."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor


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
        ax.plot(ends, (0, 1), color=colour, alpha=0.7, linewidth=max(0.8, 8 * float(values[write, read]) / limit))
    ax.set(xticks=[], yticks=[], xlim=(-0.1, 1.1), ylim=(-0.25, 1.25))
    ax.spines[:].set_visible(False)
    return ax


def bold(ax: Axes, names: Sequence[str]) -> Axes:
    """Put the names of these heads ("1:6") in bold, where they are ticks across or stand in the picture."""
    for label in [*ax.get_xticklabels(), *ax.texts]:
        if label.get_text() in names:
            label.set_fontweight("bold")
    return ax


def stacked(
    shares: Float[Tensor, "bar part"], bars: Sequence[str], parts: Sequence[str], *, label: str, ax: Axes | None = None
) -> Axes:
    """Bars cut into parts, one colour for each part; a part below zero hangs below the axis."""
    ax = ax or plt.subplots(figsize=(9, 3.2), layout="constrained")[1]
    up, down = [0.0] * len(bars), [0.0] * len(bars)
    for name, values, colour in zip(parts, shares.T.tolist(), ("lightgrey", "tab:blue", "tab:red", "tab:purple")):
        bottom = [high if value >= 0 else low for value, high, low in zip(values, up, down)]
        ax.bar(range(len(bars)), values, bottom=bottom, color=colour, label=name)
        up, down = [u + max(v, 0) for u, v in zip(up, values)], [d + min(v, 0) for d, v in zip(down, values)]
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xticks(range(len(bars)), bars, fontsize=8)
    ax.set_ylabel(label)
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
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
