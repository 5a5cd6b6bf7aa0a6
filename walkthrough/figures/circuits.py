"""Figures of circuits: arrays, labels and an `ax` in, the `ax` out, as in `basics`."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Complex, Float
from matplotlib.axes import Axes
from torch import Tensor

from walkthrough.figures.basics import label_tokens, visible


def stacked(
    shares: Float[Tensor, "bar part"], bars: Sequence[str], parts: Sequence[str], *, above: Sequence[str] = (),
    colours: Sequence[str] = ("tab:blue", "lightskyblue", "navajowhite", "tab:orange"), ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A bar for each row, made of its shares of 1, with a word above each and the parts named beside them."""
    ax = ax or plt.subplots(figsize=(8, 3.5), layout="constrained")[1]
    for part, (name, colour) in enumerate(zip(parts, colours)):
        drawn = ax.bar(
            bars, np.asarray(shares[:, part]), bottom=np.asarray(shares[:, :part].sum(1)), label=name, color=colour
        )
    if above:
        ax.bar_label(drawn, above, padding=2)
    ax.set(ylim=(0, 1.1))
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def effects(
    rows: Mapping[str, Sequence[Float[Tensor, " _context"]]], groups: Sequence[str], *, x: str, controls: Sequence[str],
    colours: Sequence[str] = ("tab:blue", "tab:orange", "tab:red", "tab:purple"), ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Mean and standard deviation of each row's effect, in its group's colour, and below it, in greys, of its controls.

    A row holds the effect's values, then those of each control in the order of their names.
    """
    ax = ax or plt.subplots(figsize=(7.6, 0.8 + 0.3 * len(rows)), layout="constrained")[1]
    colour = dict(zip(dict.fromkeys(groups), colours))
    for y, (group, (effect, *others)) in enumerate(zip(groups, rows.values())):
        ax.errorbar(effect.mean(), y, xerr=effect.std(), fmt="o", color=colour[group], label=group)
        for n, (control, values, mark, grey) in enumerate(zip(controls, others, ("s", "d"), ("silver", "dimgrey"))):
            place = y + 0.22 * (n + 1)
            ax.errorbar(
                values.mean(), place, xerr=values.std(), fmt=mark, markersize=4, color=grey, elinewidth=1, label=control
            )
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(*zip(*((handles[labels.index(name)], name) for name in (*colour, *controls))), loc="lower right")
    ax.set_yticks(range(len(rows)), list(rows), family="monospace", fontsize=8)
    ax.axvline(0, color="grey", linewidth=0.8)
    ax.set(xlabel=x, ylim=(len(rows) - 0.2, -0.7))
    return ax


def before_and_after(
    before: Float[Tensor, "group row"], after: Float[Tensor, "group row"], rows: Sequence[str], groups: Sequence[str], *,
    x: str, hollow: str = "", texts: Sequence[Sequence[str]] = (), colours: Sequence[str] = ("tab:blue", "tab:red"),
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A line for each row and group from one probability, an open dot named `hollow`, to another, on a logarithmic axis.

    `texts` hold a token for each group and row, written to the right of its line.
    """
    high = 0.55 if texts else 0.3
    ax = ax or plt.subplots(figsize=(8, 0.7 + high * len(rows)), layout="constrained")[1]
    for group, (shift, start, end, name, colour) in enumerate(zip((-0.17, 0.17), before, after, groups, colours)):
        places = [row + shift for row in range(len(rows))]
        ax.scatter(start, places, s=30, facecolor="none", edgecolor=colour, zorder=3)  # not hidden by a full one
        ax.scatter(end, places, s=16, color=colour, label=name)
        for place, tail, head in zip(places, start, end):
            ax.plot((tail, head), (place, place), color=colour, linewidth=1)
        for place, tail, head, text in zip(places, start, end, visible(texts[group]) if texts else ()):
            right = max(float(tail), float(head))
            how = {"xytext": (6, 0), "textcoords": "offset points", "va": "center", "fontsize": 8}
            ax.annotate(text, (right, place), color=colour, family="monospace", **how)
    if hollow:
        ax.scatter([], [], s=30, facecolor="none", edgecolor="grey", label=hollow)
    label_tokens(ax, y=list(rows))
    ax.set(xscale="log", xlabel=x, ylim=(len(rows) - 0.5, -0.5))
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncol=len(groups) + bool(hollow))
    return ax


