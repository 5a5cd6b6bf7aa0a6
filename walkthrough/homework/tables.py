"""The grade tables, made from the gradebook as it is now: one for each assignment, and one of all."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbgrader.api import MissingEntry, SubmittedAssignment

from walkthrough.homework.gradebook import grades_of, opened, penalties
from walkthrough.homework.graded import not_graded
from walkthrough.homework.intake import left_out

COLUMNS = ("assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email", "raw_score",
           "late_submission_penalty", "score", "max_score", "state")  # fmt: skip
WAITS, NOTHING = "waits for a person", "nothing handed in"


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
    old = left_out(folder, assignment)
    with opened(folder) as book:
        for submission in sorted(book.assignment_submissions(assignment), key=lambda entry: entry.student.id):
            student, penalty = submission.student.id, submission.late_submission_penalty or 0
            if student in old:
                continue
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
    """`grades/all.csv`, in the columns of nbgrader's own export; the table of each assignment is written anew, too.

    One column more, `state`, says which marks still wait for a person, and whose are not of the file that was handed in
    last. Who handed in nothing has no marks, and not those of an empty notebook.
    """
    with opened(folder) as book:
        graded = [assignment.name for assignment in book.assignments if book.assignment_submissions(assignment.name)]
    for name in graded:
        write_table(folder, name, {})
    rows = []
    with opened(folder) as book:
        names = {student.id: student for student in book.students}
        old = {assignment.name: left_out(folder, assignment.name) for assignment in book.assignments}
        only_old = {name for name in names if any(name in each for each in old.values())}
        only_old -= {
            entry.student.id
            for assignment in book.assignments
            for entry in book.assignment_submissions(assignment.name)
            if entry.student.id not in old[assignment.name]
        }
        for assignment in book.assignments:
            missing = not_graded(folder, assignment.name)
            for student in sorted((names.keys() | missing.keys()) - only_old):
                person = names.get(student)
                row = {name: getattr(person, name, None) or "" for name in ("last_name", "first_name", "email")}
                row |= {"assignment": assignment.name, "duedate": assignment.duedate or "", "student_id": student}
                row |= {"max_score": assignment.max_score, "state": missing.get(student, NOTHING)}
                try:
                    if student in old[assignment.name]:
                        raise MissingEntry
                    row |= marks_of(book.find_submission(assignment.name, student), missing.get(student, ""))
                except MissingEntry:
                    pass
                rows.append(row)
    file = folder / "grades" / "all.csv"
    file.parent.mkdir(exist_ok=True)
    write_csv(file, list(COLUMNS), rows)
    return file


def marks_of(entry: SubmittedAssignment, missing: str) -> dict[str, Any]:
    """A submission's columns of marks; `missing` says why they are old ones, if they are."""
    taken = entry.late_submission_penalty or 0.0
    return {
        "timestamp": entry.timestamp or "", "raw_score": entry.score, "late_submission_penalty": taken,
        "score": max(0.0, entry.score - taken),
        "state": ", ".join(filter(None, [missing, WAITS if entry.needs_manual_grade else ""])),
    }  # fmt: skip
