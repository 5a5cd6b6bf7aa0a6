"""What is not read, not graded or not there is never shown as a mark: pages, both tables, and what the commands say."""

import csv
import shutil

import nbformat
import pytest
from commanding import rows_of, run
from nbgrader.api import Gradebook

from walkthrough.homework import gradebook, graded, intake, tables, waiting

WRITTEN = "Every row is mapped by the same matrix."


def answered(folder, written=WRITTEN):
    """The release, with this answer to the written question."""
    notebook = nbformat.read(folder / "release" / "hw1" / "hw1.ipynb", 4)
    notebook.cells[-1].source = written
    return notebook


def enter(folder, student, written=WRITTEN):
    """Hand a notebook in and enter it as if it had been judged: each test is passed."""
    place = folder / "submitted" / student / "hw1"
    place.mkdir(parents=True, exist_ok=True)
    nbformat.write(answered(folder, written), place / "hw1.ipynb")
    gradebook.enter(folder, "hw1", student, answered(folder, written))


def mark(folder, student, points):
    """The teacher marks the written answer, and says why, as the formgrader does."""
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as book:
        grade = book.find_grade("hw1-written", "hw1", "hw1", student)
        grade.manual_score, grade.needs_manual_grade = points, False
        book.find_comment("hw1-written", "hw1", "hw1", student).manual_comment = "well put"
        book.db.commit()


def everything(folder):
    """`grades/all.csv`, by student."""
    with (folder / "grades" / "all.csv").open(newline="", encoding="utf-8") as stored:
        return {row["student_id"]: row for row in csv.DictReader(stored)}


def page(folder, student):
    """A student's page of feedback."""
    return (folder / "feedback" / student / "hw1" / "hw1.html").read_text("utf-8")


@pytest.fixture(scope="module")
def folder(small_course, tmp_path_factory):
    """A course in which ann's answer is marked, bob's waits, and cleo has handed nothing in."""
    folder = tmp_path_factory.mktemp("states") / "course"
    shutil.copytree(small_course, folder)
    enter(folder, "ann")
    enter(folder, "bob")
    mark(folder, "ann", 2)
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as book:
        book.add_student("cleo")
    return folder


def test_what_nobody_has_read_waits_on_the_page_and_in_both_tables(folder):
    code, said = run("feedback", folder, "hw1")
    assert (code, said) == (0, "2 pages of feedback\n")
    assert run("table", folder)[0] == 0
    bob, ann = page(folder, "bob"), page(folder, "ann")
    assert "hw1 (Score: 6.0 / 8.0; 2 more points wait for a person)" in bob
    assert bob.count("not marked yet, of 2.0") == 2
    assert "Not marked yet: this answer waits for a person." in bob
    assert "/ 2.0" not in bob.partition("hw1-written")[2].partition("</li>")[0]
    assert "hw1 (Score: 8.0 / 8.0)" in ann
    assert "ot marked yet" not in ann
    assert "well put" in ann
    assert {name: row["hw1-written"] for name, row in rows_of(folder).items()} == {"ann": "2", "bob": "waits"}
    rows = everything(folder)
    assert {name: (row["score"], row["raw_score"], row["state"]) for name, row in rows.items()} == {
        "ann": ("8.0", "8.0", ""), "bob": ("6.0", "6.0", tables.WAITS), "cleo": ("", "", tables.NOTHING)}  # fmt: skip


@pytest.fixture
def copy(folder, tmp_path):
    """That course, to be changed."""
    return shutil.copytree(folder, tmp_path / "course")


def test_a_changed_answer_has_no_mark_until_it_is_read_again(copy):
    enter(copy, "ann")
    assert run("table", copy)[0] == 0
    assert (rows_of(copy)["ann"]["hw1-written"], rows_of(copy)["ann"]["total"]) == ("2", "8")
    enter(copy, "ann", "Quite another text.")
    assert run("table", copy)[0] == 0
    assert (rows_of(copy)["ann"]["hw1-written"], rows_of(copy)["ann"]["total"]) == ("waits", "6")
    assert (everything(copy)["ann"]["score"], everything(copy)["ann"]["state"]) == ("6.0", tables.WAITS)
    assert run("feedback", copy, "hw1")[0] == 0
    assert "well put" not in page(copy, "ann")
    mark(copy, "ann", 1)
    assert run("table", copy)[0] == 0
    assert (rows_of(copy)["ann"]["total"], everything(copy)["ann"]["state"]) == ("7", "")