def against(
    groups: Mapping[str, tuple[Float[Tensor, " _point"], Float[Tensor, " _point"]]], *, x: str, y: str,
    colours: Sequence[str] = ("tab:red", "grey", "tab:blue"), marks: Sequence[str] = "o^s", ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A point for each pair of numbers, across and up, in its group's colour and mark; lines at both zeros."""
    ax = ax or plt.subplots(figsize=(6, 4), layout="constrained")[1]
    ax.axhline(0, color="grey", linewidth=0.6)
    ax.axvline(0, color="grey", linewidth=0.6)
    for (name, (across, up)), colour, mark in zip(groups.items(), colours, marks):
        ax.scatter(across, up, s=22, color=colour, marker=mark, alpha=0.75, label=name)
    ax.set(xlabel=x, ylabel=y)
    ax.legend(loc="lower right")
    return ax


def excerpts(
    panels: Mapping[str, Float[Tensor, "row column"]], rows: Sequence[Sequence[str]], columns: Sequence[Sequence[str]], *,
    axes_names: Sequence[tuple[str, str]],
) -> list[Axes]:  # fmt: skip
    """A panel for each title: a small piece of a table as a heat map, with its numbers; red above zero, blue below.

    `rows`, `columns` and `axes_names` (of the columns, of the rows) hold an entry for each panel, all on one scale.
    """
    limit = max(float(values.abs().max()) for values in panels.values())
    widths = [len(names) for names in columns]
    size = 1.4 * len(panels) + 0.58 * sum(widths), 1.6 + 0.36 * max(len(names) for names in rows)
    _, grid = plt.subplots(
        1, len(panels), figsize=size, layout="constrained", squeeze=False, gridspec_kw={"width_ratios": widths}
    )
    for ax, (title, values), down, across, (x, y) in zip(grid.flat, panels.items(), rows, columns, axes_names):
        ax.imshow(np.asarray(values), cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
        label_tokens(ax, across, down)
        for (row, column), value in zip(np.ndindex(*values.shape), values.flatten().tolist()):
            dark = abs(value) > 0.6 * limit
            ax.text(
                column, row, f"{value:.1f}", ha="center", va="center", fontsize=8, color="white" if dark else "black"
            )
        ax.set(title=title, xlabel=x, ylabel=y)
    return list(grid.flat)


def eigenvalues(panels: Mapping[str, Complex[Tensor, " index"]]) -> list[Axes]:
    """A panel for each set of eigenvalues in the complex plane, each on its own scale; red right of zero, blue left.

    One that lies more than three times as far out as all others would squeeze them into a dot: it is left outside, and an
    arrow at the edge tells its real part.
    """
    axes = plt.subplots(1, len(panels), figsize=(3 * len(panels), 3), layout="constrained", squeeze=False)[1]
    for ax, (name, values) in zip(axes.flat, panels.items()):
        ax.axhline(0, color="grey", linewidth=0.6)
        ax.axvline(0, color="grey", linewidth=0.6)
        ax.scatter(values.real, values.imag, s=10, c=["tab:blue" if x < 0 else "tab:red" for x in values.real])
        ax.set(title=name, xlabel="real part (logits)")
        ax.locator_params(nbins=5)
        _point_to_the_far_one(ax, values)
    axes[0, 0].set_ylabel("imaginary part (logits)")
    return list(axes.flat)


def _point_to_the_far_one(ax: Axes, values: Complex[Tensor, " index"]) -> None:
    """If one real value is far away, show the others on a scale of their own, and an arrow towards it."""
    order = values.abs().argsort(descending=True)
    far, others = values[order[0]], values[order[1:]]
    if len(values) < 3 or far.imag != 0 or far.abs() < 3 * others.abs().max():
        return
    reach = 1.15 * float(others.abs().max())
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach))
    side = -1 if far.real < 0 else 1
    text = f"one more at\n{far.real.item():,.0f}".replace("-", "−")
    colour = "tab:blue" if side < 0 else "tab:red"
    ax.annotate(
        text, (side * reach, 0), (side * 0.45 * reach, -0.65 * reach), fontsize=8, color=colour, ha="center",
        arrowprops={"arrowstyle": "-|>", "color": colour},
    )  # fmt: skip


def ranked(panels: Mapping[str, tuple[Float[Tensor, " _entry"], Sequence[str]]]) -> list[Axes]:
    """A panel for each name, which labels its values: a bar for each token with its value beside it, in order, red above 0."""
    longest = max(1, *(len(tokens) for _, tokens in panels.values()))
    size = 4 * len(panels), 0.8 + 0.2 * longest
    axes = plt.subplots(1, len(panels), figsize=size, layout="constrained", squeeze=False)[1]
    for ax, (name, (values, tokens)) in zip(axes.flat, panels.items()):
        bars = ax.barh(range(len(tokens)), values.tolist(), color=["tab:blue" if x < 0 else "tab:red" for x in values])
        ax.bar_label(bars, fmt="%.2f", padding=2, fontsize=8)
        ax.axvline(0, color="grey", linewidth=0.6)
        ax.margins(x=0.15)
        label_tokens(ax, y=tokens)
        ax.set(xlabel=name, ylim=(longest - 0.5, -0.5))
    return list(axes.flat)
