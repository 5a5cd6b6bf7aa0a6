"""Whose file is it? The exports of five learning platforms, people's own folders, and what must never happen.

The names are of the forms that `walkthrough/homework/platforms.py` says where it found; no file here is a student's.
"""

import csv
import io
import os
import random
import stat
import struct
import subprocess
import sys
import unicodedata
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from walkthrough.homework import __main__ as commands
from walkthrough.homework.archives import Found
from walkthrough.homework.collect import collect
from walkthrough.homework.intake import counts, report
from walkthrough.homework.names import named_for, student_id
from walkthrough.homework.platforms import Claim, moment
from walkthrough.homework.replaced import is_older, is_same, keep

MOODLE, FLAT = "{}_{}_assignsubmission_file_/{}", "{}_{}_assignsubmission_file_{}"
RECEIPT = """Name: {} ({})
Assignment: HW 1
Date Submitted: Sunday, 1 November 2026 12:30:45 o'clock CET
Current Mark: Needs Marking

Submission Field:
There is no student submission text data for this assignment.
"""
METADATA = """submission_1:
  :submitters:
  - :name: Anna Example
    :sid: '100'
    :email: anna@example.org
  :created_at: 2026-11-01 12:30:45.123456000 Z
  :score: 0.0
submission_2:
  :submitters:
  - :name: Ben Example
    :sid:
    :email: ben@example.org
  - :name: Eve Example
    :sid: '102'
    :email: eve@example.org
  :created_at: !ruby/object:ActiveSupport::TimeWithZone
    utc: &1 2026-11-02 08:00:00.000000000 Z
    zone: &2 !ruby/object:ActiveSupport::TimeZone
      name: Etc/UTC
    time: *1
"""
BRIGHTSPACE = "{} - {} - {}/hw1.ipynb"
COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Zoé") for form in ("NFC", "NFD"))


def same(*names: str) -> dict[str, str]:
    """Files whose content does not matter."""
    return dict.fromkeys(names, "")


