"""The list at the top of a feedback page: nbgrader calls each entry "Test cell", and here it gets its task's name."""

import html
import re
from collections.abc import Sequence
from pathlib import Path

import nbformat

from walkthrough.homework.handed_in import asked

ENTRY = re.compile(r'<a href="#([^"]+)">(?:Test cell|Coding free-response|Written response|Task)</a>')


def name_tasks(release: Path, pages: Sequence[Path]) -> None:
    """Write into feedback pages what each entry of their list is about, in the words of the assignment's headings."""
    notebook = nbformat.read(release, 4)
    for page in pages:
        page.write_text(named(page.read_text("utf-8"), notebook), encoding="utf-8")


def named(text: str, release: nbformat.NotebookNode) -> str:
    """A page whose list names the tasks; what stands below no heading keeps its label alone."""
    about = asked(release, {html.unescape(label) for label in ENTRY.findall(text)})

    def entry(found: re.Match[str]) -> str:
        """One link, with the label and the heading."""
        words = about.get(html.unescape(found[1]))
        return f'<a href="#{found[1]}">{found[1]}{f" “{html.escape(words)}”" if words else ""}</a>'

    return ENTRY.sub(entry, text)
