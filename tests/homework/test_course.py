"""The teacher's whole path, on a real homework and a class of thirty, ten of whom do what nobody should."""

import csv
import importlib
import inspect
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import proof
import pytest

from walkthrough.homework import __main__ as commands
from walkthrough.homework import course, grading, judge, sandbox
from walkthrough.homework.collect import collect

HOMEWORK = Path(__file__).parents[2] / "notebooks" / "homework"
HW = "hw2"
HOSTILE = {
    "endless": "while True:\n    pass",
    "greedy": "import torch\nx = torch.ones(10 * 2**30, dtype=torch.uint8)",
    "leaver": "import sys\nsys.exit()",
    "reader": "import os\nfound = [(d, f) for d, _, files in os.walk('/') for f in files if not d.startswith(('/proc', '/usr'))\n"
              "         and 'site-packages' not in d and (f in ('gradebook.db', 'secret.txt') or 'graders' in d or 'hw2' in f)]\n"
              "raise SystemError(f'found {found}')",
    "vandal": "import walkthrough.exercises.check, walkthrough.homework.task as t\nt.verdict = walkthrough.exercises.check.verdict = lambda *a: 1\n"
              "open(walkthrough.exercises.check.__file__, 'w').write('')",
    "printer": "for i in range(10**6):\n    print('x' * 1000)",
}  # fmt: skip


SCRIPT = "<script>alert(1)</script><img src='x' onerror='alert(2)'>"


def source_of(answer, name):
    """An answer's source as a student would have typed it under the task's own name."""
    return re.sub(rf"\b{answer.__name__}\b", name, inspect.getsource(answer))


@pytest.fixture(scope="module")
def graded(box, tmp_path_factory):
    """A course folder with thirty graded submissions; who chose which answers; and what the grading printed."""
    folder = tmp_path_factory.mktemp("teacher") / "course"
    course.create(folder, HOMEWORK)
    release = nbformat.read(course.release(folder, HW), 4)
    tasks = importlib.import_module("graders").TASKS
    tasks = {label: task for label, task in tasks.items() if label.startswith(HW)}
    right, wrong = proof.answers(int(HW[2:]))
    handed_in, chosen = folder / "in", {}
    handed_in.mkdir()

    def write(student, answers, first=None, drop=(), edit=()):
        notebook = nbformat.from_dict(release)
        notebook.cells = [cell for cell in notebook.cells if cell.id not in drop]
        notebook.cells.append(nbformat.v4.new_markdown_cell(f"{SCRIPT} by {student}"))
        if first:
            notebook.cells.insert(1, nbformat.v4.new_code_cell(first))
        for cell in notebook.cells:
            label = cell.id.removesuffix("-answer")
            if cell.id.endswith("-answer") and label in answers:
                cell.source = source_of(answers[label], tasks[label].name)
            if cell.id in edit:
                cell.source = "assert True"
        chosen[student] = answers
        nbformat.write(notebook, handed_in / f"{student}_{HW}.ipynb")

    labels = list(tasks)
    for i in range(10):  # right in everything, each by another road
        write(f"right{i}", {label: right[label][i % len(right[label])] for label in labels})
    for i in range(8):  # each with some of the wrong answers
        write(
            f"mixed{i}",
            {label: wrong[label][i][0] if (i + j) % 2 else right[label][0] for j, label in enumerate(labels)},
        )
    write("half", {label: right[label][1] for label in labels[:2]})
    write("nothing", {})
    good = {label: right[label][0] for label in labels}
    for student, cell in HOSTILE.items():
        write(student, good, first=cell)
    write("deleter", good | {labels[0]: wrong[labels[0]][0][0]}, drop=(labels[0], labels[1]))
    write("editor", good | {labels[0]: wrong[labels[0]][0][0]}, edit=(labels[0],))
    (handed_in / f"broken_{HW}.ipynb").write_text('{"cells": [{"cell_type": "code", "sour', encoding="utf-8")
    (handed_in / f"empty_{HW}.ipynb").write_text("", encoding="utf-8")
    archive = folder / "handed_in.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for file in sorted(handed_in.iterdir()):
            out.write(file, file.name)
        out.writestr("notes.txt", "")
    fates = collect(folder, HW, archive)
    assert {fate.file: fate.fate for fate in fates if fate.fate != "taken"} == {"notes.txt": "passed over"}
    package = {file: file.read_bytes() for file in sandbox.PACKAGE.rglob("*.py")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judge, "COMPUTING", 12.0)
        judged = grading.grade(folder, HW)
    assert package == {file: file.read_bytes() for file in sandbox.PACKAGE.rglob("*.py")}
    with (folder / "grades" / f"{HW}.csv").open(newline="", encoding="utf-8") as stored:
        rows = {row["student"]: row for row in csv.DictReader(stored)}
    return folder, tasks, chosen, rows, judged


def test_all_thirty_have_a_mark_and_it_is_the_one_they_earned(graded):
    _, tasks, chosen, rows, _ = graded
    right, _ = proof.answers(int(HW[2:]))
    assert len(rows) == 30
    for student, row in rows.items():
        answers = chosen.get(student, {})
        for label, task in tasks.items():
            earned = task.points if answers.get(label) in right[label] else 0
            assert float(row[label]) == earned, (student, label, row["remarks"])


def test_each_of_the_hostile_has_a_reason(graded):
    rows = graded[3]
    for student, words in {
        "endless": "endless loop", "deleter": "was deleted; it was put back", "editor": "was changed; it was put back",
        "broken": "not a notebook", "empty": "is empty",
    }.items():  # fmt: skip
        assert words in rows[student]["remarks"], student
    cells = {name: graded[4][name].notebook.cells for name in HOSTILE}
    for student, words in {
        "greedy": "allocate", "leaver": "SystemExit", "reader": "found []", "vandal": "Read-only", "printer": "there was more, which was not kept; the cell ran on",
    }.items():  # fmt: skip
        assert any(words in str(cell.get("outputs")) for cell in cells[student]), student


def test_a_wrong_answer_is_told_its_misconception(graded):
    _, tasks, chosen, rows, judged = graded
    _, wrong = proof.answers(int(HW[2:]))
    told = 0
    for student in (f"mixed{i}" for i in range(8)):
        for label in tasks:
            expected = dict(wrong[label]).get(chosen[student][label])
            if expected:
                assert judged[student].verdicts[label].sentence.startswith(expected)
                assert expected in rows[student]["remarks"]
                told += 1
    assert told == 8 * len(tasks) / 2


def test_what_was_handed_in_is_as_it_was(graded):
    folder = graded[0]
    for student in graded[3]:
        kept = folder / "submitted" / student / HW / f"{HW}.ipynb"
        assert kept.read_bytes() == (folder / "in" / f"{student}_{HW}.ipynb").read_bytes()


def test_feedback_pages_and_the_grade_table(graded):
    folder, _, _, rows, _ = graded
    pages = course.feedback(folder, HW)
    assert len(pages) == 30
    for page in pages:
        text = page.read_text("utf-8")
        assert "HIDDEN TESTS" not in text
        assert "from graders" not in text
        assert "<script>alert(1)" not in text
        assert "onerror" not in text
        assert f"Score: {float(rows[page.parts[-3]]['total']):g}" in text.replace(".0 /", " /")
        assert "Test cell" not in text
        assert '<a href="#hw2-2">hw2-2 “Whose values speak?”</a>' in text
        assert '<a href="#hw2-written">hw2-written “Written question”</a>' in text
    with course.table(folder).open(newline="", encoding="utf-8") as stored:
        exported = {row["student_id"]: float(row["score"]) for row in csv.DictReader(stored)}
    assert exported == {student: float(row["total"]) for student, row in rows.items()}


def test_a_second_grading_gives_the_same_marks(graded):
    folder, _, _, rows, _ = graded
    grading.grade(folder, HW, students=["mixed0", "right1"])
    with (folder / "grades" / f"{HW}.csv").open(newline="", encoding="utf-8") as stored:
        assert {row["student"]: row for row in csv.DictReader(stored)} == rows