# What it is, the files in the order of their times, each taken student's file, what became of others.
TAKEN = {
    "Moodle, in folders": (
        same(MOODLE.format("Anna Example", 1234567, "hw1.ipynb"), MOODLE.format("Ben O'Neill", 1234568, "My solution.ipynb")),
        {"Anna-Example": "Anna Example_1234567_assignsubmission_file_/hw1.ipynb",
         "Ben-ONeill": "Ben O'Neill_1234568_assignsubmission_file_/My solution.ipynb"}, {}),
    "Moodle, in folders, without the last _": (
        same("Anna Example_1_assignsubmission_file/hw1.ipynb", "Anna Example_1_assignsubmission_onlinetext/onlinetext.html"),
        {"Anna-Example": "Anna Example_1_assignsubmission_file/hw1.ipynb"},
        {"Anna Example_1_assignsubmission_onlinetext/onlinetext.html": "passed over"}),
    "Moodle, flat": (
        same(FLAT.format("Anna Example", 1234567, "hw1.ipynb"), FLAT.format("李雷", 1234568, "HW1.ipynb")),
        {"Anna-Example": "Anna Example_1234567_assignsubmission_file_hw1.ipynb",
         "李雷": "李雷_1234568_assignsubmission_file_HW1.ipynb"}, {}),
    "Moodle, blind": (
        same(FLAT.format("Participant", 1234567, "hw1.ipynb"), FLAT.format("Participant", 1234568, "hw1.ipynb")),
        {"Participant_1234567": "Participant_1234567_assignsubmission_file_hw1.ipynb",
         "Participant_1234568": "Participant_1234568_assignsubmission_file_hw1.ipynb"}, {}),
    "Moodle, blind, in another language": (
        same(*(FLAT.format("Teilnehmerin", i, "hw1.ipynb") for i in (1, 2, 3))),
        {f"Teilnehmerin_{i}": f"Teilnehmerin_{i}_assignsubmission_file_hw1.ipynb" for i in (1, 2, 3)}, {}),
    "Moodle, groups": (
        same("Group 1_77_assignsubmission_file_/hw1.ipynb", "Default group_assignsubmission_file_/hw1.ipynb"),
        {"Group-1": "Group 1_77_assignsubmission_file_/hw1.ipynb",
         "Default-group": "Default group_assignsubmission_file_/hw1.ipynb"}, {}),
    "Moodle, a folder within": (
        same("Anna Example_1_assignsubmission_file_/walkthrough/notebooks/homework/hw1.ipynb",
             "Anna Example_1_assignsubmission_file_/walkthrough/notebooks/00_start_here.ipynb"),
        {"Anna-Example": "Anna Example_1_assignsubmission_file_/walkthrough/notebooks/homework/hw1.ipynb"},
        {"Anna Example_1_assignsubmission_file_/walkthrough/notebooks/00_start_here.ipynb": "passed over"}),
    "Moodle, somebody else's name in what was handed in": (
        same("Eve Example_3_assignsubmission_file_/Anna Example_1_assignsubmission_file_/hw1.ipynb", MOODLE.format("Anna Example", 1, "hw1.ipynb")),
        {"Eve-Example": "Eve Example_3_assignsubmission_file_/Anna Example_1_assignsubmission_file_/hw1.ipynb",
         "Anna-Example": "Anna Example_1_assignsubmission_file_/hw1.ipynb"}, {}),
    "Canvas": (
        same("exampleanna_LATE_123456_7890123_hw1-2.ipynb", "exampleben_123457_7890124_hw1.ipynb", "exampleben_123457_7890125_data.csv"),
        {"exampleanna_123456": "exampleanna_LATE_123456_7890123_hw1-2.ipynb",
         "exampleben_123457": "exampleben_123457_7890124_hw1.ipynb"}, {"exampleben_123457_7890125_data.csv": "passed over"}),
    "Canvas, two people of one name": (
        same("exampleanna_123456_7890123_hw1.ipynb", "exampleanna_123457_7890124_hw1.ipynb"),
        {"exampleanna_123456": "exampleanna_123456_7890123_hw1.ipynb", "exampleanna_123457": "exampleanna_123457_7890124_hw1.ipynb"}, {}),
    "Canvas, anonymous": (
        same("anon_AbC12_7890123_hw1.ipynb", "LATE_anon_12345_7890124_hw1.ipynb"),
        {"anon_AbC12": "anon_AbC12_7890123_hw1.ipynb", "anon_12345": "LATE_anon_12345_7890124_hw1.ipynb"}, {}),
    "Blackboard": (
        {"HW 1_aexample_attempt_2026-11-01-12-30-45.txt": RECEIPT.format("Anna Example", "aexample"),
         "HW 1_aexample_attempt_2026-11-01-12-30-45_hw1.ipynb": "", "HW1_ben.e_attempt_2026-11-01-12-30-45_hw1 (1).ipynb": ""},
        {"aexample": "HW 1_aexample_attempt_2026-11-01-12-30-45_hw1.ipynb", "ben.e": "HW1_ben.e_attempt_2026-11-01-12-30-45_hw1 (1).ipynb"},
        {"HW 1_aexample_attempt_2026-11-01-12-30-45.txt": "passed over"}),
    "Blackboard, a user's name with _": (
        {"HW_1_anna_e_attempt_2026-11-01-12-30-45.txt": RECEIPT.format("Anna Example", "anna_e"),
         "HW_1_anna_e_attempt_2026-11-01-12-30-45_hw1.ipynb": "",
         "HW_1_ben_e_attempt_2026-11-01-12-30-45.txt": RECEIPT.format("Ben Example", "ben_e"),
         "HW_1_ben_e_attempt_2026-11-01-12-30-45_hw1.ipynb": ""},
        {"anna_e": "HW_1_anna_e_attempt_2026-11-01-12-30-45_hw1.ipynb", "ben_e": "HW_1_ben_e_attempt_2026-11-01-12-30-45_hw1.ipynb"}, {}),
    "Blackboard, two attempts, the older one changed later": (
        same("HW1_anna_attempt_2026-11-02-12-30-45_hw1.ipynb", "HW1_anna_attempt_2026-11-01-12-30-45_hw1.ipynb"),
        {"anna": "HW1_anna_attempt_2026-11-02-12-30-45_hw1.ipynb"}, {"HW1_anna_attempt_2026-11-01-12-30-45_hw1.ipynb": "older"}),
    "Blackboard, the last attempt is a comment": (
        {"HW1_anna_attempt_2026-11-01-12-30-45_hw1.ipynb": "", "HW1_anna_attempt_2026-11-02-12-30-45.txt": RECEIPT.format("Anna", "anna")},
        {"anna": "HW1_anna_attempt_2026-11-01-12-30-45_hw1.ipynb"}, {"HW1_anna_attempt_2026-11-02-12-30-45.txt": "passed over"}),
    "Brightspace": (
        same("index.html", BRIGHTSPACE.format("123456-789012", "Anna Example", "Nov 1, 2026 1230 PM"),
             BRIGHTSPACE.format("123456-789012", "Mary-Ann Smith - Jones", "Nov 1, 2026 926 AM")),
        {"Anna-Example": "123456-789012 - Anna Example - Nov 1, 2026 1230 PM/hw1.ipynb",
         "Mary-Ann-Smith-Jones": "123456-789012 - Mary-Ann Smith - Jones - Nov 1, 2026 926 AM/hw1.ipynb"}, {"index.html": "passed over"}),
    "Brightspace, two attempts, in a folder of the assignment's name": (
        same("HW 1/" + BRIGHTSPACE.format("1-2", "Anna Example", "Nov 1, 2026 1230 PM"), "HW 1/" + BRIGHTSPACE.format("1-3", "Anna Example", "Nov 1, 2026 1130 AM")),
        {"Anna-Example": "HW 1/1-2 - Anna Example - Nov 1, 2026 1230 PM/hw1.ipynb"},
        {"HW 1/1-3 - Anna Example - Nov 1, 2026 1130 AM/hw1.ipynb": "older"}),
    "Brightspace, flat, and a date in another language": (
        same("1-2 - Anna Example - hw1.ipynb", "4-2 - Ben Example - 1 novembre 2026 1230/hw1.ipynb"),
        {"Anna-Example": "1-2 - Anna Example - hw1.ipynb", "Ben-Example": "4-2 - Ben Example - 1 novembre 2026 1230/hw1.ipynb"}, {}),
    "Gradescope, one alone and two together": (
        {"assignment_7_export/submission_metadata.yml": METADATA, "assignment_7_export/submission_1/hw1.ipynb": "",
         "assignment_7_export/submission_2/hw1.ipynb": ""},
        {"100": "assignment_7_export/submission_1/hw1.ipynb", "ben@example.org": "assignment_7_export/submission_2/hw1.ipynb",
         "102": "assignment_7_export/submission_2/hw1.ipynb"}, {"assignment_7_export/submission_metadata.yml": "passed over"}),
    "nbgrader's exchange": (
        same("anna+hw1+2026-11-01 12:30:45.123456 UTC+aBc/hw1.ipynb", "anna+hw1+2026-11-02 12:30:45.123456 UTC/hw1.ipynb",
             "anna+hw1+2026-11-02 12:30:45.123456 UTC/timestamp.txt", "anna+hw2+2026-11-03 12:30:45.123456 UTC/hw1.ipynb"),
        {"anna": "anna+hw1+2026-11-02 12:30:45.123456 UTC/hw1.ipynb"},
        {"anna+hw1+2026-11-01 12:30:45.123456 UTC+aBc/hw1.ipynb": "older", "anna+hw2+2026-11-03 12:30:45.123456 UTC/hw1.ipynb": "passed over"}),
    "numbers are part of a name": (
        same("group_1_hw1.ipynb", "group_2_hw1.ipynb", "s2024_01_hw1.ipynb", "s2024_02_hw1.ipynb", "bob_1234_hw1.ipynb", "bob_hw1.ipynb"),
        {who: f"{who}_hw1.ipynb" for who in ("group_1", "group_2", "s2024_01", "s2024_02", "bob_1234", "bob")}, {}),
    "in the course's own folders": (
        same("anna/notebooks/homework/hw1.ipynb", "ben/notebooks/homework/hw1.ipynb"),
        {who: f"{who}/notebooks/homework/hw1.ipynb" for who in ("anna", "ben")}, {}),
    "the whole course, of each": (
        same(*(f"{who}/walkthrough-main/{file}" for who in ("anna", "ben") for file in ("README.md", "notebooks/homework/hw1.ipynb"))),
        {who: f"{who}/walkthrough-main/notebooks/homework/hw1.ipynb" for who in ("anna", "ben")},
        {"anna/walkthrough-main/README.md": "passed over"}),
    "each in a folder, under a name of their own": (
        same("anna/my_hw1.ipynb", "ben/my_hw1.ipynb"), {"anna": "anna/my_hw1.ipynb", "ben": "ben/my_hw1.ipynb"}, {}),
    "all in a folder": (same("in/anna_hw1.ipynb", "in/ben_hw1.ipynb"), {"anna": "in/anna_hw1.ipynb", "ben": "in/ben_hw1.ipynb"}, {}),
    "as nbgrader keeps them": (
        same("anna/hw1/hw1.ipynb", "ben/hw1/hw1.ipynb", "ben/hw2/hw2.ipynb"),
        {"anna": "anna/hw1/hw1.ipynb", "ben": "ben/hw1/hw1.ipynb"}, {"ben/hw2/hw2.ipynb": "passed over"}),
    "names of every kind": (
        same("Anna Example_hw1.ipynb", "Özil_hw1.ipynb", "Łukasz_hw1.ipynb", "王小明_hw1.ipynb", "O'Neill - HW1.ipynb", "नीरज_hw1.ipynb", "a.b@c.org_hw1.ipynb"),
        {"Anna-Example": "Anna Example_hw1.ipynb", "Özil": "Özil_hw1.ipynb", "Łukasz": "Łukasz_hw1.ipynb", "王小明": "王小明_hw1.ipynb",
         "ONeill": "O'Neill - HW1.ipynb", "नीरज": "नीरज_hw1.ipynb", "a.b@c.org": "a.b@c.org_hw1.ipynb"}, {}),
    "accents as a Mac stores them": (same(f"{DECOMPOSED}_hw1.ipynb"), {COMPOSED: f"{COMPOSED}_hw1.ipynb"}, {}),
    "copies": (
        same("a_hw1 - Copy.ipynb", "b_hw1 (2).ipynb", "c_hw1-Copy1.ipynb", "d_hw1 copy 2.ipynb", "Copy of e_hw1.ipynb", "f_hw1 – Kopie (2).ipynb", "g_hw1-1.ipynb", "h_hw1 - 副本.ipynb"),
        {"a": "a_hw1 - Copy.ipynb", "b": "b_hw1 (2).ipynb", "c": "c_hw1-Copy1.ipynb", "d": "d_hw1 copy 2.ipynb", "e": "Copy of e_hw1.ipynb",
         "f": "f_hw1 – Kopie (2).ipynb", "g": "g_hw1-1.ipynb", "h": "h_hw1 - 副本.ipynb"}, {}),
    "a copy that is newer": (
        {"anna_hw1.ipynb": "old", "anna_hw1 (1).ipynb": "new"}, {"anna": "anna_hw1 (1).ipynb"}, {"anna_hw1.ipynb": "older"}),
    "the same file twice": (
        {MOODLE.format("Anna", 1, "hw1.ipynb"): "x", MOODLE.format("Anna", 1, "hw1 (1).ipynb"): "x"},
        {"Anna": MOODLE.format("Anna", 1, "hw1.ipynb")}, {MOODLE.format("Anna", 1, "hw1 (1).ipynb"): "older"}),
    "an ending added by a browser": (
        same("anna_hw1.ipynb.txt", "ben/hw1.ipynb.json"), {"anna": "anna_hw1.ipynb.txt", "ben": "ben/hw1.ipynb.json"}, {}),
    "a page beside the notebook": (same("anna/hw1.ipynb", "anna/hw1.html"), {"anna": "anna/hw1.ipynb"}, {"anna/hw1.html": "passed over"}),
    "what computers add": (
        same("anna_hw1.ipynb", ".DS_Store", "__MACOSX/._anna_hw1.ipynb", "._anna_hw1.ipynb", ".ipynb_checkpoints/anna_hw1-checkpoint.ipynb", "notes.txt"),
        {"anna": "anna_hw1.ipynb"},
        dict.fromkeys([".DS_Store", "__MACOSX/._anna_hw1.ipynb", "._anna_hw1.ipynb", "notes.txt"], "passed over")),
    "another homework": (same("anna_hw1.ipynb", "zoe_hw2.ipynb"), {"anna": "anna_hw1.ipynb"}, {"zoe_hw2.ipynb": "passed over"}),
    "folders of sections": (same("a/anna/hw1.ipynb", "b/ben/hw1.ipynb"), {"anna": "a/anna/hw1.ipynb", "ben": "b/ben/hw1.ipynb"}, {}),
    "a folder called anna_hw1": (same("anna_hw1/hw1.ipynb", "ben_hw1/hw1.ipynb"), {"anna": "anna_hw1/hw1.ipynb", "ben": "ben_hw1/hw1.ipynb"}, {}),
    "two exports side by side": (
        same("a/" + MOODLE.format("Anna", 1, "hw1.ipynb"), "b/exampleben_123457_7890124_hw1.ipynb"),
        {"Anna": "a/Anna_1_assignsubmission_file_/hw1.ipynb", "exampleben_123457": "b/exampleben_123457_7890124_hw1.ipynb"}, {}),
}  # fmt: skip

