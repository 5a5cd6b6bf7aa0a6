"""The file that was handed in, as a notebook, if it is one and is that assignment."""

import re
from collections.abc import Iterable
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from walkthrough.homework.restoring import grade_id

LARGEST_FILE = 20 * 2**20  # bytes


def read_submission(file: Path) -> NotebookNode:
    """The notebook that was handed in. Raises ValueError, with a sentence for the student, for what is not one."""
    if not file.exists():
        raise ValueError("no notebook was handed in")
    if file.is_symlink() or not file.is_file():
        raise ValueError("what was handed in is not a plain file")
    size = file.stat().st_size
    if size == 0:
        raise ValueError("the file that was handed in is empty")
    if size > LARGEST_FILE:
        raise ValueError(f"the file is {size / 2**20:.0f} MB large, and at most {LARGEST_FILE // 2**20} MB are read")
    try:
        notebook = nbformat.reads(file.read_text("utf-8"), as_version=4)
        for cell in notebook.cells:
            cell.source, cell.cell_type = str(cell.source), str(cell.cell_type)
            cell.metadata.get("nbgrader", {}).get("grade_id")
    except Exception as error:
        raise ValueError("the file is not a notebook: save it in JupyterLab and hand it in again") from error
    return notebook


def names_of(notebook: NotebookNode) -> set[str]:
    """The names of an assignment's own cells that a notebook has, and their cells' ids, which outlive lost metadata."""
    return {str(name) for cell in notebook.cells for name in (grade_id(cell), cell.get("id")) if name}


def title(notebook: NotebookNode) -> str:
    """The first heading of the first order; an empty text if there is none."""
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    found = re.search(r"^# +(.+)$", text, re.MULTILINE)
    return " ".join(found[1].split()) if found else ""


def check_is(submission: NotebookNode, release: NotebookNode, labels: Iterable[str]) -> None:
    """Raise ValueError, with a sentence for the student, if a notebook is another assignment than the released one."""
    labels = set(labels)
    name = next(iter(labels)).partition("-")[0] if labels else ""
    ours = labels | {f"{label}-answer" for label in labels}
    theirs = names_of(submission)
    if ours & theirs:
        return
    others = {found[1] for one in theirs if (found := re.fullmatch(r"([A-Za-z]+\d+)-.+", one)) and found[1] != name}
    if others and any(one.endswith("-answer") for one in theirs):
        raise ValueError(f"this is {min(others)}, handed in as {name}: hand in the notebook {name}.ipynb")
    headed = title(submission)
    if headed and title(release) and headed != title(release) and re.match(r"Homework \d", headed):
        raise ValueError(f"this is “{headed[:80]}”, handed in as {name}: hand in the notebook {name}.ipynb")


def asked(release: NotebookNode, labels: Iterable[str]) -> dict[str, str]:
    """What each task asks, in the words of the last heading above its cell; without points and minutes."""
    found, heading, labels = {}, "", set(labels)
    for cell in release.cells:
        if cell.cell_type == "markdown":
            for line in re.findall(r"^#{2,} +(.+)$", cell.source, re.MULTILINE):
                heading = re.sub(r"\s*\([^()]*\)\s*$", "", line).strip()
        label = grade_id(cell)
        if label in labels:
            found[label] = heading.partition(" · ")[2] or heading
    return found