def test_nbgrader_by_itself_refuses_to_run_submissions(graded):
    folder = graded[0]
    submitted = folder / "submitted" / "right0" / HW / f"{HW}.ipynb"
    notebook = nbformat.read(submitted, 4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(f"open({str(folder / 'was_run')!r}, 'w')"))
    submitted.chmod(0o644)
    nbformat.write(notebook, submitted)
    ran = subprocess.run(
        [sys.executable, "-m", "nbgrader", "autograde", HW, "--student=right0", "--force"],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert ran.returncode != 0
    assert "python -m walkthrough.homework grade" in ran.stdout + ran.stderr
    assert not (folder / "was_run").exists()


def test_the_commands_say_in_one_sentence_what_cannot_be_done(tmp_path, small_course, small_homework, monkeypatch):
    def said(*arguments):
        monkeypatch.setattr(sys, "argv", ["walkthrough.homework", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            commands.main()
        return str(stopped.value)

    assert "no homework" in said("new", tmp_path / "c", tmp_path)
    assert "in use" in said("new", small_course, small_homework)
    assert "not a course folder" in said("release", tmp_path, "hw1")
    assert "no assignment 'hw9'" in said("release", small_course, "hw9")
    assert "nobody has handed in hw1" in said("grade", small_course, "hw1")
    assert "not been graded" in said("feedback", small_course, "hw1")


def test_without_a_sandbox_nothing_is_graded(small_course, monkeypatch, tmp_path):
    (tmp_path / "ann_hw1.ipynb").write_text("{}", encoding="utf-8")
    copy = tmp_path / "course"
    shutil.copytree(small_course, copy)
    collect(copy, "hw1", tmp_path)
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match="bubblewrap, which is not installed"):
        grading.grade(copy, "hw1")
    assert not (copy / "judged").exists()


@pytest.mark.parametrize("number", proof.NUMBERS)
def test_the_solution_of_every_homework_gets_all_the_points_in_the_sandbox(box, tmp_path, number):
    folder, name = tmp_path / "course", f"hw{number}"
    course.create(folder, HOMEWORK)
    release = nbformat.read(course.release(folder, name), 4)
    tasks = course.tasks_of(folder, name)
    judged = judge.judge(folder / "source" / name / f"{name}.ipynb", release, tasks, "secret", "ann")
    assert {label: verdict.sentence for label, verdict in judged.verdicts.items()} == dict.fromkeys(tasks, "right")
    assert all("was changed; it was put back" in remark for remark in judged.remarks)
    stopped = {cell.source: [o.output_type for o in cell.get("outputs", [])] for cell in judged.notebook.cells}
    errors = [source for source, kinds in stopped.items() if "error" in kinds]
    assert errors == []


def test_a_fault_of_the_graders_own_stops_nobody_elses_mark(box, small_course, tmp_path, monkeypatch):
    copy = tmp_path / "course"
    shutil.copytree(small_course, copy)
    for student in ("ann", "bob", "eve"):
        (tmp_path / "in" / student).mkdir(parents=True)
        shutil.copy(copy / "source" / "hw1" / "hw1.ipynb", tmp_path / "in" / student)
    collect(copy, "hw1", tmp_path / "in")
    real = grading.judge

    def faulty(file, release, tasks, secret, student):
        assert file.is_absolute()  # nbgrader may change the working folder meanwhile
        if student == "bob":
            raise RuntimeError("the sandbox could not be started")
        return real(file, release, tasks, secret, student)

    monkeypatch.setattr(grading, "judge", faulty)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RuntimeError, match=r"1 of 3 could not be graded.* 2 graded \(bob: the sandbox could not"):
        grading.grade(Path("course"), "hw1")
    with (copy / "grades" / "hw1.csv").open(newline="", encoding="utf-8") as stored:
        assert {row["student"]: row["total"] for row in csv.DictReader(stored)} == {"ann": "6", "eve": "6"}


def test_without_the_extra_one_sentence_says_what_to_install(tmp_path):
    (tmp_path / "nbgrader_config.py").write_text("", encoding="utf-8")
    code = (
        "import sys; sys.modules['nbgrader'] = None; sys.argv = ['x', 'table', '.']\n"
        "import runpy; runpy.run_module('walkthrough.homework', run_name='__main__')"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8")
    assert ran.returncode == 1
    assert "homework extra is missing" in ran.stderr
    assert "Traceback" not in ran.stderr
