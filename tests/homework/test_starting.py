"""Where no sandbox can be started nothing is touched; where one student's fails, the others' marks are entered."""

import os
import shutil
from pathlib import Path

import nbformat
import pytest
from commanding import rows_of, run

from walkthrough.homework import remedies, sandbox, unboxed

SAYS = {  # what bubblewrap prints, and what the teacher is told
    "no user namespaces": ("bwrap: setting up uid map: Permission denied", ("AppArmor", "profile", "--without-bubblewrap")),
    "Debian's switch": ("bwrap: No permissions to create new namespace, likely because the kernel does not allow non-privileged "
                        "user namespaces. See <https://deb.li/bubblewrap>", ("unprivileged_userns_clone",)),
    "in a container": ("bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted", ("empty network", "container")),
    "in a strict container": ("bwrap: Creating new namespace failed: Operation not permitted", ("most containers",)),
    "no proc": ("bwrap: Can't mount proc on /newroot/proc: Operation not permitted", ("most containers",)),
    "without --size": ("bwrap: Unknown option --size", ("too old", "0.7 or newer")),
    "without --clearenv": ("bwrap: Unknown option --clearenv", ("too old", "0.7 or newer")),
    "a library": ("ModuleNotFoundError: No module named 'IPython'", ("environment of its own", "python -m venv")),
    "unheard of": ("bwrap: the moon is full", ("the moon is full", "whether bubblewrap runs at all")),
    "nothing": ("", ("cannot be started",)),
}  # fmt: skip


def fake(monkeypatch, folder, body):
    """A program called bwrap, before the real one on the path."""
    program = folder / "bin" / "bwrap"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


def written(folder):
    """Every file below a folder, with its content."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def graded(box, small_course, tmp_path_factory):
    """A course with three who are graded: each has the point of task 3."""
    folder = tmp_path_factory.mktemp("starting") / "course"
    shutil.copytree(small_course, folder)
    notebook = nbformat.read(folder / "release" / "hw1" / "hw1.ipynb", 4)
    for cell in notebook.cells:
        cell.source = "answer = 'five'" if cell.id == "hw1-3-answer" else cell.source
    for student in ("ann", "bob", "eve"):
        (folder / "in" / student).mkdir(parents=True)
        nbformat.write(notebook, folder / "in" / student / "hw1.ipynb")
    assert run("collect", folder, "hw1", folder / "in")[0] == 0
    assert run("grade", folder, "hw1")[0] == 0
    assert [row["total"] for row in rows_of(folder).values()] == ["1"] * 3
    return folder


@pytest.fixture
def course(graded, tmp_path):
    """A copy of that course."""
    return Path(shutil.copytree(graded, tmp_path / "course"))


@pytest.mark.parametrize(("printed", "told"), SAYS.values(), ids=SAYS)
def test_without_a_sandbox_one_sentence_says_why_and_nothing_is_written(graded, tmp_path, monkeypatch, printed, told):
    (tmp_path / "words").write_text(printed, encoding="utf-8")
    fake(monkeypatch, tmp_path, f"cat {tmp_path}/words >&2\nexit 1")
    before = written(graded)
    code, said = run("grade", graded, "hw1")
    assert code == 1
    for words in told:
        assert words in said
    assert "\n" not in said
    assert written(graded) == before


def test_packages_out_of_the_sandboxs_sight_are_named_before_anything_is_touched(graded, tmp_path, monkeypatch):
    (tmp_path / "of_the_users.py").write_text("", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(remedies, "NEEDED", ("torch", "of_the_users"))
    before = written(graded)
    code, said = run("grade", graded, "hw1")
    assert code == 1
    assert "of_the_users cannot be seen from the sandbox" in said
    assert "torch" not in said
    assert "pip install --user" in said
    assert written(graded) == before


def test_all_that_a_submission_needs_is_in_sight_here():
    assert remedies.out_of_sight(["/usr", *sandbox.FOLDERS]) == []


def test_a_students_sandbox_that_fails_in_the_middle_keeps_that_students_mark(course, tmp_path, monkeypatch):
    """The first box is the check, the second ann's; bob's two attempts fail."""
    real = shutil.which("bwrap")
    count = f"n=$(cat {tmp_path}/count); echo $((n + 1)) > {tmp_path}/count"
    refuse = "echo 'bwrap: Creating new namespace failed: No space left on device' >&2; exit 1"
    (tmp_path / "count").write_text("1", encoding="utf-8")
    fake(monkeypatch, tmp_path, f'{count}\nif [ $n = 3 ] || [ $n = 4 ]; then {refuse}; fi\nexec {real} "$@"')
    for student in ("ann", "bob", "eve"):
        file = course / "submitted" / student / "hw1" / "hw1.ipynb"
        file.write_text(file.read_text("utf-8").replace("five", "six"), encoding="utf-8")
    before = rows_of(course)["bob"]
    code, said = run("grade", course, "hw1", "--workers", "1")
    assert code == 1
    assert "1 of 3 could not be graded" in said
    assert "2 graded (bob: " in said
    assert "No space left on device" in said
    assert rows_of(course)["bob"] == before
    assert [rows_of(course)[student]["total"] for student in ("ann", "eve")] == ["0", "0"]
    assert run("table", course)[0] == 0
    assert rows_of(course)["bob"] == before


PLAIN = """
import os, subprocess
subprocess.Popen(['sleep', '1000'], start_new_session=True)
print(os.getcwd(), os.listdir('.'), sorted(os.environ))
try:
    big = bytearray(10 * 2**30)
except MemoryError:
    print('no 10 GB')
try:
    open('large', 'wb').write(bytes(101 * 2**20))
except OSError as error:
    print(error)
"""


def test_without_bubblewrap_only_when_asked_and_with_the_limits_that_its_help_names(course, tmp_path, monkeypatch):
    fake(monkeypatch, tmp_path, "echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1")
    monkeypatch.setenv("TEACHERS_TOKEN", "secret")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(unboxed.tempfile, "tempdir", str(tmp_path))
    places = []
    monkeypatch.setattr(unboxed, "Place", lambda made=unboxed.Place: places.append(made()) or places[-1])
    assert run("grade", course, "hw1", "--student", "ann")[0] == 1
    assert places == []
    file = course / "submitted" / "ann" / "hw1" / "hw1.ipynb"
    notebook = nbformat.read(file, 4)
    notebook.cells.insert(1, nbformat.v4.new_code_cell(PLAIN))
    nbformat.write(notebook, file)
    code, said = run("grade", course, "hw1", "--student", "ann", "--without-bubblewrap")
    assert code == 0, said
    assert unboxed.DOES_NOT_PROTECT in said
    assert unboxed.PROTECTS in said
    assert rows_of(course)["ann"]["total"] == "1"
    outputs = nbformat.read(course / "judged" / "ann" / "hw1" / "hw1.ipynb", 4)
    (printed,) = [str(cell.outputs) for cell in outputs.cells if cell.get("outputs") and "listdir" in cell.source]
    assert "no 10 GB" in printed
    assert "File too large" in printed
    assert str(tmp_path / "submission-") in printed
    assert "TEACHERS_TOKEN" not in printed
    assert len(places) == 2
    assert [place.started() for place in places] == [[], []]
    assert not any(place.folder.exists() for place in places)
    assert sandbox.BUBBLEWRAP


def test_the_help_says_what_is_not_protected():
    code, said = run("grade", "--help")
    assert code == 0
    flat = " ".join(said.split())
    for part in (unboxed.DOES_NOT_PROTECT, unboxed.PROTECTS):
        assert part in flat.replace("- ", "-")
