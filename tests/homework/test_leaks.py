"""Nothing of a solution, a hidden test or a mark scheme is in what students get; and if it were, it would be found."""

import io
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

from walkthrough.homework import __main__ as commands
from walkthrough.homework import course, leaks, links, students

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """The real course, with all six homeworks released."""
    folder = tmp_path_factory.mktemp("real") / "course"
    for assignment in course.create(folder, ROOT / "notebooks" / "homework"):
        course.release(folder, assignment)
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that a student would install, built from this repository."""
    source, made = tmp_path_factory.mktemp("source") / "walkthrough", tmp_path_factory.mktemp("dist")
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".git", ".venv*", "dist", "trained*", ".pytest_cache"))
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(made),
        str(source),
    ]
    subprocess.run(build, check=True)
    (file,) = made.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def copy(released):
    """The students' copy of the real course, which `create` has searched."""
    folder = released.parent / "for-students"
    assert students.create(released, ROOT / "notebooks", folder) == [f"hw{number}" for number in range(1, 7)]
    return folder


def test_nothing_leaks(released, wheel):
    assert leaks.search(released, [wheel]) == []
    assert len(leaks.secrets_of(released)) > 40


def test_students_get_the_course_and_its_homework_and_nothing_of_the_teachers(copy, released):
    files = {str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()}
    assert not [
        name for name in files if re.search(r"grader|plant|secret|answers_hw|instructor|tests/|__pycache__", name)
    ]
    for page in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"):
        assert f"notebooks/{page.name}" in files
    for number in range(1, 7):
        given = nbformat.read(copy / "notebooks" / "homework" / f"hw{number}.ipynb", 4)
        release = nbformat.read(released / "release" / f"hw{number}" / f"hw{number}.ipynb", 4)
        assert [cell.source for cell in given.cells] == [cell.source for cell in release.cells]
    assert {"pyproject.toml", "constraints.txt", "README.md", "walkthrough/weights/homework.safetensors"} <= files
    assert list(links.dead(copy)) == []
    with zipfile.ZipFile(copy.with_name("for-students.zip")) as packed:
        assert {name.removeprefix("for-students/") for name in packed.namelist()} == files


def repository(folder, **texts):
    """A repository as small as can be, with texts in its package."""
    (folder / "notebooks").mkdir(parents=True)
    (folder / "walkthrough").mkdir()
    for name in students.FILES:
        (folder / name).write_text("", encoding="utf-8")
    page = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("[a](glossary.md) and [the guide](guide.md#top)")]
    )
    nbformat.write(page, folder / "notebooks" / "00_start_here.ipynb")
    (folder / "notebooks" / "glossary.md").write_text("words", encoding="utf-8")
    for name, text in texts.items():
        (folder / "walkthrough" / f"{name}.py").write_text(text, encoding="utf-8")
    return folder / "notebooks"


def test_a_copy_with_a_solution_is_not_made(small_course, tmp_path):
    secret = leaks.between(
        nbformat.read(small_course / "source/hw1/hw1.ipynb", 4).cells[1].source, "BEGIN SOLUTION", "END SOLUTION"
    )
    notebooks = repository(tmp_path / "r", helpers=f"def product(a, b):\n{secret[0]}")
    with pytest.raises(
        ValueError, match=r"helpers.py: holds .* of hw1.ipynb, cell hw1-1-answer(?s:.*)nothing was made: 1 things"
    ):
        students.create(small_course, notebooks, tmp_path / "copy")
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_a_copy_goes_to_a_new_folder_only_and_its_dead_links_become_words(small_course, tmp_path):
    notebooks = repository(tmp_path / "r")
    students.create(small_course, notebooks, tmp_path / "new" / "copy")
    text = nbformat.read(tmp_path / "new" / "copy" / "notebooks" / "00_start_here.ipynb", 4).cells[0].source
    assert text == "[a](glossary.md) and the guide"
    for mine, pages, folder, said in (
        (small_course, notebooks, tmp_path / "new" / "copy", "in use"),
        (small_course, tmp_path, tmp_path / "x", "not the folder notebooks"),
        (tmp_path, notebooks, tmp_path / "x", "not a course folder"),
    ):
        with pytest.raises(ValueError, match=said):
            students.create(mine, pages, folder)
    (tmp_path / "y.zip").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match=r"y.zip is in use"):
        students.create(small_course, notebooks, tmp_path / "y")