def test_marks_of_a_file_that_was_replaced_do_not_go_out_in_silence(copy):
    assert run("feedback", copy, "hw1")[0] == 0
    new = copy / "in"
    (copy / "judged" / "bob" / "hw1.sha256").unlink()  # as courses were before
    for student, written in (("bob", "newer"), ("eve", "first")):
        (new / student).mkdir(parents=True)
        nbformat.write(answered(copy, written), new / student / "hw1.ipynb")
    code, said = run("collect", copy, "hw1", new)
    assert code == 0
    assert "bob: replaced what was collected before, which is kept as" in said
    code, said = run("feedback", copy, "hw1")
    assert code == 1
    assert said.splitlines() == [
        "1 page of feedback",
        f"no page for bob: {graded.NEWER}",
        f"no page for eve: {graded.NEVER}",
        "grade hw1 again: `python -m walkthrough.homework grade`",
    ]
    assert not (copy / "feedback" / "bob" / "hw1" / "hw1.html").exists()
    code, said = run("table", copy)
    assert (code, f"bob: {graded.NEWER}" in said) == (0, True)
    states = {name: (row["score"], row["state"]) for name, row in everything(copy).items()}
    assert states["bob"] == ("6.0", f"{graded.NEWER}, {tables.WAITS}")
    assert states["eve"] == ("", graded.NEVER)
    gradebook.enter(copy, "hw1", "bob", answered(copy, "newer"))
    assert graded.not_graded(copy, "hw1") == {"eve": graded.NEVER}
    for student in ("ann", "bob"):  # now nobody's marks are of the file handed in last
        file = copy / "submitted" / student / "hw1" / "hw1.ipynb"
        file.write_text(file.read_text("utf-8") + " ", encoding="utf-8")
    code, said = run("feedback", copy, "hw1")
    assert (code, said.splitlines()[0]) == (1, f"no page for ann: {graded.NEWER}")
    assert not (copy / "feedback" / "ann" / "hw1" / "hw1.html").exists()


def test_before_anything_is_graded_there_is_no_feedback(copy):
    shutil.rmtree(copy / "autograded")
    code, said = run("feedback", copy, "hw1")
    assert (code, said.splitlines()[0].split(":")[0]) == (1, "hw1 has not been graded yet")


def test_one_point_waits_and_two_wait():
    page = '<h4>hw1 (Score: 6.0 / 8.0)</h4><a href="#a">a</a> (Score: 0.0 / 1.0)<a name="a"></a> Score: 0.0 / 1.0'
    said = waiting.said(page, {"a": 1.0})
    assert said.startswith("<h4>hw1 (Score: 6.0 / 8.0; 1 more point waits for a person)")
    assert said.count("not marked yet, of 1.0") == 2
    assert "2 more points wait for a person" in waiting.said(page, {"a": 1.0, "b": 1.0})


def test_whose_graded_notebook_is_gone_is_named(copy):
    shutil.rmtree(copy / "autograded" / "ann")
    code, said = run("feedback", copy, "hw1")
    assert code == 1
    assert said.splitlines()[:2] == ["1 page of feedback", f"no page for ann: {graded.GONE}"]


def test_one_person_under_two_names_is_one_row(copy):
    ledger = intake.read_ledger(copy, "hw1")
    for student, now in (("ann", ""), ("bob", "ann")):
        ledger[student] = {"student": student, "who": student, "now": now}
    intake.write_ledger(copy / "collected" / "hw1.csv", ledger)
    for name in ("submitted", "autograded", "judged"):
        shutil.rmtree(copy / name / "bob")
    code, said = run("feedback", copy, "hw1")
    assert (code, said) == (0, "1 page of feedback\n")
    assert run("table", copy)[0] == 0
    assert list(rows_of(copy)) == ["ann"]
    assert list(everything(copy)) == ["ann", "cleo"]
    with Gradebook(f"sqlite:///{copy / 'gradebook.db'}") as book:  # in another homework it is still a person's name
        book.add_assignment("hw9")
        book.add_submission("hw9", "bob")
    assert run("table", copy)[0] == 0
    with (copy / "grades" / "all.csv").open(newline="", encoding="utf-8") as stored:
        rows = {(row["assignment"], row["student_id"]): (row["score"], row["state"]) for row in csv.DictReader(stored)}
    assert rows["hw1", "bob"] == ("", tables.NOTHING)
    assert rows["hw9", "bob"] == ("0.0", "")


def test_whoever_is_asked_for_and_has_handed_nothing_in_is_named_beside_those_who_have(copy):
    for command in ("grade", "oral"):
        code, said = run(command, copy, "hw1", "--student", "Nobody")
        assert (code, said) == (1, "there is no student Nobody who has handed in hw1; handed in: ann, bob")
