"""Links from one notebook to another, in a copy of the course that is laid out differently or holds less of it."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

LINK = re.compile(r"\[([^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*)\]\(([^()\s#]*)(#[^()\s]*)?\)")


def is_outside(target: str) -> bool:
    """Does a link lead to another host, or to the page itself, and not to a file?"""
    return not target or bool(re.match(r"[a-z][a-z0-9+.-]*:|//", target, re.IGNORECASE))


def relinked(text: str, there: Collection[str], moved: tuple[str, str] = ("", "")) -> str:
    """A text of markdown whose links stay alive: `moved` says how a path begins, and how it begins in the copy.

    Of a link to a file that is not `there` (in the copy's paths), only the words stay.
    """

    def one(link: re.Match) -> str:
        """The link as it is in the copy."""
        words, target, place = link[1], link[2], link[3] or ""
        if is_outside(target) or target.startswith("attachment:"):
            return link[0]
        if moved[0] and target.startswith(moved[0]):
            target = moved[1] + target.removeprefix(moved[0])
        return f"[{words}]({target}{place})" if target in there else words

    return LINK.sub(one, text)


def relink(notebook: NotebookNode, there: Collection[str], moved: tuple[str, str] = ("", "")) -> None:
    """The same for every text of a notebook, in place."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = relinked(cell.source, there, moved)


def dead(folder: Path) -> Iterator[str]:
    """One sentence for each link, in the notebooks and pages of a folder, to a file that is not there."""
    for file in sorted(folder.rglob("*")):
        if file.suffix == ".ipynb":
            cells = nbformat.read(file, 4).cells
            text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        elif file.suffix == ".md":
            text = file.read_text(encoding="utf-8")
        else:
            continue
        for _, target, _ in LINK.findall(text):
            if not is_outside(target) and not target.startswith("attachment:") and not (file.parent / target).exists():
                yield f"{file.relative_to(folder)}: the link to {target} leads nowhere"
