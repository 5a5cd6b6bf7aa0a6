"""For someone who learns alone: the homework with its checks, and a page of what is solved."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbgrader.preprocessors import ClearSolutions

from walkthrough import progress
from walkthrough.exercises import EXERCISES
from walkthrough.homework import links, practice

HOMEWORK = Path(__file__).parents[2] / "notebooks" / "homework"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A practice folder made of the real homeworks."""
    made = tmp_path_factory.mktemp("practice") / "mine"
    practice.create(HOMEWORK, made)
    return made


def test_solutions_are_out_and_checks_are_in(folder):
    for file in sorted(folder.glob("*.ipynb")):
        source = nbformat.read(HOMEWORK / file.name, 4)
        cells = nbformat.read(file, 4).cells
        text = "\n".join(cell.source for cell in cells)
        assert "SOLUTION" not in text
        assert "HIDDEN TESTS" not in text
        assert "MARK SCHEME" not in text
        asked = [cell.source.count('check("hw') for cell in source.cells]
        assert [cell.source.count('check("hw') for cell in cells] == asked
        assert sum(asked) >= 4
        assert not any(cell.get("outputs") for cell in cells)


def test_links_lead_somewhere_and_nobody_is_asked_to_hand_in(folder):
    assert list(links.dead(folder)) == []
    assert len(list((folder / "course").glob("[0-9][0-9]_*.ipynb"))) == len(
        list(HOMEWORK.parent.glob("[0-9][0-9]_*.ipynb"))
    )
    for file in sorted(folder.glob("*.ipynb")):
        cells = nbformat.read(file, 4).cells
        text = "\n".join(cell.source.replace("from graders", "") for cell in cells)
        assert not re.search(
            r"\bhand(s|ed|ing)? (it |them )?in\b|\bgrad(e|ed|er|ers|ing)\b|\bsubmi|\bteacher|\bstudents?\b", text
        ), file
        assert "](course/" in text
        assert "new inputs at each run" in cells[0].source
        assert not any("nbgrader" in cell.metadata for cell in cells)


def test_solutions_are_taken_out_as_nbgrader_does_it():
    for file in sorted(HOMEWORK.glob("hw*.ipynb")):
        theirs, _ = ClearSolutions().preprocess(nbformat.read(file, 4), {})
        ours = nbformat.read(file, 4)
        for cell in ours.cells:
            practice.without_solutions(cell)
        assert [cell.source for cell in ours.cells] == [cell.source for cell in theirs.cells]
    open_end = nbformat.v4.new_code_cell("### BEGIN SOLUTION\nx = 1")
    with pytest.raises(ValueError, match="whose end is not marked"):
        practice.without_solutions(open_end)


BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("nbgrader", "torch", "sqlalchemy"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocker())
from walkthrough.homework.__main__ import main
main()
"""


@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_a_practice_is_made_of_an_archive_without_a_repository_and_without_nbgrader(kind, tmp_path):
    homework = tmp_path / "walkthrough-main" / "notebooks" / "homework"
    homework.mkdir(parents=True)
    shutil.copy(HOMEWORK / "hw2.ipynb", homework)
    shutil.copytree(HOMEWORK / "graders", homework / "graders")
    archive = shutil.make_archive(str(tmp_path / "download"), kind, tmp_path, "walkthrough-main")
    command = [sys.executable, "-c", BLOCKED, "practice", archive, str(tmp_path / "mine")]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False, encoding="utf-8")
    assert ran.returncode == 0, ran.stderr
    cells = nbformat.read(tmp_path / "mine" / "hw2.ipynb", 4).cells
    assert "notebooks 00, 01 and 03" in cells[0].source  # the course's notebooks are not in this archive
    assert (tmp_path / "mine" / "graders" / "__init__.py").exists()


def test_what_is_no_homework_is_refused(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"no zip")
    shutil.make_archive(str(tmp_path / "empty"), "zip", tmp_path, "x.zip")
    for given, said in (
        ("x.zip", "neither a folder nor an archive"),
        ("empty.zip", "no folder notebooks/homework"),
        ("none", "there is no"),
    ):
        with pytest.raises(ValueError, match=said):
            practice.create(tmp_path / given, tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_nothing_is_overwritten(folder, tmp_path):
    with pytest.raises(ValueError, match="in use"):
        practice.create(HOMEWORK, folder)
    with pytest.raises(ValueError, match="no homework"):
        practice.create(tmp_path, tmp_path / "x")


def test_the_checks_work_there_and_the_page_shows_what_is_solved(folder):
    right = {cell.id: cell.source for cell in nbformat.read(HOMEWORK / "hw2.ipynb", 4).cells}
    notebook = nbformat.read(folder / "hw2.ipynb", 4)
    kept = {"hw2-1-answer", "hw2-1", "hw2-2-answer", "hw2-2"}
    notebook.cells = [cell for cell in notebook.cells if cell.id in kept or "import" in cell.source]
    for cell in notebook.cells:
        if cell.id == "hw2-1-answer":
            cell.source = right[cell.id]
        if cell.id == "hw2-2-answer":
            cell.source = (
                f"def {right[cell.id].partition('def ')[2].partition('(')[0]}(model, *rest):\n    return model.W_E"
            )
    NotebookClient(notebook, timeout=120, allow_errors=True, resources={"metadata": {"path": str(folder)}}).execute()
    nbformat.write(notebook, folder / "hw2.ipynb")
    marks = {line.label: line for line in progress.read(folder)}
    assert marks["hw2-1"].mark == "✓"
    assert marks["hw2-2"].mark == "✗"
    assert "(see notebook" in marks["hw2-2"].sentence
    assert marks["hw1-1"].sentence == "not run yet"
    ran = subprocess.run(
        [sys.executable, "-m", "walkthrough.progress", str(folder), "--page"],
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    *said, file = ran.stdout.splitlines()
    assert any(line.startswith("hw2.ipynb") and "1 of 4  ✓ ✗ ○ ○" in line for line in said), said
    assert said[-2].startswith(f"1 of {len(marks)} solved")
    assert said[-1] == "next: hw1-1 in hw1.ipynb: not run yet"
    page = Path(file).read_text("utf-8")
    assert f"<b>1 of {len(marks)}</b> solved" in page


def test_the_courses_own_exercises_are_counted():
    lines = progress.read(HOMEWORK.parent)
    in_order = sorted(EXERCISES, key=lambda label: [int(part) for part in label.split(".")])
    assert [line.label for line in lines] == in_order
    assert {line.mark for line in lines} == {"○"}


def test_the_command_finds_the_notebooks_and_refuses_a_folder_without_any(tmp_path):
    command = [sys.executable, "-m", "walkthrough.progress"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=HOMEWORK.parents[1], encoding="utf-8")
    assert f"0 of {len(EXERCISES)} solved" in found.stdout
    refused = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, encoding="utf-8")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert re.fullmatch(r"no notebook in \. asks anything: .*\n", refused.stderr)


def test_a_folder_that_asks_nothing_is_refused_and_text_is_escaped(tmp_path):
    with pytest.raises(ValueError, match="no notebook in"):
        progress.read(tmp_path)
    assert "<script>" not in progress.page([progress.Line("<script>.ipynb", "1.1", "✗", "<script>")])


def test_an_unknown_task_is_named():
    from graders import check

    with pytest.raises(ValueError, match="no task 'hw9-9'"):
        check("hw9-9", 1)