# What it is, the files, and those that are lost, each with words of the reason.
LOST = {
    "Moodle, two people of one name": (
        same(MOODLE.format("Anna", 1, "hw1.ipynb"), MOODLE.format("Anna", 2, "hw1.ipynb")),
        dict.fromkeys([MOODLE.format("Anna", 1, "hw1.ipynb"), MOODLE.format("Anna", 2, "hw1.ipynb")], "would both be the student Anna")),
    "Moodle, two notebooks, and the zip has no time": (
        {MOODLE.format("Anna", 1, "hw1.ipynb"): "a", MOODLE.format("Anna", 1, "hw1 (1).ipynb"): "b"},
        dict.fromkeys([MOODLE.format("Anna", 1, "hw1.ipynb"), MOODLE.format("Anna", 1, "hw1 (1).ipynb")], "which one counts")),
    "Moodle, two notebooks of other names": (
        same(MOODLE.format("Anna", 1, "a.ipynb"), MOODLE.format("Anna", 1, "b.ipynb")),
        dict.fromkeys([MOODLE.format("Anna", 1, "a.ipynb"), MOODLE.format("Anna", 1, "b.ipynb")], "none of 2 notebooks has hw1 in its name")),
    "Moodle, the wrong homework": (same(MOODLE.format("Anna", 1, "hw2.ipynb")), {MOODLE.format("Anna", 1, "hw2.ipynb"): "it is hw2, handed in as hw1"}),
    "Moodle, only a page": (same(MOODLE.format("Anna", 1, "hw1.html")), {MOODLE.format("Anna", 1, "hw1.html"): "no notebook"}),
    "Moodle, only a text": (same("Anna_1_assignsubmission_onlinetext_/onlinetext.html"), {"Anna_1_assignsubmission_onlinetext_/onlinetext.html": "no notebook"}),
    "Moodle, only a table": (same(MOODLE.format("Anna", 1, "data.csv")), {MOODLE.format("Anna", 1, "data.csv"): "no notebook"}),
    "Canvas, a text": (same("exampleanna_123456_text.html"), {"exampleanna_123456_text.html": "no notebook"}),
    "Canvas, or two students of a section": (
        {"s_12_20241234_hw1.ipynb": "a", "s_12_20241235_hw1.ipynb": "b"},
        dict.fromkeys(["s_12_20241234_hw1.ipynb", "s_12_20241235_hw1.ipynb"], "which one counts")),
    "Blackboard, users' names with _ and no receipts": (
        same("HW_1_anna_e_attempt_2026-11-01-12-30-45_hw1.ipynb", "HW_1_ben_e_attempt_2026-11-01-12-30-45_hw1.ipynb"),
        {"HW_1_anna_e_attempt_2026-11-01-12-30-45_hw1.ipynb": "would both be the student e"}),
    "Blackboard, the last attempt is a page": (
        same("HW1_anna_attempt_2026-11-01-12-30-45_hw1.ipynb", "HW1_anna_attempt_2026-11-02-12-30-45_hw1.html"),
        {"HW1_anna_attempt_2026-11-02-12-30-45_hw1.html": "no notebook"}),
    "Blackboard, a text": (
        {"HW1_anna_attempt_2026-11-02-12-30-45.txt": RECEIPT.format("Anna", "anna")}, {"HW1_anna_attempt_2026-11-02-12-30-45.txt": "no notebook"}),
    "Brightspace, two people of one name": (
        same(BRIGHTSPACE.format("1-2", "Anna", "Nov 1, 2026 1230 PM"), BRIGHTSPACE.format("3-2", "Anna", "Nov 1, 2026 1230 PM")),
        {"1-2 - Anna - Nov 1, 2026 1230 PM/hw1.ipynb": "would both be the student Anna"}),
    "Gradescope, without its list": (same("submission_1/hw1.ipynb"), {"submission_1/hw1.ipynb": "submission_metadata.yml does not say"}),
    "Gradescope, one submission is not there": (
        {"submission_metadata.yml": METADATA, "submission_1/hw1.ipynb": ""}, {"submission_2": "names it, and it is not there"}),
    "nobody's": (same("hw1.ipynb", "anna_hw1.ipynb"), {"hw1.ipynb": "neither its name nor a folder"}),
    "another name": (same("solution.ipynb", "anna_hw1.ipynb"), {"solution.ipynb": "does not say that it is hw1"}),
    "a page": (same("anna_hw1.html"), {"anna_hw1.html": "no notebook"}),
    "a page, of nobody": (same("hw1.html"), {"hw1.html": "neither its name"}),
    "another archive": (same("anna_hw1.rar"), {"anna_hw1.rar": "no notebook"}),
    "a folder, or a file's name": (same("x/anna_hw1.ipynb", "y/ben_hw1.ipynb"), {"x/anna_hw1.ipynb": "it may be x's or anna's"}),
    "two folders of one name": (
        same("monday/anna/hw1.ipynb", "tuesday/anna/hw1.ipynb"), {"monday/anna/hw1.ipynb": "would both be the student anna"}),
    "names that differ by a capital": (same("Anna_hw1.ipynb", "anna_hw1.ipynb"), {"anna_hw1.ipynb": "would both be the student"}),
    "names that differ by an apostrophe": (same("ONeill_hw1.ipynb", "O'Neill_hw1.ipynb"), {"O'Neill_hw1.ipynb": "would both be the student ONeill"}),
    "a name of no letter": (same("!!_hw1.ipynb"), {"!!_hw1.ipynb": "no student's id can be made"}),
    "copies of one time": ({"anna_hw1.ipynb": "a", "anna_hw1 (1).ipynb": "b"}, {"anna_hw1.ipynb": "which one counts"}),
}  # fmt: skip
STEADY = "copies of one time"


@pytest.fixture
def course(tmp_path):
    """A course folder with two assignments, which `collect` needs to know by name only."""
    for name in ("hw1", "hw2"):
        (tmp_path / "course" / "source" / name).mkdir(parents=True)
        (tmp_path / "course" / "source" / name / f"{name}.ipynb").write_text("{}", encoding="utf-8")
    return tmp_path / "course"


def in_folder(place: Path, files: dict[str, str], steady: bool = False) -> Path:
    """Files in a folder, each a minute newer than the one before; without a text, a file holds its own path."""
    for i, (name, text) in enumerate(files.items()):
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text or unicodedata.normalize("NFC", name), encoding="utf-8")
        os.utime(file, (1_790_000_000 + 60 * i * (not steady),) * 2)
    return place


