"""The file that was handed in, as a notebook, if it is one and is that assignment."""

import json
import math
import re
from collections.abc import Iterable
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from walkthrough.homework.restoring import grade_id

LARGEST_FILE = 100 * 2**20  # bytes
LARGEST_WORK = 20 * 2**20  # characters without what cells printed and drew, which is made anew


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
        raise ValueError(f"the file is {megabytes(size)} MB large, and at most {LARGEST_FILE // 2**20} MB are read")
    try:
        stored = json.loads(file.read_bytes())  # in UTF-8, 16 or 32, with a byte order mark or without
        work = json.dumps(without_outputs(stored), ensure_ascii=False)
        notebook = nbformat.reads(work, as_version=4)
        for cell in notebook.cells:
            cell.source, cell.cell_type = str(cell.source), str(cell.cell_type)
            cell.metadata.get("nbgrader", {}).get("grade_id")
    except Exception as error:
        raise ValueError("the file is not a notebook: save it in JupyterLab and hand it in again") from error
    if len(work) > LARGEST_WORK:
        raise ValueError(
            f"the notebook is {megabytes(len(work))} MB large even without what its cells printed and drew, and at most "
            f"{LARGEST_WORK // 2**20} MB are read: are there large pictures or tables in its text?"
        )
    return notebook


def without_outputs(notebook: dict) -> dict:
    """A notebook as it is stored, of which the outputs and the widgets' states are dropped: nobody reads them again."""
    for sheet in notebook.get("worksheets", [notebook]):  # before format 4, cells stood in sheets
        for cell in sheet.get("cells", []):
            if isinstance(cell, dict) and "outputs" in cell:
                cell["outputs"] = []
    if isinstance(notebook.get("metadata"), dict):
        notebook["metadata"].pop("widgets", None)
    return notebook


def megabytes(size: int) -> float:
    """A size in MB, rounded up to a tenth, so that what is over a limit never reads like the limit."""
    return math.ceil(size / 2**20 * 10) / 10


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
