"""The assignments for someone who learns alone: solutions taken out, checks left in, the course's notebooks beside them.

The package that students install holds no homework, since the homeworks hold their solutions: so a practice is made from
the repository's folder, or from the repository as one archive, as code hosts make it. nbgrader is not needed.
"""

import re
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from walkthrough.homework import links

HIDDEN = ("### BEGIN HIDDEN TESTS\n", "### END HIDDEN TESTS\n", "\n### END HIDDEN TESTS")
STUB, WRITTEN = "# YOUR CODE HERE\nraise NotImplementedError()", "YOUR ANSWER HERE"
ALONE = (
    (r"Then save `hw\d+\.ipynb` and hand it in\.",
     "The cell below a task checks your answer, on new inputs at each run. Nobody marks the written questions: compare "
     "your answer with the one in the solved notebook, in the repository's folder `notebooks/homework`."),
    (r" The cell below a task tries your function on an example; grading tries it on others\.", ""),
    (r"\bare graded on\b", "are tried on"),
    (r"\bin grading,", "in the check,"),
)  # fmt: skip


def to_copy(homework: Path, folder: Path) -> list[Path]:
    """The assignments of `homework`. Raises ValueError if there is none, or if the folder they should go to is in use."""
    notebooks = sorted(homework.glob("hw*.ipynb"))
    if not notebooks or not (homework / "graders").is_dir():
        raise ValueError(
            f"{homework} holds no homework: give the folder notebooks/homework of walkthrough's repository"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is in use: give a new folder, so that nothing in it is overwritten")
    return notebooks


def without_solutions(cell: NotebookNode) -> None:
    """Put nbgrader's stubs in place of a cell's solution, and take its marks out."""
    mark = cell.metadata.pop("nbgrader", {})
    found = re.compile(r"^([ \t]*)[^\n]*BEGIN SOLUTION[^\n]*\n.*?^[^\n]*END SOLUTION[^\n]*$", re.DOTALL | re.MULTILINE)
    stub = STUB if cell.cell_type == "code" else WRITTEN
    cell.source, regions = found.subn(lambda it: "\n".join(it[1] + line for line in stub.split("\n")), cell.source)
    if mark.get("solution") and not regions:
        cell.source = stub
    if "SOLUTION" in cell.source or "MARK SCHEME" in cell.source:
        raise ValueError(f"the cell {mark.get('grade_id') or cell.id} holds a solution whose end is not marked")


def for_one_alone(notebook: NotebookNode) -> NotebookNode:
    """An assignment without solutions and outputs, its checks in sight, and nobody to hand it in to."""
    for cell in notebook.cells:
        without_solutions(cell)
        for mark in HIDDEN:
            cell.source = cell.source.replace(mark, "")
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        else:
            for said, instead in ALONE:
                cell.source = re.sub(said, instead, cell.source)
    return notebook


def unpacked(archive: Path, folder: Path) -> Path:
    """The folder notebooks/homework of a repository that is one archive. Raises ValueError if it holds none."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(folder)
        else:
            with tarfile.open(archive) as packed:
                packed.extractall(folder, filter="data")
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise ValueError(f"{archive} is neither a folder nor an archive that can be opened") from error
    found = sorted(folder.glob("**/notebooks/homework"), key=lambda path: len(path.parts))
    if not found:
        raise ValueError(
            f"there is no folder notebooks/homework in {archive}: give the whole repository as one archive"
        )
    return found[0]


def create(homework: Path, folder: Path) -> None:
    """Write every assignment of `homework`, a folder or the repository as an archive, to a new folder.

    Its graders come beside it, and the course's notebooks into `course/`, where its links lead. Raises ValueError as
    `to_copy` and `unpacked` do.
    """
    if not homework.exists():
        raise ValueError(f"there is no folder or archive {homework}")
    if homework.is_file():
        with tempfile.TemporaryDirectory() as room:
            return create(unpacked(homework, Path(room)), folder)
    for inside in ("homework", "notebooks/homework"):
        if not (homework / "graders").is_dir() and (homework / inside / "graders").is_dir():
            homework = homework / inside
    notebooks = to_copy(homework, folder)
    pages = sorted([*homework.parent.glob("[0-9][0-9]_*.ipynb"), *homework.parent.glob("glossary.md")])
    there = {page.name for page in pages}
    (folder / "course").mkdir(parents=True, exist_ok=True)
    for file in notebooks:
        notebook = for_one_alone(nbformat.read(file, 4))
        links.relink(notebook, {f"course/{name}" for name in there}, ("../", "course/"))
        nbformat.write(notebook, folder / file.name)
    copy_pages(pages, folder / "course")
    shutil.copytree(homework / "graders", folder / "graders", ignore=shutil.ignore_patterns("__pycache__"))


def copy_pages(pages: list[Path], folder: Path) -> None:
    """The course's notebooks and glossary, with their outputs; a link to what is not among them loses its target."""
    there = {page.name for page in pages}
    for page in pages:
        if page.suffix == ".ipynb":
            notebook = nbformat.read(page, 4)
            links.relink(notebook, there)
            nbformat.write(notebook, folder / page.name)
        else:
            (folder / page.name).write_text(links.relinked(page.read_text("utf-8"), there), encoding="utf-8")