def in_zip(file: Path, files: dict[str, str], steady: bool = False) -> Path:
    """The same in a zip."""
    with zipfile.ZipFile(file, "w") as out:
        for i, (name, text) in enumerate(files.items()):
            entry = zipfile.ZipInfo(name, (2026, 9, 21, 14, i * (not steady), 0))
            out.writestr(entry, text or unicodedata.normalize("NFC", name))
    return file


def handed_in(tmp_path: Path, how: str, files: dict[str, str], steady: bool = False) -> Path:
    """The files, in a folder or in a zip."""
    return in_zip(tmp_path / "in.zip", files, steady) if how == "zip" else in_folder(tmp_path / "in", files, steady)


def submitted(course: Path) -> dict[str, str]:
    """What each student's notebook holds."""
    return {file.parts[-3]: file.read_text("utf-8") for file in (course / "submitted").glob("*/hw1/hw1.ipynb")}


@pytest.mark.parametrize("how", ["folder", "zip"])
@pytest.mark.parametrize("case", TAKEN)
def test_each_gets_what_is_theirs_and_every_file_is_accounted_for(course, tmp_path, case, how):
    files, taken, others = TAKEN[case]
    fates = collect(course, "hw1", handed_in(tmp_path, how, files))
    assert [fate for fate in fates if fate.fate == "lost"] == []
    assert submitted(course) == {student: files.get(file) or file for student, file in taken.items()}
    assert {name: {fate.fate for fate in fates if fate.file == name} for name in others} == {
        n: {f} for n, f in others.items()
    }
    assert {fate.file for fate in fates} == {unicodedata.normalize("NFC", name) for name in files}
    number = counts(fates)
    assert number["found"] == len(files) == sum(n for fate, n in number.items() if fate != "found")


@pytest.mark.parametrize("how", ["folder", "zip"])
@pytest.mark.parametrize("case", LOST)
def test_what_is_not_clear_is_lost_with_a_reason_and_nothing_is_written(course, tmp_path, case, how):
    files, lost = LOST[case]
    fates = collect(course, "hw1", handed_in(tmp_path, how, files | {"zz_hw1.ipynb": ""}, case == STEADY))
    told = {fate.file: fate.why for fate in fates if fate.fate == "lost"}
    assert {name: words in told.get(name, "") for name, words in lost.items()} == dict.fromkeys(lost, True), told
    assert {fate.file for fate in fates} >= {*files, "zz_hw1.ipynb"}
    assert not (course / "submitted").exists()
    assert not (course / "collected").exists()


