"""The assignments for someone who learns alone: solutions taken out, checks left in."""

import shutil
from pathlib import Path

import nbformat
from nbgrader.preprocessors import ClearOutput, ClearSolutions

MARKS = ("### BEGIN HIDDEN TESTS\n", "### END HIDDEN TESTS\n", "\n### END HIDDEN TESTS")


def to_copy(homework: Path, folder: Path) -> list[Path]:
    """The assignments of `homework`. Raises ValueError if there is none, or if the folder they should go to is in use."""
    notebooks = sorted(homework.glob("hw*.ipynb"))
    if not notebooks or not (homework / "graders").is_dir():
        raise ValueError(
            f"{homework} holds no homework: give the folder notebooks/homework of walkthrough's repository"
        )
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is in use: give a new folder, so that nothing in it is overwritten")
    return notebooks


def create(homework: Path, folder: Path) -> None:
    """Write every assignment of `homework` to a new folder, with its graders beside it; ValueError as in `to_copy`."""
    notebooks = to_copy(homework, folder)
    folder.mkdir(parents=True, exist_ok=True)
    for file in notebooks:
        notebook, resources = nbformat.read(file, 4), {}
        for step in (ClearSolutions(), ClearOutput()):
            notebook, resources = step.preprocess(notebook, resources)
        for cell in notebook.cells:
            for mark in MARKS:
                cell.source = cell.source.replace(mark, "")
        nbformat.write(notebook, folder / file.name)
    shutil.copytree(homework / "graders", folder / "graders", ignore=shutil.ignore_patterns("__pycache__"))
