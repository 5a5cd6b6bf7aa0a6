"""Cells of a student's own: their source and their pictures, and nothing else of them."""

import nbformat
from nbformat import NotebookNode

PICTURES = ("image/png", "image/jpeg", "image/gif")


def own(cell: NotebookNode, kind: str) -> NotebookNode:
    """A cell of the student's own: its source, as this kind of cell, and the pictures in it."""
    make = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}
    made = make.get(kind, nbformat.v4.new_raw_cell)(cell.source)
    return with_pictures(made, cell)


def with_pictures(made: NotebookNode, cell: NotebookNode) -> NotebookNode:
    """The first cell, with the pictures that were pasted into the second."""
    pasted = cell.get("attachments")
    for name, kinds in pasted.items() if made.cell_type == "markdown" and isinstance(pasted, dict) else ():
        kinds = kinds if isinstance(kinds, dict) else {}
        kept = {kind: data for kind, data in kinds.items() if kind in PICTURES and isinstance(data, str)}
        if kept:
            made.setdefault("attachments", nbformat.NotebookNode())[name] = kept
    return made


def added(cell: NotebookNode, ours: NotebookNode | None) -> str:
    """The lines of a cell that the release's has not."""
    lines = set() if ours is None else set(ours.source.splitlines())
    return "\n".join(line for line in cell.source.splitlines() if line not in lines)


def writable(cell: NotebookNode) -> bool:
    """Whether it is code of the student's."""
    return cell.cell_type == "code" and not cell.metadata.get("nbgrader", {}).get("locked")
