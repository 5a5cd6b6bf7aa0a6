"""The instructor's guide says what is so."""

import re
import subprocess
import sys
from pathlib import Path

import minutes

from walkthrough.homework import judge, sandbox, shown

GUIDE = minutes.GUIDE.read_text("utf-8")


def test_the_minutes_are_those_of_the_notebooks():
    assert GUIDE.partition(minutes.BEGIN)[2].partition(minutes.END)[0].strip() == minutes.table()


def test_the_syllabus_states_the_hours_of_the_notebooks_and_leaves_nothing_out():
    assert GUIDE.partition(minutes.PLAN_BEGIN)[2].partition(minutes.PLAN_END)[0].strip() == minutes.syllabus()
    planned = [part for parts, _ in minutes.PLAN for part in parts.split()]
    assert sorted(planned) == sorted(minutes.whole_course())


def test_hours_add_up(monkeypatch):
    monkeypatch.setattr(minutes, "PLAN", (("a", "one"), ("b hw1", "two")))
    monkeypatch.setattr(minutes, "whole_course", lambda: {"a": 90, "b": 30, "hw1": 120})
    text = minutes.syllabus()
    assert "about 4 hours" in text
    assert "In 1 weeks, each takes 4.0 to 4.0 hours; in 2, 1.5 to 2.5" in text
    assert "| 1 (4.0 h) | 1 (1.5 h) | a |  | one |" in text
    assert "|  | 2 (2.5 h) | b | hw1 | two |" in text


def test_every_command_in_the_guide_exists():
    shown = set(re.findall(r"python -m walkthrough\.homework (\w+)", GUIDE))
    listed = subprocess.run(
        [sys.executable, "-m", "walkthrough.homework", "--help"], capture_output=True, text=True, encoding="utf-8"
    ).stdout
    offered = set(re.search(r"\{([\w,]+)\}", listed)[1].split(","))
    assert shown == offered


def test_the_limits_are_those_of_the_code():
    for stated in (
        f"{judge.COMPUTING:g} seconds of processor time", f"{judge.CELL_SECONDS:g} seconds a cell", f"{judge.CALL_SECONDS:g} a call", f"{judge.ALL_SECONDS / 60:g} minutes in all",
        f"{sandbox.MEMORY // 2**30} GB of address space", f"{sandbox.SCRATCH // 2**20} MB", f"limited to {sandbox.PROCESSES}",
        f"{shown.MOST_TEXT:,} printed characters of a cell are kept",
    ):  # fmt: skip
        assert stated in GUIDE.replace("\n", " "), stated


def test_every_file_that_the_guide_names_exists():
    root = Path(__file__).parents[2]
    for name in re.findall(r"`((?:notebooks|tests|homework)/[\w./-]+\.(?:py|md|ipynb))`", GUIDE):
        if "hwN" not in name and "hw7" not in name:
            assert (root / name).exists() or (root / "notebooks" / name).exists(), name
    assert (root / "docs" / "feedback.png").exists()