def zipped(files: dict[str, str | bytes], **kwargs) -> bytes:
    """The bytes of a zip."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", **kwargs) as out:
        for name, content in files.items():
            out.writestr(zipfile.ZipInfo(name, (2026, 9, 21, 14, len(name), 0)), content)
    return made.getvalue()


ZIPS = {  # what is in the folder: who has what, or words of a reason
    "each a zip": ({"anna.zip": {"hw1.ipynb": "a"}, "ben_hw1.zip": {"notebooks/homework/hw1.ipynb": "b"}}, {"anna": "a", "ben": "b"}),
    "a zip in a student's folder": ({"anna/hw1.zip": {"hw1.ipynb": "a"}}, {"anna": "a"}),
    "a zip in Moodle's export": ({MOODLE.format("Anna", 1, "all.zip"): {"x/hw1.ipynb": "a", "x/hw1.py": ""}}, {"Anna": "a"}),
    "a zip in Moodle's flat export": ({FLAT.format("Anna", 1, "all.zip"): {"hw1.ipynb": "a"}}, {"Anna": "a"}),
    "a zip in Canvas's export": ({"exampleanna_123456_7890123_hw1.zip": {"hw1.ipynb": "a"}}, {"exampleanna_123456": "a"}),
    "a zip in Blackboard's export": ({"HW1_anna_attempt_2026-11-01-12-30-45_all.zip": {"hw1.ipynb": "a"}}, {"anna": "a"}),
    "a platform's zip": ({"export.zip": {MOODLE.format("Anna", 1, "hw1.ipynb"): "a"}}, {"Anna": "a"}),
    "a zip of a class": ({"class.zip": {"anna_hw1.ipynb": "a", "ben_hw1.ipynb": "b", "x/notes.csv": ""}}, {"anna": "a", "ben": "b"}),
    "a newer copy in a zip": ({MOODLE.format("Anna", 1, "all.zip"): {"hw1.ipynb": "a", "hw1 (1).ipynb": "b"}}, {"Anna": "b"}),
    "a zip that says it is somebody else's": ({"eve.zip": {"anna/hw1.ipynb": "e"}, "anna_hw1.ipynb": {}}, {"eve": "e", "anna": "anna_hw1.ipynb"}),
    "a zip with somebody's name in it": ({"eve.zip": {"anna_hw1.ipynb": "e"}, "anna_hw1.ipynb": {}}, {"eve": "e", "anna": "anna_hw1.ipynb"}),
    "a zip that claims to be an export": (
        {"eve.zip": {MOODLE.format("Anna", 1, "hw1.ipynb"): "e"}, MOODLE.format("Anna", 1, "hw1.ipynb"): {}}, "would both be the student Anna"),
    "a zip of a class, in folders": ({"class.zip": {"anna/hw1.ipynb": "a", "ben/hw1.ipynb": "b"}}, "which one counts"),
    "a zip without a notebook": ({"anna_hw1.zip": {"hw1.html": ""}}, "no notebook"),
    "nobody's zip": ({"hw1.zip": {"hw1.ipynb": ""}}, "neither its name nor a folder"),
}  # fmt: skip


@pytest.mark.parametrize("case", ZIPS)
def test_zips_among_what_was_handed_in_are_opened(course, tmp_path, case):
    files, expected = ZIPS[case]
    for name, inside in files.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(zipped(inside) if inside else name.encode())
    fates = collect(course, "hw1", tmp_path / "in")
    if isinstance(expected, dict):
        assert submitted(course) == expected
    else:
        assert any(expected in fate.why for fate in fates if fate.fate == "lost"), fates
        assert not (course / "submitted").exists()


def test_zips_within_zips_are_opened_but_not_without_end(course, tmp_path):
    inner = {"hw1.ipynb": b"deep"}
    for depth in range(1, 5):
        inner = {f"anna{'_hw1' * (depth == 4)}.zip": zipped(inner)}
        (tmp_path / f"{depth}.zip").write_bytes(zipped(inner))
    assert counts(collect(course, "hw1", tmp_path / "2.zip"))["taken"] == 1
    assert submitted(course) == {"anna": "deep"}
    fates = collect(course, "hw1", tmp_path / "4.zip")
    assert ["zips within zips" in fate.why for fate in fates if fate.fate == "lost"] == [True]


def link(name: str) -> zipfile.ZipInfo:
    """An entry that is a symbolic link, as Info-ZIP stores it."""
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return entry


def locked(file: Path) -> None:
    """Set the bit that says an entry is locked, in both places where a zip has it."""
    data = bytearray(file.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    file.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("entry", "words"),
    [("../anna_hw1.ipynb", "leads out of the zip"), ("/tmp/anna_hw1.ipynb", "leads out of the zip"), ("a/../../anna_hw1.ipynb", "leads out of the zip"),
     ("C:/anna_hw1.ipynb", "leads out of the zip"), ("..\\anna_hw1.ipynb", "leads out of the zip"), (link("anna_hw1.ipynb"), "it is a link"),
     ("anna/hw1.ipynb/", "it is a folder"), ("anna_hw1.zip", "no zip that can be opened")],
)  # fmt: skip
def test_a_zip_cannot_reach_out_or_pretend(course, tmp_path, entry, words):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as out:
        out.writestr(entry, "/etc/passwd" * (not str(entry).endswith("/")))
    fates = collect(course, "hw1", tmp_path / "in.zip")
    assert [(fate.fate, words in fate.why) for fate in fates] == [("lost", True)], fates
    assert sorted(path.name for path in tmp_path.iterdir()) == ["course", "in.zip"]


def test_a_locked_or_damaged_entry_is_lost_with_its_reason(course, tmp_path):
    file = in_zip(tmp_path / "in.zip", {"anna_hw1.ipynb": "some text of a notebook"})
    sound = file.read_bytes()
    locked(file)
    assert "password" in collect(course, "hw1", file)[0].why
    file.write_bytes(sound.replace(b"some text", b"SOME TEXT"))
    assert [(fate.fate, "cannot be read" in fate.why) for fate in collect(course, "hw1", file)] == [("lost", True)]
    assert not (course / "submitted").exists()


@pytest.mark.parametrize(
    "text", ["[1, 2", "- a list", "[" * 5000, "submission_1: !!python/object/apply:os.system ['true']"]
)
def test_a_list_that_gradescope_did_not_write_takes_nothing_and_stops_nothing_but_its_own(course, tmp_path, text):
    files = {"submission_metadata.yml": text, "submission_1/hw1.ipynb": "", "zoe_hw1.ipynb": ""}
    told = {fate.file: fate.fate for fate in collect(course, "hw1", in_folder(tmp_path / "in", files))}
    assert told == {
        "submission_metadata.yml": "passed over",
        "submission_1/hw1.ipynb": "lost",
        "zoe_hw1.ipynb": "taken",
    }


def test_a_list_among_what_a_student_handed_in_is_no_list(course, tmp_path):
    files = {"submission_metadata.yml": METADATA.partition("submission_2")[0], "submission_1/hw1.ipynb": "",
             "submission_1/submission_metadata.yml": METADATA}  # fmt: skip
    collect(course, "hw1", in_folder(tmp_path / "in", files))
    assert list(submitted(course)) == ["100"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_is_not_waited_for(course, tmp_path):
    os.mkfifo(in_folder(tmp_path / "in", same("zoe_hw1.ipynb")) / "anna_hw1.ipynb")
    told = {fate.file: fate.why for fate in collect(course, "hw1", tmp_path / "in") if fate.fate == "lost"}
    assert told == {"anna_hw1.ipynb": "it is no ordinary file"}


def test_links_on_the_disk_are_not_followed_and_a_folder_is_no_notebook(course, tmp_path):
    place = in_folder(tmp_path / "in", {"zoe_hw1.ipynb": "", "ben/hw1.ipynb/data.csv": ""})
    (place / "anna_hw1.ipynb").symlink_to("/etc/passwd")
    (place / "eve").symlink_to(tmp_path)
    told = {fate.file: (fate.fate, fate.why) for fate in collect(course, "hw1", place)}
    assert told["anna_hw1.ipynb"] == ("lost", "it is a link, and links are not followed")
    assert told["ben/hw1.ipynb"] == ("lost", "it is a folder, not a file")
    assert told["eve"][0] == "passed over"
    assert len(told) == 5


@pytest.mark.parametrize(
    ("raw", "flag"), [("Zoé_hw1.ipynb".encode(), 0), ("Zoé_hw1.ipynb".encode("cp437"), 0), ("Zoé_hw1.ipynb".encode(), 0x800),
                      (f"{DECOMPOSED}_hw1.ipynb".encode(), 0)]
)  # fmt: skip
def test_names_in_zips_are_read_as_they_were_meant(course, tmp_path, raw, flag):
    data = zipped({"Z" * len(raw): "x"}).replace(b"Z" * len(raw), raw)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.index(signature) + offset
        data = data[:at] + struct.pack("<H", flag) + data[at + 2 :]
    (tmp_path / "in.zip").write_bytes(data)
    collect(course, "hw1", tmp_path / "in.zip")
    assert list(submitted(course)) == ["Zoé"]


def test_a_zip_that_tells_its_times_in_utc_is_believed(course, tmp_path):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as out:
        for name, seconds, clock in (("anna_hw1.ipynb", 1_790_000_060, 1), ("anna_hw1 (1).ipynb", 1_790_000_000, 2)):
            entry = zipfile.ZipInfo(name, (2026, 9, 21, clock, 0, 0))
            entry.extra = struct.pack("<HHBi", 0x5455, 5, 1, seconds)
            out.writestr(entry, name)
    collect(course, "hw1", tmp_path / "in.zip")
    assert submitted(course) == {"anna": "anna_hw1.ipynb"}


ZONE = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2026-11-01-12-30-45", "2026-11-01 11:30:45"), ("Nov 1, 2026 1230 PM", "2026-11-01 11:30:00"), ("Nov 1, 2026 926 AM", "2026-11-01 08:26:00"),
     ("Sept 5, 2026 1200 AM", "2026-09-04 22:00:00"), ("November 1, 2026 1 AM", "2026-11-01 00:00:00"), ("1 November, 2026 105 PM", "2026-11-01 12:05:00"),
     ("Nov 1, 2026 9:26 PM", "2026-11-01 20:26:00"), ("2026-11-01 12:30:45.123456 UTC", "2026-11-01 12:30:45"),
     ("", None), ("2026-13-01-12-30-45", None), ("Nov 31, 2026 1230 PM", None), ("Foo 1, 2026 1230 PM", None)],
)  # fmt: skip
def test_the_platforms_times_are_read(text, expected):
    read = moment(text, ZONE)
    assert (read and read.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")) == expected


def test_the_time_handed_in_is_kept_as_nbgrader_reads_it(course, tmp_path):
    from nbgrader.coursedir import CourseDirectory

    files = {"submission_metadata.yml": METADATA} | same(
        "submission_1/hw1.ipynb", "submission_2/hw1.ipynb", "HW1_ann_attempt_2026-11-01-12-30-45_hw1.ipynb",
        "1-2 - Bo - Nov 1, 2026 1230 PM/hw1.ipynb", "cy+hw1+2026-11-01 12:30:45.500000 UTC/hw1.ipynb", "dan_hw1.ipynb")  # fmt: skip
    collect(course, "hw1", in_folder(tmp_path / "in", files), zone=ZONE)
    kept = {
        path.parts[-2]: CourseDirectory().get_existing_timestamp(str(path))
        for path in (course / "submitted").glob("*/hw1")
    }
    assert kept == {
        "100": datetime(2026, 11, 1, 12, 30, 45, 123456), "ben@example.org": datetime(2026, 11, 2, 8), "102": datetime(2026, 11, 2, 8),
        "ann": datetime(2026, 11, 1, 11, 30, 45), "Bo": datetime(2026, 11, 1, 11, 30), "cy": datetime(2026, 11, 1, 12, 30, 45), "dan": None,
    }  # fmt: skip


def test_nbgrader_takes_every_kind_of_id(course, tmp_path, monkeypatch):
    """Its regular expression for a submission's path, its gradebook, and the web address of its formgrader."""
    import re
    from urllib.parse import quote, unquote

    from nbgrader.api import Gradebook
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config import Config

    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)  # nbgrader calls `alembic` by name
    _, taken, _ = TAKEN["names of every kind"]
    root = CourseDirectory(config=Config({"CourseDirectory": {"root": str(course)}}))
    with Gradebook(f"sqlite:///{tmp_path / 'gradebook.db'}") as book:
        for student in taken:
            form = root.format_path("submitted", student_id="(?P<student>.*)", assignment_id="hw1", escape=True)
            assert re.match(form, str(course / "submitted" / student / "hw1"))["student"] == student
            assert re.fullmatch(r"/manage_students/([^/]+)/?", f"/manage_students/{quote(student)}")
            assert unquote(quote(student)) == student
            book.add_student(student)
        assert {student.id for student in book.students} == set(taken)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Anna Example", "Anna-Example"), ("  Anna   Example ", "Anna-Example"), ("Example, Anna", "Example-Anna"), ("O’Neill", "ONeill"), ("../..", ""),
     (".hidden", "hidden"), ("a/b", "a-b"), ("a+b", "a-b"), ("con", "con_"), ("CON.x", "CON.x_"), ("console", "console"), ("नीरज", "नीरज"), (DECOMPOSED, COMPOSED),
     ("a\u200db", "ab"), ("a - b", "a-b"), ("anna_e", "anna_e"), ("x" * 201, ""), ("-rf", "rf"), ("<b>", "b"), ("a%2Fb", "a-2Fb")],
)  # fmt: skip
def test_an_id_is_safe_and_keeps_its_letters(name, expected):
    assert student_id(name) == expected
    assert student_id(expected) == expected


