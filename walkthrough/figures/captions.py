"""A figure on the page, with a sentence that says what is to be seen in it."""

import html

import matplotlib.pyplot as plt
from IPython.display import display


def show(alt: str, *, drawing: bool = False) -> None:
    """Show the current figure: `alt` is its alternative text, and a line under it; then close the figure.

    One sentence or two that say what is to be seen, for whoever does not see the figure, and for whoever does not know
    where to look. It is stored in the output's metadata; the site and the offline pages take it from there. A `drawing`
    is turned light on dark where the site is dark. Raises ValueError without a figure, or without a text.
    """
    if not plt.get_fignums():
        raise ValueError("there is no figure to show: draw one first")
    if len(alt.split()) < 4:
        raise ValueError(f"{alt!r} does not say what is to be seen: give a sentence")
    figure = plt.gcf()
    display(figure, metadata={"image/png": {"alt": alt} | ({"drawing": True} if drawing else {})})
    display(
        {"text/html": f'<p class="wt-caption"><em>{html.escape(alt, quote=False)}</em></p>', "text/plain": alt},
        raw=True,
    )
    plt.close(figure)
