"""The assignments for someone who learns alone: solutions taken out, checks left in."""

import shutil
from pathlib import Path

import nbformat
from nbgrader.preprocessors import ClearOutput, ClearSolutions

MARKS = ("### BEGIN HIDDEN TESTS\n", "### END HIDDEN TESTS\n", "\n### END HIDDEN TESTS")


def create(homework: Path, folder: Path) -> None:
    """Write every assignment of `homework` to a new folder, with its graders beside it.

    Raises ValueError if there is nothing to write, or if the folder is in use.
    """
    notebooks = sorted(homework.glob("hw*.ipynb"))
    if not notebooks:
        raise ValueError(
            f"{homework} holds no homework: give the folder notebooks/homework of walkthrough's repository"
        )
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is in use: give a new folder, so that nothing you wrote is overwritten")
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
