"""Marks reach the tables that Canvas and Moodle exported, in the form that they came in, and nobody is dropped in silence."""

import csv
import io
import shutil
import sys
from datetime import datetime

import pytest

from walkthrough.homework import __main__ as commands
from walkthrough.homework import exporting, graded
from walkthrough.homework.exporting import Mark
from walkthrough.homework.gradebook import opened

CANVAS = (
    "Student,ID,SIS User ID,SIS Login ID,Section,Notes,hw1 (9001),Quiz (9002),hw1 Current Score\r\n"
    ",,,,,,Manual Posting,,(read only)\r\n"
    "    Points Possible,,,,,,6,10,(read only)\r\n"
    '"Example, Anna",1234567,u1,anna1@example.org,S1,"likes ""quotes"", commas",,7,80\r\n'
    '"Müller, Jörg",1234568,u2,jm,S1,,2,,\r\n'
    '"O\'Neil, Zoë",1234569,u3,zoe,S2,,,,\r\n'
    '"Student, Test",99,,x,S1,,,,\r\n'
)
WORKSHEET = (
    "Identifier,Full name,ID number,Email address,Status,Grade,Maximum grade,Grade can be changed,"
    "Last modified (submission),Last modified (grade),Feedback comments\n"
    'Participant 501,Anna Example,u1,anna1@example.org,Submitted,,6.00,Yes,"Wednesday, 3 June 2026",-,\n'
    "Participant 502,Jörg Müller,u2,jm@example.org,Submitted,,6.00,Yes,-,-,\n"
    "Participant 503,Zoë O'Neil,u3,zoe@example.org,Submitted,,6.00,No,-,-,old\n"
)
MARKS = {"exampleanna_1234567": Mark(5.5, 6.0), "jm": Mark(4.0, 6.0), "Zoë-ONeil": Mark(0.0, 6.0)}
LEDGER = "student,who,file,handed_in\nexampleanna_1234567,canvas exampleanna_1234567,f,\n"


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course folder with marks, without a gradebook."""
    (tmp_path / "source" / "hw1").mkdir(parents=True)
    (tmp_path / "source" / "hw1" / "hw1.ipynb").write_text("", encoding="utf-8")
    (tmp_path / "collected").mkdir()
    (tmp_path / "collected" / "hw1.csv").write_text(LEDGER, encoding="utf-8")
    (tmp_path / "grades").mkdir()
    said = "student,hw1-1,hw1-written,total,of,remarks\njm,3,1,4,6,hw1-2: a < b | cell 3: late\n"
    (tmp_path / "grades" / "hw1.csv").write_text(said, encoding="utf-8")
    monkeypatch.setattr(exporting, "marks_of", lambda folder, assignment: dict(MARKS) if assignment == "hw1" else {})
    return tmp_path


def given(folder, text, encoding="utf-8", name="table.csv"):
    """The table as a file that was downloaded."""
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


def rows(file, delimiter=",", encoding="utf-8"):
    """A CSV as a list of lists."""
    return list(csv.reader(io.StringIO(file.read_bytes().decode(encoding), newline=""), delimiter=delimiter))


def test_canvas_gets_marks_and_keeps_all_else(course):
    file, done, missed = exporting.export(course, given(course, CANVAS))
    before, after = list(csv.reader(io.StringIO(CANVAS, newline=""))), rows(file)
    assert [row[6] for row in after] == ["hw1 (9001)", "Manual Posting", "6", "5.5", "4", "0", ""]
    assert [row[:6] + row[7:] for row in after] == [row[:6] + row[7:] for row in before]
    assert (missed, done[0]) == ([], "hw1: 3 of 3 marks written")
    assert done[1] == "1 row of the table is nobody's who has a mark, and stays unchanged"


def test_a_new_column_brings_its_points(course):
    table = "Student,ID,SIS Login ID,Section\n    Points Possible,,,\nExample,1234567,x,S\nM,2,jm,S\nZoë O'Neil,3,z,S\n"
    file, _, missed = exporting.export(course, given(course, table))
    assert [row[4] for row in rows(file)] == ["hw1", "6", "5.5", "4", "0"]
    assert missed == []


def test_moodles_worksheet_gets_marks_and_feedback_and_says_what_is_locked(course):
    ledger = LEDGER + "Zoë-ONeil,moodle Zoë O'Neil_503,f,\n"
    (course / "collected" / "hw1.csv").write_text(ledger.replace("canvas exampleanna", "moodle x"), encoding="utf-8")
    file, done, missed = exporting.export(course, given(course, WORKSHEET, "utf-8-sig"), ["hw1"])
    after = rows(file, encoding="utf-8-sig")
    assert file.read_bytes().startswith(b"\xef\xbb\xbf")
    assert [row[5] for row in after[1:]] == ["", "4", ""]
    assert after[2][10] == "hw1-1: 3, hw1-written: 1, total: 4 of 6<br>hw1-2: a &lt; b<br>cell 3: late"
    assert after[3][10] == "old"
    assert done[0] == "hw1: 1 of 3 marks written"
    assert [sentence.partition(":")[0] for sentence in missed] == ["exampleanna_1234567", "Zoë-ONeil"]
    assert "no row of the table" in missed[0]
    assert "Moodle has locked this mark" in missed[1]


def test_semicolons_and_decimal_commas_stay(course):
    table = "First name;Last name;ID number;Email address;Assignment: hw1 (Real);Assignment: hw1 (Feedback)\n"
    table += "Anna;Example;1;exampleanna_1234567;3,50;\nJörg;Müller;2;JM@example.org;-;\nZoë;O'Neil;3;z@example.org;;\n"
    file, _, missed = exporting.export(course, given(course, table))
    assert [row[4] for row in rows(file, ";")] == ["Assignment: hw1 (Real)", "5,5", "4", "0"]
    assert missed == []


def test_a_worksheet_in_another_language_is_read_when_its_columns_are_named(course):
    german = (
        WORKSHEET.replace("Identifier", "ID").replace(",Grade,", ",Bewertung,").replace("Maximum grade", "Bestwertung")
    )
    german = german.replace("Last modified (grade)", "Zuletzt geändert (Bewertung)").replace("ID number", "Matrikel").replace(
        "Feedback comments", "Feedback als Kommentar").replace("Grade can be changed", "änderbar")  # fmt: skip
    with pytest.raises(ValueError, match="say which is which"):
        exporting.export(course, given(course, german.replace("Email address", "E-Mail")))
    names = {
        "who": "ID",
        "grade": "Bewertung",
        "most": "Bestwertung",
        "changed": "Zuletzt geändert (Bewertung)",
        "said": "Feedback als Kommentar",
    }
    file, _, _ = exporting.export(course, given(course, german), columns=names)
    assert [row[5] for row in rows(file)][1:] == ["", "4", "0"]


def test_two_who_could_be_one_are_said_and_a_table_decides(course):
    table = "Full name,Email address,hw1\nZoe,a@b.c,\nX,jm@one.org,\nY,jm@two.org,\nZoë O'Neil,q,\nZoë O’Neil,r,\n"
    _, _, missed = exporting.export(course, given(course, table))
    assert len(missed) == 3
    assert any(sentence.startswith("jm: 2 rows could be this student's") for sentence in missed)
    assert any(sentence.startswith("Zoë-ONeil: 2 rows") for sentence in missed)
    names = given(course, "name,student\njm@two.org,jm\nr,Zoë-ONeil\nZoe,exampleanna_1234567\n", name="names.csv")
    file, _, missed = exporting.export(course, course / "table.csv", names=names)
    assert [row[2] for row in rows(file)] == ["hw1", "5.5", "", "4", "", "0"]
    assert missed == []


def test_two_students_never_share_a_row(course, monkeypatch):
    monkeypatch.setattr(exporting, "marks_of", lambda *_: {"anna": Mark(1.0, 6.0), "u1": Mark(2.0, 6.0)})
    _, done, missed = exporting.export(course, given(course, "Username,ID number,hw1\nanna,u1,\n"))
    assert done[0] == "hw1: 0 of 2 marks written"
    assert len(missed) == 2
    assert "anna: anna and u1 could both be anna u1, one row" in missed[0]
    assert not any("nobody's" in sentence for sentence in done)


def test_a_row_that_the_table_gives_to_somebody_is_nobody_elses(course, monkeypatch):
    monkeypatch.setattr(exporting, "marks_of", lambda *_: {"Dora-X": Mark(1.0, 6.0), "xdora_103": Mark(2.0, 6.0)})
    ledger = "student,who,file,handed_in\nxdora_103,canvas xdora_103,f,\n"
    (course / "collected" / "hw1.csv").write_text(ledger, encoding="utf-8")
    table = given(course, 'Student,ID,SIS Login ID,Section,hw1\n"X, Dora",103,dora,A,\n"Y, Eve",104,eve,A,\n')
    _, done, missed = exporting.export(course, table)
    assert [sentence.partition(" could both be")[0] for sentence in missed] == [
        "Dora-X: Dora-X and xdora_103",
        "xdora_103: Dora-X and xdora_103",
    ]
    assert done[1].startswith("1 row of the table is nobody's")
    names = given(course, 'name,student\nxdora_103,Dora-X\n"X, Dora",Dora-X\n', name="names.csv")
    file, _, missed = exporting.export(course, table, names=names)
    assert [row[4] for row in rows(file)] == ["hw1", "1", ""]
    assert missed == ["xdora_103: by the table of names, X, Dora 103 is Dora-X, and no row is left"]
    names.write_text('name,student\nxdora_103,\n"X, Dora",Dora-X\n', encoding="utf-8")
    file, done, missed = exporting.export(course, table, names=names)
    assert (rows(file)[1][4], missed) == ("1", [])
    assert done[0] == "xdora_103: the table of names leaves it out"


def test_old_marks_and_missing_ones_are_said_and_not_written(course):
    for student in ("jm", "Neu-Er"):
        place = course / "submitted" / student / "hw1"
        place.mkdir(parents=True)
        (place / "hw1.ipynb").write_text("new", encoding="utf-8")
    graded_place = course / "autograded" / "jm" / "hw1"
    graded_place.mkdir(parents=True)
    (graded_place / "hw1.ipynb").write_text("", encoding="utf-8")
    (course / "judged" / "jm").mkdir(parents=True)
    graded.note(course, "hw1", "jm", "another file's")
    file, done, missed = exporting.export(course, given(course, CANVAS))
    assert [row[6] for row in rows(file)][3:6] == ["5.5", "2", "0"]
    assert done[0] == "hw1: 2 of 4 marks written"
    assert missed == [
        "Neu-Er: not graded yet (hw1), so nothing was written",
        "jm: a newer file was collected since, which is not graded yet (hw1), so nothing was written",
    ]
    graded.note(course, "hw1", "jm", graded.digest(course, "hw1", "jm"))
    file, _, missed = exporting.export(course, course / "table.csv")
    assert rows(file)[4][6] == "4"
    assert len(missed) == 1


def test_other_points_are_refused_or_converted(course):
    table = given(course, CANVAS.replace(",6,10,", ",100,10,"))
    with pytest.raises(ValueError, match=r"worth 100 points on the platform and 6 here.*--scale"):
        exporting.export(course, table)
    file, _, _ = exporting.export(course, table, scale=True)
    assert [row[6] for row in rows(file)][3:6] == ["91.67", "66.67", "0"]


def test_what_waits_is_held_back_unless_asked_for(course, monkeypatch):
    monkeypatch.setattr(exporting, "marks_of", lambda *_: {"jm": Mark(3.0, 6.0, waits=True)})
    file, _, missed = exporting.export(course, given(course, CANVAS))
    assert rows(file)[4][6] == "2"
    assert missed == ["jm: a written answer of hw1 is not marked yet, so nothing was written"]
    file, _, missed = exporting.export(course, course / "table.csv", unfinished=True)
    assert (rows(file)[4][6], missed) == ("3", [])


REFUSED = (
    ("a,b\n1,2\n", "neither Canvas's gradebook nor"), ("Student,ID,x\n", "without the column Section"), ("", "neither"),
    ("Username,hw1 a,hw1 b\njm,,\n", "hw1 a and hw1 b could both be hw1"), ('Username,"hw1\njm', "is no table"),
)  # fmt: skip


@pytest.mark.parametrize(("table", "said"), REFUSED)
def test_what_is_no_table_is_refused_in_a_sentence(table, said, course):
    with pytest.raises(ValueError, match=said):
        exporting.export(course, given(course, table))


def test_wrong_names_and_encodings_are_refused(course):
    for table, options, said in (
        (CANVAS.encode("cp1252"), {}, "not in UTF-8"),
        (CANVAS.encode(), {"assignments": ["hw7"]}, "there is no assignment 'hw7'"),
        (CANVAS.encode(), {"columns": {"hw1": "Nix"}}, "there is no column 'Nix'"),
        (CANVAS.encode(), {"names": course / "none.csv"}, "none.csv"),
        (CANVAS.encode(), {"out": course / "table.csv"}, "give another name"),
    ):
        (course / "table.csv").write_bytes(table)
        with pytest.raises((ValueError, OSError), match=said):
            exporting.export(course, course / "table.csv", **options)
    with pytest.raises(ValueError, match=r"there is no file .*nonsuch\.csv"):
        exporting.export(course, course / "nonsuch.csv")
    file, _, _ = exporting.export(course, given(course, CANVAS, "utf-16"), columns={"hw1": "Quiz (9002)"}, scale=True)
    assert rows(file, encoding="utf-8-sig")[3][7] == "9.17"


def test_the_command_writes_the_table_and_ends_with_1_if_a_mark_is_not_in_it(course, monkeypatch, capsys):
    table = given(course, "Username,hw1\njm,\n")
    monkeypatch.setattr(sys, "argv", ["walkthrough.homework", "export", str(course), str(table)])
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    with pytest.raises(SystemExit, match="2 marks are not in the table"):
        commands.main()
    assert (course / "grades" / "gradebook-table.csv").read_text("utf-8").splitlines() == ["Username,hw1", "jm,4"]


def test_marks_are_those_of_the_gradebook_less_what_late_work_loses(small_course, tmp_path):
    folder = tmp_path / "c"
    shutil.copytree(small_course, folder)
    rule = "from nbgrader.plugins import BasePlugin\n\n\nclass One(BasePlugin):\n    def late_submission_penalty(self, student_id, score, late):\n        return 1.0\n"
    config = folder / "nbgrader_config.py"
    config.write_text(
        config.read_text("utf-8") + f"\n\n{rule}\n\nc.AssignLatePenalties.plugin_class = One\n", encoding="utf-8"
    )
    with opened(folder) as book:
        book.add_student("anna")
        submission = book.add_submission("hw1", "anna", timestamp=datetime(2026, 1, 2))
        notebook = submission.notebooks[0]
        first, written = (next(g for g in notebook.grades if g.name == name) for name in ("hw1-1", "hw1-written"))
        first.manual_score, written.needs_manual_grade = 3.0, True
        book.db.commit()
    assert exporting.marks_of(folder, "hw1") == {"anna": Mark(3.0, 8.0, True)}
    with opened(folder) as book:
        book.find_assignment("hw1").duedate = datetime(2026, 1, 1)
        book.db.commit()
    assert exporting.marks_of(folder, "hw1") == {"anna": Mark(2.0, 8.0, True)}
    assert exporting.marks_of(folder, "hw9") == {}
