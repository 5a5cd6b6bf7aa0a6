"""The grade tables, made from the gradebook as it is now: one for each assignment, and one of all."""

import csv
from collections.abc import Mapping
from pathlib import Path

from nbgrader.api import MissingEntry

from walkthrough.homework.gradebook import grades_of, opened, penalties

COLUMNS = ("assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email", "raw_score",
           "late_submission_penalty", "score", "max_score")  # fmt: skip


def read_rows(file: Path) -> dict[str, dict[str, str]]:
    """A table as it was written before, by student; empty if there is none."""
    if not file.exists():
        return {}
    with file.open(newline="", encoding="utf-8") as stored:
        return {row["student"]: row for row in csv.DictReader(stored)}


def write_table(folder: Path, assignment: str, remarks: Mapping[str, str]) -> None:
    """`grades/hw1.csv`: for each student, points for each task, penalty, total, what still waits for a person, remarks.

    Remarks that are not given are those that the table had before.
    """
    file = folder / "grades" / f"{assignment}.csv"
    file.parent.mkdir(exist_ok=True)
    before, rows = read_rows(file), []
    penalties(folder, assignment)
    with opened(folder) as book:
        for submission in sorted(book.assignment_submissions(assignment), key=lambda entry: entry.student.id):
            student, penalty = submission.student.id, submission.late_submission_penalty or 0
            row = {"student": student}
            for label, grade in grades_of(submission).items():
                row[label] = "waits" if grade.needs_manual_grade else f"{grade.score:g}"
            row |= {"penalty": f"{penalty:g}", "total": f"{max(0, submission.score - penalty):g}"}
            told = remarks.get(student, before.get(student, {}).get("remarks", ""))
            rows.append(row | {"of": f"{submission.max_score:g}", "remarks": told})
    write_csv(file, list(max(rows, key=len, default={"student": ""})), rows)


def write_csv(file: Path, columns: list[str], rows: list[dict[str, str]]) -> None:
    """A table in one step, so that an interruption leaves the old one or the new one."""
    written = file.with_name(f".{file.name}.new")
    with written.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, columns)
        writer.writeheader()
        writer.writerows(rows)
    written.replace(file)


def write_all(folder: Path) -> Path:
    """`grades/all.csv`, in the columns of nbgrader's own export; the table of each assignment is written anew, too."""
    with opened(folder) as book:
        graded = [assignment.name for assignment in book.assignments if book.assignment_submissions(assignment.name)]
    for name in graded:
        write_table(folder, name, {})
    rows = []
    with opened(folder) as book:
        for assignment in book.assignments:
            for student in book.students:
                row = {name: getattr(student, name) or "" for name in ("last_name", "first_name", "email")}
                row |= {"assignment": assignment.name, "duedate": assignment.duedate or "", "student_id": student.id}
                row |= {
                    "timestamp": "",
                    "raw_score": 0.0,
                    "late_submission_penalty": 0.0,
                    "max_score": assignment.max_score,
                }
                try:
                    entry = book.find_submission(assignment.name, student.id)
                    row |= {"timestamp": entry.timestamp or "", "raw_score": entry.score}
                    row["late_submission_penalty"] = entry.late_submission_penalty or 0.0
                except MissingEntry:
                    pass
                rows.append(row | {"score": max(0.0, row["raw_score"] - row["late_submission_penalty"])})
    file = folder / "grades" / "all.csv"
    file.parent.mkdir(exist_ok=True)
    write_csv(file, list(COLUMNS), rows)
    return file
