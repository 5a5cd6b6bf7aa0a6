"""Figures of many training runs: when each of them arrives, and how that depends on a size."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator
from torch import Tensor

Curve = tuple[Sequence[float], Sequence[float]]


def by_seed(
    groups: Mapping[str, Sequence[Curve]], *, y: str, line: float | None = None, marks: Mapping[str, float] | None = None,
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A thin curve (tokens, values) for each run; all runs of a group in one colour. `line` is a level to compare with."""
    ax = ax or plt.subplots(figsize=(7, 3.4), layout="constrained")[1]
    for i, (name, runs) in enumerate(groups.items()):
        for n, (tokens, values) in enumerate(runs):
            ax.plot(tokens, values, color=f"C{i}", linewidth=1.2, alpha=0.8, label=name if n == 0 else None)
    if line is not None:
        ax.axhline(line, color="grey", linewidth=0.8, linestyle=":")
    for word, at in (marks or {}).items():
        ax.axvline(at, color="dimgrey", linewidth=0.8, linestyle=(0, (2, 2)))
        ax.annotate(word, (at, 1), xycoords=("data", "axes fraction"), xytext=(3, -3), textcoords="offset points",
                    fontsize=8, color="dimgrey", va="top")  # fmt: skip
    ax.set(xlabel="tokens learnt from", ylabel=y)
    ax.xaxis.set_major_locator(MultipleLocator(500_000))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value / 1e6:g}M")
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def moments(
    runs: Mapping[str, Sequence[float]], *, never: float, x: str, reference: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A row for each name with a dot where each run arrived, and a cross at `never` for each that did not.

    A grey band spans the `reference`, from the earliest to the latest run to compare with.
    """
    ax = ax or plt.subplots(figsize=(7.5, 0.24 * len(runs) + 1), layout="constrained")[1]
    if reference is not None:
        ax.axvspan(*reference, color="grey", alpha=0.2, linewidth=0)
    for row, values in enumerate(runs.values()):
        arrived = [value for value in values if value < never]
        missing = len(values) - len(arrived)
        ax.plot(arrived, [row] * len(arrived), "o", color="C0", markersize=5, alpha=0.7)
        crosses = [never * (1 + 0.035 * n) for n in range(missing)]
        ax.plot(crosses, [row] * missing, "x", color="C3", markersize=5)
    ax.set_yticks(range(len(runs)), list(runs), fontsize=8)
    ax.set(xlabel=x, ylim=(len(runs) - 0.5, -0.5))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value / 1e6:g}M")
    ax.grid(axis="y", color="gainsboro", linewidth=0.5)
    ax.set_axisbelow(True)
    return ax


def law(
    sizes: Float[Tensor, " run"], tokens: Float[Tensor, " run"],
    lines: Mapping[str, tuple[Float[Tensor, " point"], Float[Tensor, " point"]]], *, x: str, y: str,
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A dot for each run, both axes logarithmic, and curves to compare with."""
    ax = ax or plt.subplots(figsize=(6, 3.6), layout="constrained")[1]
    ax.plot(sizes, tokens, "o", color="C0", markersize=5, alpha=0.7, label="one run")
    for (name, (at, values)), style in zip(lines.items(), ("-", "--", ":")):
        ax.plot(at, values, style, color="dimgrey", label=name)
    ax.set(xscale="log", yscale="log", xlabel=x, ylabel=y)
    ticks = sorted(set(sizes.tolist()))
    ax.set_xticks(ticks, [f"{size:g}" for size in ticks])
    ax.minorticks_off()
    ax.yaxis.set_major_locator(MultipleLocator(250_000))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value / 1e6:g}M")
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax
