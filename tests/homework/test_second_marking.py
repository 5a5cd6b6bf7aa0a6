"""Late work, marks by hand and a second grading, through the commands: both tables agree, and only new text waits."""

import csv
import shutil
import subprocess
import sys

import nbformat
import pytest
from commanding import rows_of, run
from nbgrader.api import Gradebook

from walkthrough.homework import gradebook

WRITTEN = "Every row is mapped by the same matrix."
HANDED_IN = {"ann": "2026-11-01 10:00", "bob": "2026-11-03 10:00", "cleo": ""}


def tables(folder):
    """Both tables as the command `table` writes them: rows of hw1.csv by student, and totals in all.csv."""
    assert run("table", folder)[0] == 0
    rows = rows_of(folder)
    with (folder / "grades" / "all.csv").open(newline="", encoding="utf-8") as stored:
        totals = {row["student_id"]: float(row["score"]) for row in csv.DictReader(stored)}
    assert totals == {student: float(row["total"]) for student, row in rows.items()}
    return rows


def due(folder, date):
    """The teacher moves the due date, as the formgrader does."""
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as book:
        book.update_or_create_assignment("hw1", duedate=date)


def mark(folder, student, **points):
    """The teacher gives points by hand, as the formgrader enters them."""
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as book:
        for name, score in points.items():
            grade = book.find_grade(name.replace("_", "-"), "hw1", "hw1", student)
            grade.manual_score, grade.needs_manual_grade = score, False
        book.db.commit()


def hand_in(folder, files):
    """Collect these notebooks, with the times of HANDED_IN."""
    place = folder / "in"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    lines = ["name,student,handed_in"]
    for student, notebook in files.items():
        nbformat.write(notebook, place / f"{student}_hw1.ipynb")
        lines.append(f"{student},{student},{HANDED_IN.get(student, '')}")
    (folder / "names.csv").write_text("\n".join(lines), encoding="utf-8")
    assert run("collect", folder, "hw1", place, "--names", folder / "names.csv", "--zone", "UTC")[0] == 0


@pytest.fixture(scope="module")
def folder(box, small_course, tmp_path_factory):
    """A course in which three have handed in and are graded; whoever is late loses all points."""
    folder = tmp_path_factory.mktemp("late") / "course"
    shutil.copytree(small_course, folder)
    with (folder / "nbgrader_config.py").open("a", encoding="utf-8") as settings:
        settings.write('c.LateSubmissionPlugin.penalty_method = "zero"\n')
    order = [sys.executable, "-m", "nbgrader", "db", "assignment", "add", "hw1", "--duedate=2026-11-02 00:00 UTC"]
    subprocess.run(order, cwd=folder, check=True, capture_output=True)
    hand_in(folder, {student: answered(folder, WRITTEN) for student in HANDED_IN})
    assert run("grade", folder, "hw1")[0] == 0
    return folder


def answered(folder, written, answer="answer = 'five'"):
    """The release, with an answer to task 3 and the written question."""
    notebook = nbformat.read(folder / "release" / "hw1" / "hw1.ipynb", 4)
    for cell in notebook.cells:
        cell.source = {"hw1-3-answer": answer, "hw1-written": written}.get(cell.id, cell.source)
    return notebook


def test_late_work_loses_what_the_rule_takes_and_nothing_when_the_date_moves(folder):
    rows = tables(folder)
    assert {student: (row["penalty"], row["total"]) for student, row in rows.items()} == {
        "ann": ("0", "1"), "bob": ("1", "0"), "cleo": ("0", "1"),  # nobody knows when cleo handed in
    }  # fmt: skip
    mark(folder, "bob", hw1_written=2)
    assert [tables(folder)["bob"][name] for name in ("hw1-written", "penalty", "total")] == ["2", "3", "0"]
    due(folder, "2026-11-04 00:00 UTC")
    assert [tables(folder)["bob"][name] for name in ("penalty", "total")] == ["0", "3"]
    due(folder, "2026-11-02 00:00 UTC")
    page = run("feedback", folder, "hw1")
    assert page[0] == 0
    assert [rows_of(folder)["bob"][name] for name in ("penalty", "total")] == ["3", "0"]


def test_after_marking_by_hand_only_new_or_changed_text_waits(folder):
    mark(folder, "ann", hw1_written=1, hw1_1=2)
    mark(folder, "bob", hw1_written=2)
    mark(folder, "cleo", hw1_written=2, hw1_3=0.5)
    eve = answered(folder, f"{WRITTEN} ![drawn](attachment:x.png) ![gone](attachment:y.png)")
    eve.cells[-1].attachments = {"x.png": {"image/png": "aGk="}}
    hand_in(folder, {"ann": answered(folder, WRITTEN), "cleo": answered(folder, "Another text.", "answer = 'six'"),
                     "eve": eve})  # fmt: skip
    assert run("grade", folder, "hw1")[0] == 0
    seen = {
        student: [row[name] for name in ("hw1-1", "hw1-3", "hw1-written", "total")]
        for student, row in tables(folder).items()
    }
    assert seen["ann"] == ["2", "1", "1", "4"]
    assert seen["bob"] == ["0", "1", "2", "0"]
    assert seen["cleo"] == ["0", "waits", "waits", "0"]
    assert seen["eve"] == ["0", "1", "waits", "1"]
    assert run("feedback", folder, "hw1")[0] == 0
    page = (folder / "feedback" / "eve" / "hw1" / "hw1.html").read_text("utf-8")
    assert 'src="data:image/png;base64,aGk="' in page


def test_a_time_that_is_taken_back_leaves_no_penalty(folder):
    (folder / "submitted" / "bob" / "hw1" / "timestamp.txt").unlink()
    assert run("grade", folder, "hw1", "--student", "bob")[0] == 0
    assert tables(folder)["bob"]["penalty"] == "0"


def test_a_rule_of_the_courses_own_takes_part_and_one_that_fails_is_named(folder, tmp_path):
    copy = tmp_path / "course"
    shutil.copytree(folder, copy)
    due(copy, "2026-11-01 00:00 UTC")
    rule = (
        "\nfrom nbgrader.plugins import BasePlugin\n\n\nclass Rule(BasePlugin):\n"
        "    def late_submission_penalty(self, student_id, score, total_seconds_late):\n        return {}\n\n\n"
        "c.AssignLatePenalties.plugin_class = Rule\n"
    )
    settings = (copy / "nbgrader_config.py").read_text("utf-8")
    (copy / "nbgrader_config.py").write_text(
        settings + rule.format("total_seconds_late / 36_000 / 10"), encoding="utf-8"
    )
    row = tables(copy)["ann"]
    assert (row["penalty"], row["total"]) == ("0.1", "3.9")
    (copy / "nbgrader_config.py").write_text(settings + rule.format("score / 0"), encoding="utf-8")
    code, said = run("table", copy)
    assert code == 1
    assert said.count("\n") <= 1
    assert "the rule for late work in nbgrader_config.py failed for ann (ZeroDivisionError" in said


def test_a_time_that_is_none_is_said_and_keeps_the_mark(folder, tmp_path):
    copy = tmp_path / "course"
    shutil.copytree(folder, copy)
    before = tables(copy)["ann"]
    (copy / "submitted" / "ann" / "hw1" / "timestamp.txt").write_text("yesterday evening", encoding="utf-8")
    code, said = run("grade", copy, "hw1", "--student", "ann")
    assert code == 1
    assert "its timestamp.txt holds no time" in said
    assert tables(copy)["ann"] == before


def test_a_mark_by_hand_does_not_stand_for_a_text_that_nbgrader_could_not_take(folder, tmp_path, monkeypatch):
    copy = tmp_path / "course"
    shutil.copytree(folder, copy)
    hand_in(copy, {"bob": answered(copy, "Quite another text.")})
    with monkeypatch.context() as patch:
        patch.setattr(gradebook.NbGraderAPI, "autograde", lambda *_: {"success": False, "log": "RuntimeError: locked"})
        code, said = run("grade", copy, "hw1", "--student", "bob")
    assert code == 1
    assert "locked" in said
    assert tables(copy)["bob"]["hw1-written"] == "2"
    assert run("grade", copy, "hw1", "--student", "bob")[0] == 0
    assert tables(copy)["bob"]["hw1-written"] == "waits"