def test_the_wheel_holds_the_package_and_no_grader(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "walkthrough/homework/judge.py" in names
    assert "walkthrough/weights/homework.safetensors" in names
    assert not [
        name for name in names if "grader" in name or "plant" in name or name.endswith(".ipynb") or "test" in name
    ]


def test_a_release_can_be_filled_in_and_nothing_else(released):
    for number in (1, 2, 3, 4, 5, 6):
        cells = nbformat.read(released / "release" / f"hw{number}" / f"hw{number}.ipynb", 4).cells
        assert not any(cell.get("outputs") for cell in cells)
        answers = [cell for cell in cells if cell.metadata.get("nbgrader", {}).get("solution")]
        assert len(answers) >= 4
        for cell in answers:
            assert "NotImplementedError" in cell.source or cell.source == "YOUR ANSWER HERE"
        assert all("MARK SCHEME" not in cell.source for cell in cells)


@pytest.mark.parametrize("place", ["given cell", "output", "metadata", "package", "wheel", "renamed file"])
def test_a_leak_is_found_wherever_it_is(released, tmp_path, place):
    source = nbformat.read(released / "source" / "hw2" / "hw2.ipynb", 4)
    cell = next(cell for cell in source.cells if "BEGIN SOLUTION" in cell.source)
    (secret,) = leaks.between(cell.source, "BEGIN SOLUTION", "END SOLUTION")
    notebook = nbformat.read(released / "release" / "hw2" / "hw2.ipynb", 4)
    file = tmp_path / "hw2.ipynb"
    if place == "given cell":
        notebook.cells[1].source += "\n\n" + secret
    elif place == "output":
        code = next(cell for cell in notebook.cells if cell.cell_type == "code")
        code.outputs = [nbformat.v4.new_output("stream", text=secret)]
    elif place == "metadata":
        notebook.metadata["old"] = secret
    nbformat.write(notebook, file)
    if place == "package":
        file = tmp_path / "walkthrough"
        file.mkdir()
        (file / "paths.py").write_text(
            "def other():\n    pass\n\n\n# " + secret.replace("\n", "\n# "), encoding="utf-8"
        )
        secret = None  # comment signs break the lines apart: whole lines are found by the next case
        (file / "paths.py").write_text(
            "def other():\n" + "\n".join(leaks.between(cell.source, "BEGIN SOLUTION", "END SOLUTION")), encoding="utf-8"
        )
    elif place == "renamed file":
        file = tmp_path / "notes.txt"
        file.write_text("see here:\n" + secret, encoding="utf-8")
    elif place == "wheel":
        file = tmp_path / "w.whl"
        with zipfile.ZipFile(file, "w") as out:
            out.writestr("walkthrough/x.py", secret)
    (found, *_) = leaks.search(released, [file])
    assert "hw2.ipynb, cell hw2-1-answer" in found


def test_hidden_tests_and_mark_schemes_are_found_too(released, tmp_path):
    source = nbformat.read(released / "source" / "hw2" / "hw2.ipynb", 4)
    file = tmp_path / "hw2.ipynb"
    nbformat.write(source, file)
    found = " ".join(leaks.search(released, [file]))
    for words in ("hw2-written", "BEGIN HIDDEN TESTS", "BEGIN SOLUTION", "BEGIN MARK SCHEME", "from graders"):
        assert words in found
    grader = next((released / "graders").glob("hw3.py"))
    assert "graders/hw3.py" in leaks.search(released, [grader])[0]


def test_the_command_searches_and_fails_on_a_find(small_course, tmp_path, monkeypatch, capsys):
    command = ["walkthrough.homework", "leaks", str(small_course)]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    commands.main()
    sys.stdout.seek(0)
    assert "0 found" in sys.stdout.read()
    secret = nbformat.read(small_course / "source" / "hw1" / "hw1.ipynb", 4).cells[-1].source
    (tmp_path / "handout.md").write_text(secret, encoding="utf-8")
    monkeypatch.setattr(sys, "argv", [*command, "--wheel", str(tmp_path / "handout.md")])
    with pytest.raises(SystemExit) as end:
        commands.main()
    assert end.value.code not in (0, None)
    sys.stdout.seek(0)
    assert "handout.md: holds" in sys.stdout.read()


def test_a_folder_that_is_no_course_is_not_searched_for_nothing(tmp_path):
    with pytest.raises(ValueError, match="is not a course folder: make one with"):
        leaks.report(tmp_path)
