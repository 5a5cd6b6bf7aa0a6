"""A submission's own cells, in the release: what a student may write is taken over, all else is ours."""

import copy

import nbformat
from nbformat import NotebookNode


def grade_id(cell: NotebookNode) -> str | None:
    """The name that nbgrader knows a cell by; None for a cell that is no part of the assignment."""
    return cell.metadata.get("nbgrader", {}).get("grade_id")


def restored(submission: NotebookNode, release: NotebookNode) -> tuple[NotebookNode, list[str]]:
    """The release with the student's own cells in it, and what had to be put back.

    Only what a student may write is taken from the submission: the source of answer cells and of cells of their own.
    """
    known = {grade_id(cell): cell for cell in release.cells if grade_id(cell)}
    cells, seen, remarks = [], set(), []
    for cell in submission.cells:
        name = grade_id(cell)
        if name in seen:
            continue  # a second copy of a cell of ours
        if name not in known:
            make = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}
            cells.append(make.get(cell.cell_type, nbformat.v4.new_raw_cell)(cell.source))
            continue
        seen.add(name)
        ours = copy.deepcopy(known[name])
        if ours.metadata.nbgrader.locked:
            if cell.source != ours.source:
                remarks.append(f"test cell {name} was changed; it was put back")
        else:
            ours.source = cell.source
        cells.append(ours)
    for name, cell in known.items():
        if name not in seen:
            cells.append(copy.deepcopy(cell))
            remarks.append(f"cell {name} was deleted; it was put back")
    notebook = copy.deepcopy(release)
    notebook.cells = cells
    return notebook, remarks