@pytest.mark.parametrize(
    ("file", "expected"),
    [("hw1.ipynb", ""), ("HW1.IPYNB", ""), ("hw1 (2).ipynb", ""), ("hw1-Copy1.ipynb", ""), ("hw10.ipynb", None), ("hw1b.ipynb", None), ("anna_hw1.ipynb", "anna"),
     ("anna-hw1.ipynb", "anna"), ("anna hw1.ipynb", "anna"), ("annahw1.ipynb", None), ("hw1_anna.ipynb", None), ("hw1.py", None), ("_hw1.ipynb", None)],
)  # fmt: skip
def test_a_files_name_says_whose_it_is(file, expected):
    assert named_for(file, "hw1") == expected


# --- the table of names

ONE, TWO = MOODLE.format("Anna", 1, "hw1.ipynb"), MOODLE.format("Anna", 2, "hw1.ipynb")
PAIR = same(ONE, TWO)


@pytest.mark.parametrize(
    ("files", "table", "expected"),
    [(PAIR, "name,student\n1,anna.a\n2,anna.b\n", {"anna.a": ONE, "anna.b": TWO}),
     (PAIR, "name;student\nAnna_1;anna.a\nAnna_2;\n", {"anna.a": ONE}),
     (PAIR, f"name\tstudent\n{ONE}\ta\n{TWO.partition('/')[0]}\tb\n", {"a": ONE, "b": TWO}),
     (same("solution.ipynb"), "Name,Student\nsolution.ipynb,s01\nnobody,s02\n", {"s01": "solution.ipynb"}),
     (same("Zoé_hw1.ipynb"), f"name,student\n{DECOMPOSED.upper()},s01\n", {"s01": "Zoé_hw1.ipynb"}),
     (same("exampleanna_123456_7890123_hw1.ipynb"), "name,student\n123456,s01\n", {"s01": "exampleanna_123456_7890123_hw1.ipynb"}),
     ({"submission_metadata.yml": METADATA.partition("submission_2")[0], "submission_1/x.ipynb": "x"}, "name,student\nanna@example.org,s01\n", {"s01": "x"}),
     ({"anna_hw1.ipynb": "old", "Anna Example_hw1.ipynb": "new"}, "name,student\nAnna Example,anna\n", {"anna": "new"}),
     ({"x/anna_hw1.ipynb": "x", "y/ben_hw1.ipynb": "y"}, "name,student\nx,anna\ny,ben\n", {"anna": "x", "ben": "y"}),
     ({MOODLE.format("Anna", 1, "a.ipynb"): "a", MOODLE.format("Anna", 1, "b.ipynb"): "b"}, f"name,student\n{MOODLE.format('Anna', 1, 'b.ipynb')},\n", {"Anna": "a"}),
     ({"anna_hw1.html": "x", "ben_hw1.ipynb": "b"}, "name,student\nanna_hw1.html,\n", {"ben": "b"}),
     ({MOODLE.format("Anna", 1, "a.ipynb"): "a", ONE: "b"}, f"name,student\nAnna,Anna\n{MOODLE.format('Anna', 1, 'a.ipynb')},Anna\n", {"Anna": "a"}),
     ({"x/hw1.ipynb": "a", "x/theirs.ipynb": "b"}, "name,student\nx,anna\nx/theirs.ipynb,ben\n", {"anna": "a", "ben": "b"})],
)  # fmt: skip
def test_the_table_says_who_is_who_and_what_to_leave_out(course, tmp_path, files, table, expected):
    (tmp_path / "names.csv").write_text("\ufeff" + table, encoding="utf-8")
    fates = collect(course, "hw1", in_folder(tmp_path / "in", files), tmp_path / "names.csv")
    assert submitted(course) == expected, fates
    assert {fate.file for fate in fates} == set(files)


@pytest.mark.parametrize(
    ("table", "words"),
    [("anna,s01\n", "first line must name the columns"), ("name,student\nanna,a/b\n", "line 2: 'a/b' cannot be a student's id; 'a-b' can"),
     ("name,student\nanna,..\n", "cannot be a student's id"), ("name,student\nanna,a\nAnna,b\n", "line 3: 'Anna' stands in the table twice"),
     ("name,student,handed_in\nanna,a,yesterday\n", "'yesterday' is no time, such as"), ("", "first line must name")],
)  # fmt: skip
def test_a_table_that_cannot_be_meant_is_refused_in_one_sentence(course, tmp_path, table, words):
    (tmp_path / "names.csv").write_text(table, encoding="utf-8")
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        collect(course, "hw1", in_folder(tmp_path / "in", same("anna_hw1.ipynb")), tmp_path / "names.csv")
    (tmp_path / "names.csv").write_bytes("name,student\nJosé,jose\n".encode("latin-1"))
    with pytest.raises(ValueError, match="not in UTF-8"):
        collect(course, "hw1", tmp_path / "in", tmp_path / "names.csv")


def test_the_table_may_say_when_something_was_handed_in(course, tmp_path):
    (tmp_path / "names.csv").write_text(
        "name,student,handed_in\nanna,anna,2026-11-01 12:30\nben,ben,2026-11-01 12:30+00:00\n", encoding="utf-8"
    )
    collect(
        course, "hw1", in_folder(tmp_path / "in", same("anna_hw1.ipynb", "ben_hw1.ipynb")), tmp_path / "names.csv", ZONE
    )
    kept = [(course / "submitted" / who / "hw1" / "timestamp.txt").read_text("utf-8") for who in ("anna", "ben")]
    assert kept == ["2026-11-01 11:30:00.000000 UTC", "2026-11-01 12:30:00.000000 UTC"]


# --- collecting again


def test_a_later_export_replaces_what_was_there_but_never_another_persons_work(course, tmp_path):
    collect(course, "hw1", in_folder(tmp_path / "a", {MOODLE.format("Anna", 1, "hw1.ipynb"): "first"}))
    collect(course, "hw1", in_folder(tmp_path / "b", {MOODLE.format("Anna", 1, "hw1.ipynb"): "second"}))
    assert submitted(course) == {"Anna": "second"}
    other = in_folder(tmp_path / "c", {MOODLE.format("Anna", 2, "hw1.ipynb"): "another Anna's"})
    fates = collect(course, "hw1", other)
    assert [(fate.fate, "taken in earlier" in fate.why) for fate in fates] == [("lost", True)]
    fates = collect(course, "hw1", in_folder(tmp_path / "d", same("anna_hw1.ipynb")))
    assert [(fate.fate, "taken in earlier" in fate.why) for fate in fates] == [("lost", True)]
    assert submitted(course) == {"Anna": "second"}
    (tmp_path / "names.csv").write_text("name,student\nAnna,Anna.2\n", encoding="utf-8")
    collect(course, "hw1", other, tmp_path / "names.csv")
    assert submitted(course) == {"Anna": "second", "Anna.2": "another Anna's"}
    with (course / "collected" / "hw1.csv").open(newline="", encoding="utf-8") as stored:
        assert [(row["student"], row["who"]) for row in csv.DictReader(stored)] == [
            ("Anna", "moodle Anna_1"),
            ("Anna.2", "table Anna.2"),
        ]


def test_an_older_export_does_not_replace_a_newer_hand_in(course, tmp_path):
    for day in (2, 1):
        fates = collect(
            course,
            "hw1",
            in_folder(tmp_path / str(day), {f"HW1_anna_attempt_2026-11-0{day}-08-00-00_hw1.ipynb": str(day)}),
        )
    assert submitted(course) == {"anna": "2"}
    assert [fate.fate for fate in fates] == ["older"]


def told(fates) -> list[tuple[str, str]]:
    """Of each file what became of it, and what else is said."""
    return [(fate.fate, fate.told) for fate in fates]


def replaced(course: Path) -> dict[str, str]:
    """All that is kept of what was replaced, by its place."""
    place = course / "replaced"
    return {file.relative_to(place).as_posix(): file.read_text("utf-8") for file in place.rglob("*") if file.is_file()}


def download(file: Path, text: str, day: int, name: str = MOODLE.format("Max Call", 7, "hw1.ipynb")) -> Path:
    """A platform's zip, whose only time is that of the download."""
    with zipfile.ZipFile(file, "w") as out:
        out.writestr(zipfile.ZipInfo(name, (2026, 9, day, 14, 0, 0)), text)
    return file


def test_an_older_download_replaces_nothing_and_a_newer_one_says_what_it_replaced(course, tmp_path):
    first, newer = download(tmp_path / "1.zip", "old", 1), download(tmp_path / "2.zip", "new", 2)
    collect(course, "hw1", newer)
    (fate,) = collect(course, "hw1", first)
    assert (fate.fate, fate.student) == ("older", "Max-Call")
    assert fate.why.startswith("one of 2026-09-02 14:00 was taken in before, and stays")
    assert (submitted(course), replaced(course)) == ({"Max-Call": "new"}, {})
    os.utime(course / "submitted" / "Max-Call" / "hw1" / "hw1.ipynb")  # as where a course was copied
    (fate,) = collect(course, "hw1", newer)
    assert (fate.fate, fate.told) == ("taken", "")
    (fate,) = collect(course, "hw1", download(tmp_path / "3.zip", "newest", 3))
    assert fate.told.startswith(f"replaced what was collected on {datetime.now():%Y-}")
    assert fate.told.endswith("2026-09-02-14-00-00.ipynb")
    assert replaced(course) == {"hw1/Max-Call/2026-09-02-14-00-00.ipynb": "new"}
    assert f"Max-Call: {fate.told}" in report("hw1", [fate], "UTC")
    (tmp_path / "names.csv").write_text(
        "name,student,handed_in\nMax Call,Max-Call,2026-11-01 12:30\n", encoding="utf-8"
    )
    collect(course, "hw1", first, tmp_path / "names.csv")
    assert submitted(course) == {"Max-Call": "old"}
    collect(course, "hw1", download(tmp_path / "4.zip", "another of that time", 3), tmp_path / "names.csv")
    assert sorted(replaced(course).values()) == ["new", "newest", "old"]


def test_what_has_no_times_to_compare_is_replaced_and_kept(course, tmp_path):
    for i, text in enumerate("abc"):
        collect(course, "hw1", in_folder(tmp_path / str(i), {"anna_hw1.ipynb": text}))
    assert submitted(course) == {"anna": "c"}
    assert sorted(replaced(course).values()) == ["a", "b"]


def test_what_a_zip_rounds_and_times_that_are_not_there_make_nothing_older(tmp_path):
    older = lambda modified: is_older(None, Found("hw1.ipynb", float(modified), bytes), {"file_time": "1000"}, tmp_path)
    assert [older(seconds) for seconds in (0, 997, 998, 999, 1000)] == [False, True, False, False, False]


def test_of_what_is_replaced_the_same_text_is_kept_once(course):
    file = in_folder(course / "submitted" / "anna" / "hw1", {"hw1.ipynb": "x"}) / "hw1.ipynb"
    places = [keep(course, "hw1", "anna", {"file_time": "1000"}) for _ in range(2)]
    file.write_text("y", encoding="utf-8")
    places.append(keep(course, "hw1", "anna", {"file_time": "1000"}))
    assert places[0] == places[1]
    assert [place.read_text("utf-8") for place in places[1:]] == ["x", "y"]


ONE_OF_CANVAS = "xdora_103_9003_hw1.ipynb"


@pytest.mark.parametrize("newer", ["the same", "changed since"])
def test_a_person_who_gets_another_name_by_the_table_keeps_one_submission(course, tmp_path, newer):
    collect(course, "hw1", download(tmp_path / "1.zip", "the same", 1, ONE_OF_CANVAS))
    for name in ("autograded", "judged"):
        (course / name / "xdora_103" / "hw1").mkdir(parents=True)
    (tmp_path / "names.csv").write_text("name,student\nxdora_103,Dora-X\n", encoding="utf-8")
    second = download(tmp_path / "2.zip", newer, 2, ONE_OF_CANVAS)
    (fate,) = collect(course, "hw1", second, tmp_path / "names.csv")
    assert fate.told.startswith("was taken in as xdora_103 earlier, and is Dora-X from now on")
    assert submitted(course) == {"Dora-X": newer}
    assert ("the same" in replaced(course).values()) == (newer != "the same")
    assert not (course / "autograded" / "xdora_103").exists()
    (fate,) = collect(course, "hw1", second)
    assert (fate.fate, fate.student) == ("lost", "xdora_103")
    assert "the same was taken in earlier as Dora-X: give the table again" in fate.why
    (fate,) = collect(course, "hw1", second, tmp_path / "names.csv")
    assert (fate.fate, fate.told) == ("taken", "")


def test_where_both_names_have_work_the_old_names_is_kept_apart(course, tmp_path):
    collect(course, "hw1", in_folder(tmp_path / "in", {"solution/hw1.ipynb": "x"}))
    collect(course, "hw1", in_folder(tmp_path / "other", {"Dora-X_hw1.ipynb": "y"}))
    (tmp_path / "names.csv").write_text("name,student\nsolution,Dora-X\n", encoding="utf-8")
    (fate,) = collect(course, "hw1", tmp_path / "in", tmp_path / "names.csv")
    assert "was taken in as solution earlier" in fate.told
    assert "replaced what was collected" in fate.told
    assert submitted(course) == {"Dora-X": "x"}
    assert sorted(replaced(course).values()) == ["x", "y"]


@pytest.mark.parametrize(
    ("person", "who", "file", "expected"),
    [("name anna", "name anna", "anna_hw1.ipynb", True), ("name anna", "name anna", "ben_hw1.ipynb", False),
     ("name anna", "name ben", "anna_hw1.ipynb", False), ("name anna", "table anna", "anna_hw1.ipynb", True),
     ("gradescope 7", "gradescope 7", "ben_hw1.ipynb", True), ("gradescope 7", "table anna", "anna_hw1.ipynb", False)],
)  # fmt: skip
def test_under_another_id_a_person_is_the_platforms_number_or_one_file_once_more(tmp_path, person, who, file, expected):
    (stored := tmp_path / "stored.ipynb").write_bytes(b"x")
    claim = Claim("anna", who=person, person=person, scope="", called=(), inside="")
    row = {"who": who, "file": "anna_hw1.ipynb"}
    assert is_same(claim, Found(file, 0.0, bytes), b"x", row, stored) is expected
    if not person.startswith("gradescope"):
        assert not is_same(claim, Found(file, 0.0, bytes), b"y", row, stored)


def test_two_people_with_files_of_one_name_or_one_text_stay_two(course, tmp_path):
    (tmp_path / "names.csv").write_text("name,student\nanna,anna.2\n", encoding="utf-8")
    collect(course, "hw1", in_folder(tmp_path / "1", {"anna_hw1.ipynb": "one Anna's"}))
    (fate,) = collect(course, "hw1", in_folder(tmp_path / "2", {"anna_hw1.ipynb": "another's"}), tmp_path / "names.csv")
    collect(course, "hw1", in_folder(tmp_path / "3", {"ben_hw1.ipynb": "one Anna's"}))
    assert fate.told == ""
    assert submitted(course) == {"anna": "one Anna's", "anna.2": "another's", "ben": "one Anna's"}
    files = {"submission_metadata.yml": METADATA, "submission_1/hw1.ipynb": "x", "submission_2/hw1.ipynb": "y"}
    for _ in range(2):
        assert told(collect(course, "hw1", in_folder(tmp_path / "4", files)))[1:] == [("taken", "")] * 3


