"""The still pictures of the front page and the training page, and the one of shared links, drawn while the site is built."""

from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import story

from walkthrough import figures

DPI = 144
WIDE, HIGH = 1200, 630  # pixels of a shared link's picture
UP, DOWN = "tab:blue", "silver"


def percent(share: float) -> str:
    """A share as text: `percent(0.8849)` is `"88.5 %"`."""
    return f"{100 * share:.1f} %"


def bars(ax: plt.Axes, top: list[list], title: str, said: str, size: int = 9) -> None:
    """The most probable next tokens as bars with their numbers; the one that was `said` is blue."""
    names = figures.basics.visible([token.replace(" ", "␣") for token, _ in top])
    colours = [UP if token == said else DOWN for token, _ in top]
    ax.barh(range(len(top)), [chance for _, chance in top], color=colours)
    ax.set(xlim=(0, 1.2), ylim=(len(top) - 0.5, -0.5), xticks=[])
    ax.set_yticks(range(len(top)), names, fontsize=size, fontfamily="monospace")
    ax.set_title(title, fontsize=size + 1, loc="left")
    for row, (_, chance) in enumerate(top):
        ax.text(chance + 0.02, row, percent(chance), va="center", fontsize=size - 1)
    ax.spines[["top", "right", "bottom"]].set_visible(False)


def walrus(numbers: dict, *, size: int = 9) -> plt.Figure:
    """The front page's story: an arc from the last token to what followed its earlier copy; bars before and after."""
    head, query = numbers["head"], numbers["query"]
    looks = numbers["looks"][head]
    key = max(range(len(looks)), key=looks.__getitem__)
    figure = plt.figure(figsize=(9.2, 4.4), layout="constrained")
    figure.get_layout_engine().set(rect=(0.01, 0.02, 0.98, 0.96))
    above, below = figure.subfigures(2, 1, height_ratios=(1.15, 1))
    first = max(0, key - 4)
    shown = [*numbers["tokens"][first : key + 2], "…", *numbers["tokens"][query - 3 :]]
    arcs = [(len(shown) - 1, key - first, f"head {head}: {percent(looks[key])} of its attention")]
    drawn = figures.diagrams.arcs(shown, arcs, colours=["QK"], predicted=numbers["next"][1], ax=above.subplots())
    for text in [text for text in drawn.texts if text.get_text().isdecimal()]:
        text.remove()  # positions: in an excerpt they would be wrong
    for ax, (off, title) in zip(
        below.subplots(1, 2), (("", "next token, as trained"), (head, f"next token, head {head} ablated")), strict=True
    ):
        bars(ax, numbers["without"][off]["top"], title, numbers["next"][1], size)
    return figure


def shared(numbers: dict) -> plt.Figure:
    """The picture of a shared link: what the course is, over the front page's story."""
    figure = walrus(numbers, size=11)
    figure.set_size_inches(WIDE / 100, HIGH / 100)
    figure.get_layout_engine().set(rect=(0.02, 0.03, 0.96, 0.85))
    figure.suptitle("walkthrough: take a language model apart, on your laptop", y=0.955, fontsize=22, fontweight="bold")
    return figure


def training(numbers: dict) -> plt.Figure:
    """The recorded run: loss on held-out text, and the scores of two heads, over the tokens learnt from."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.4), layout="constrained")
    figures.training.losses(numbers["looks"], numbers["curves"]["loss"], ax=left)
    figures.training.losses(numbers["looks"], numbers["curves"]["scores"], y="score", ax=right)
    return figure


def draw(folder: Path) -> None:
    """Write the pictures to a folder, which is made; the reader's own settings of matplotlib do not matter."""
    folder.mkdir(parents=True, exist_ok=True)
    backend = matplotlib.get_backend()
    matplotlib.use("agg")
    with plt.style.context("default"):
        for name, figure in (("story", walrus(story.walrus())), ("training", training(story.training()))):
            figure.savefig(folder / f"{name}.png", dpi=DPI)
        shared(story.walrus()).savefig(folder / "shared.png", dpi=100)
        plt.close("all")
    matplotlib.use(backend)
