"""Parts of a page in HTML: tokens, bars, tables, and tables that unfold."""

from html import escape

import pictures

from walkthrough.widgets import page

MARKS = {" ": "·", "\n": "⏎", "\t": "⇥"}


def visible(token: str) -> str:
    """A token with its white space made visible: `visible(" x")` is `"·x"`."""
    return "".join(MARKS.get(letter, letter) for letter in token)


def bars(top: list[list], said: str | None = None) -> str:
    """A list of next tokens, the most probable first, with bars that are as long as the probabilities."""
    rows = "".join(
        f"<li{' class=wf-said' if token == said else ''}><code>{escape(visible(token))}</code>"
        f'<span class="wf-track"><i style="--share:{chance:.4f}"></i></span><span class="wf-share">{pictures.percent(chance)}</span></li>'
        for token, chance in top
    )
    return f'<ol class="wf-bars">{rows}</ol>'


def table(caption: str, columns: list[str], rows: list[list[str]]) -> str:
    """A table whose first column names the rows, which scrolls where it is too wide."""
    return f'<div class="wf-table" tabindex="0" role="region" aria-label="{escape(caption)}">{page.table(caption, columns, rows)}</div>'


def numbers(*tables: str) -> str:
    """Tables that unfold."""
    return f"<details class=wf-numbers><summary>The numbers</summary>{''.join(tables)}</details>"