def test_a_line_of_the_table_that_fits_nothing_is_said(course, tmp_path):
    lines = "name,student\nxdroa_103,Dora-X\nben,ben.b\nben_hw1.ipynb,ben.b\n"
    (tmp_path / "names.csv").write_text(lines, encoding="utf-8")
    files = in_folder(tmp_path / "in", {ONE_OF_CANVAS: "", "ben_hw1.ipynb": ""})
    fates = collect(course, "hw1", files, tmp_path / "names.csv")
    assert report("hw1", fates, "UTC")[0] == (
        f"{tmp_path / 'names.csv'}, line 2: 'xdroa_103' fits nothing that was handed in"
    )
    assert len(fates.notes) == 1


def test_what_is_no_notebook_is_passed_over_for_what_it_is(course, tmp_path):
    files = {
        "submission_metadata.yml": METADATA.partition("submission_2")[0],
        "index.html": "",
        "submission_1/hw1.ipynb": "",
    }
    fates = {fate.file: fate.why for fate in collect(course, "hw1", in_folder(tmp_path / "in", files))}
    assert fates["index.html"] == "it is no notebook"
    assert fates["submission_metadata.yml"] == "it was read for who is who"


def test_a_time_that_is_not_that_of_the_notebook_is_taken_away(course, tmp_path):
    stamp = course / "submitted" / "anna" / "hw1" / "timestamp.txt"
    place = in_folder(tmp_path / "in", {"anna_hw1.ipynb": "one"})
    collect(course, "hw1", place)
    stamp.write_text("2026-11-01 12:30:00 UTC", encoding="utf-8")  # by hand
    collect(course, "hw1", place)
    assert stamp.exists()
    collect(course, "hw1", in_folder(tmp_path / "in", {"anna_hw1.ipynb": "two"}))
    assert not stamp.exists()


def test_the_course_folder_itself_is_not_what_was_handed_in(course, tmp_path):
    in_folder(tmp_path, same("anna_hw1.ipynb"))
    collect(course, "hw1", tmp_path)
    assert list(submitted(course)) == ["anna"]
    with pytest.raises(ValueError, match="is the course folder itself"):
        collect(course, "hw1", course)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [("in.zip", b"no zip", "neither a folder nor a zip"), ("in.rar", b"", "neither a folder nor a zip"), ("nothing", None, "there is no"),
     ("in.zip", zipped({}), "there is no file in")],
)  # fmt: skip
def test_what_holds_nothing_is_told_in_one_sentence(course, tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=words):
        collect(course, "hw1", tmp_path / name)


def test_one_notebook_alone_may_be_given(course, tmp_path):
    collect(course, "hw1", in_folder(tmp_path, same("anna_hw1.ipynb")) / "anna_hw1.ipynb")
    assert list(submitted(course)) == ["anna"]


# --- the command


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`python -m walkthrough.homework`, without anything slow to be had."""
    heavy = "torch numpy nbformat nbgrader transformers transformer_lens matplotlib sqlalchemy"
    code = f"import sys; sys.modules.update(dict.fromkeys({heavy.split()!r})); from walkthrough.homework.__main__ import main; main()"
    ran = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(
        ran, capture_output=True, text=True, encoding="utf-8", env=os.environ | {"PYTHONIOENCODING": "utf-8"}
    )


def test_the_command_imports_nothing_slow_and_prints_every_file_that_it_did_not_take(course, tmp_path):
    files = same(
        "exampleanna_LATE_123456_7890123_hw1.ipynb", "HW1_ben_attempt_2026-11-01-12-30-45_hw1.ipynb", "notes.txt"
    )
    ran = command("collect", course, "hw1", in_zip(tmp_path / "in.zip", files), "--zone", "Europe/Berlin")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [
        "passed over: notes.txt: it is no notebook",
        "late: exampleanna_123456: its platform says so, not how late",
        "hw1: 3 files found: 2 taken, 0 older, 1 passed over, 0 lost",
        "students: 2; the time handed in is known of 1 (without a zone, read as Europe/Berlin)",
    ]


def test_a_whole_repository_beside_the_notebook_takes_one_line(course, tmp_path):
    files = same("anna/hw1.ipynb", *(f"anna/{i}.py" for i in range(50)))
    fates = collect(course, "hw1", in_folder(tmp_path / "in", files))
    assert report("hw1", fates, "UTC") == [
        "passed over: anna/0.py and 49 more: it is no notebook",
        "hw1: 51 files found: 1 taken, 0 older, 50 passed over, 0 lost",
        "students: 1; the time handed in is known of 0 (without a zone, read as UTC)",
    ]


def test_the_command_ends_with_1_if_a_file_is_lost(course, tmp_path):
    ran = command("collect", course, "hw1", in_zip(tmp_path / "in.zip", same("anna_hw1.ipynb", "ben_hw1.html")))
    assert ran.returncode == 1
    assert "lost: ben_hw1.html: it is no notebook (.ipynb), and ben handed in no other" in ran.stdout
    assert "hw1: 2 files found: 1 could be taken, 0 older, 0 passed over, 1 lost" in ran.stdout
    assert ran.stderr.startswith("nothing was taken in, since files are lost")
    assert not (course / "submitted").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [(["--zone", "Middle/Earth"], "there is no time zone 'Middle/Earth'"), (["--zone", "../x"], "there is no time zone"),
     (["--names", "nowhere.csv"], "nowhere.csv")],
)  # fmt: skip
def test_the_command_says_in_one_sentence_what_cannot_be_done(course, tmp_path, monkeypatch, more, words):
    in_folder(tmp_path / "in", same("anna_hw1.ipynb"))
    monkeypatch.setattr(
        sys, "argv", ["walkthrough.homework", "collect", str(course), "hw1", str(tmp_path / "in"), *more]
    )
    with pytest.raises(SystemExit) as stopped:
        commands.main()
    assert words in str(stopped.value)
    assert "\n" not in str(stopped.value)


NAMES = (
    "Anna Example",
    "Anna-Example",
    "anna example",
    "Anna_Example",
    "O'Neill",
    "ONeill",
    "s_1",
    "s_1_2",
    "s_2",
    "hw1",
    "1",
    "12",
    "Zoé",
    "Özil",
    "李雷",
    "my",
    "a.b",
)
FORMS = (  # of a person's name and number; a person is told apart by both, or by what the platform writes of them
    lambda name, number: f"{name.replace('_', ' ')}_{number}_assignsubmission_file_/hw1.ipynb",
    lambda name, number: f"{name.replace('_', ' ')}_{number}_assignsubmission_file_hw1.ipynb",
    lambda name, number: f"{''.join(c for c in name.lower() if c.isalnum() or c == '_')}_12{number}_{9999 - number}_hw1.ipynb",
    lambda name, number: f"HW_1_{name}{number}_attempt_2026-11-01-12-30-45_hw1.ipynb",
    lambda name, number: f"{number}-7 - {name} - Nov 1, 2026 1230 PM/hw1.ipynb",
    lambda name, number: f"{name}_{number}_hw1.ipynb",
    lambda name, number: f"{name} {number}/hw1.ipynb",
    lambda name, number: f"{number}/{name}_hw1.ipynb",
    lambda name, number: f"{number}/{name}/notebooks/homework/hw1.ipynb",
    lambda name, number: f"{name}{number}/walkthrough/notebooks/homework/hw1.ipynb",
)  # fmt: skip


@pytest.mark.parametrize("form", range(len(FORMS)))
def test_in_classes_drawn_at_random_nobody_is_lost_in_somebody_else(tmp_path, form):
    draw, taken_in = random.Random(form), 0
    for i in range(40):
        course, people = tmp_path / str(i) / "course", {(draw.choice(NAMES), draw.randint(1, 20)) for _ in range(6)}
        (course / "source" / "hw1").mkdir(parents=True)
        (course / "source" / "hw1" / "hw1.ipynb").write_text("{}", encoding="utf-8")
        files = {FORMS[form](name, number): f"{name} {number}" for name, number in people}
        fates = collect(course, "hw1", in_folder(tmp_path / str(i) / "in", files))
        assert {fate.file for fate in fates} == set(files)
        lost = [fate for fate in fates if fate.fate == "lost"]
        assert lost or sorted(submitted(course).values()) == sorted(files.values()), (files, fates)
        assert not lost or not (course / "submitted").exists()
        taken_in += not lost
    assert taken_in > 0
