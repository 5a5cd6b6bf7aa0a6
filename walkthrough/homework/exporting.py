"""Marks into the table that a learning platform exported, for it to import again. Nobody is dropped without a word."""

import csv
import html
import re
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC
from pathlib import Path
from typing import Any, NamedTuple

from walkthrough.homework import graded, sheets
from walkthrough.homework.intake import left_out, read_ledger
from walkthrough.homework.names import assignments_of, check_assignment, folded, read_table

PLATFORM = {"canvas": "canvas", "worksheet": "moodle"}  # whose numbers stand in which table


class Mark(NamedTuple):
    """A student's points for one assignment, of how many; does a written answer still wait for a person?"""

    score: float
    most: float
    waits: bool = False


def marks_of(course: Path, assignment: str) -> dict[str, Mark]:
    """The marks of an assignment in nbgrader's gradebook, less what late work loses by the due date as it is now."""
    from walkthrough.homework import gradebook, tables

    with gradebook.opened(course) as book:
        if assignment not in {each.name for each in book.assignments} or not book.assignment_submissions(assignment):
            return {}
    tables.write_table(course, assignment, {})
    with gradebook.opened(course) as book:
        return {each.student.id: mark_of(each) for each in book.assignment_submissions(assignment)}


def mark_of(submission: Any) -> Mark:
    """A submission's mark."""
    score = max(0.0, submission.score - (submission.late_submission_penalty or 0.0))
    return Mark(float(score), float(submission.max_score), bool(submission.needs_manual_grade))


def told(course: Path, assignment: str) -> dict[str, str]:
    """What the feedback's cell says to each student: points for each task, and the remarks; as HTML, which Moodle takes."""
    file = course / "grades" / f"{assignment}.csv"
    if not file.exists():
        return {}
    with file.open(newline="", encoding="utf-8") as stored:
        rows = list(csv.DictReader(stored))
    found = {}
    for row in rows:
        points = [
            f"{name}: {row[name]}"
            for name in row
            if name not in ("student", "remarks", "of") and row[name] and row["of"]
        ]
        lines = [", ".join(points) + f" of {row['of']}", *(row.get("remarks") or "").split(" | ")]
        found[row["student"]] = "<br>".join(html.escape(line, quote=False) for line in lines if line)
    return found


def placed(
    sheet: sheets.Sheet, students: Mapping[str, str], table: Mapping[str, str]
) -> tuple[dict[str, list[str]], list[str], int]:
    """Each student's row, one sentence for each who has none, or not one alone, and of how many rows there was no talk.

    `students` gives for each the name under which the platform's export was taken in; `table`, the teacher's, goes before all
    else, then what is one person's alone (numbers, logins, e-mail addresses), then names. A row that the table gives to
    somebody is nobody else's.
    """
    by_row: dict[int, set[str]] = defaultdict(set)
    people, sentences, found, talked = sheet.people(), [], {}, set()
    given = [{table[name] for name in map(folded, row) if table.get(name)} for row in people]
    for student, who in students.items():
        number = re.search(r"_(\d+)$", who or student) if who.startswith(PLATFORM.get(sheet.kind, "-")) else None
        own = {student.lower()} | ({number[1]} if number else set())
        roads = (
            [i for i in range(len(people)) if student in given[i]],
            [i for i, row in enumerate(people) if own & sheet.exact(row)],
            [i for i, row in enumerate(people) if student.lower() in sheet.names(row)],
        )
        free = [[i for i in road if given[i] <= {student}] for road in roads[1:]]
        rows = next((road for road in (roads[0], *free) if road), [])
        others = {f"{' '.join(people[i][:2])} is {', '.join(sorted(given[i]))}" for road in roads[1:] for i in road}
        talked |= {i for road in roads for i in road}
        if len(rows) == 1:
            by_row[rows[0]].add(student)
        elif rows:
            sentences.append(f"{student}: {len(rows)} rows could be this student's: say which in a table (--names)")
        elif others:
            sentences.append(f"{student}: by the table of names, {' and '.join(sorted(others))}, and no row is left")
        else:
            sentences.append(f"{student}: no row of the table is this student's: say whose in a table (--names)")
    for i, several in by_row.items():
        if len(several) > 1:
            names = " and ".join(sorted(several))
            sentences += [
                f"{student}: {names} could both be {' '.join(people[i][:2])}, one row: say whose in a table (--names)"
                for student in sorted(several)
            ]
        else:
            found[several.pop()] = people[i]
    return found, sentences, len(people) - len(talked)


def fill(
    sheet: sheets.Sheet, assignment: str, marks: Mapping[str, Mark], rows: Mapping[str, list[str]], said: Mapping[str, str],
    named: str = "", scale: bool = False, unfinished: bool = False,
) -> tuple[int, list[str]]:  # fmt: skip
    """Write the marks of one assignment into its column, a new one if need be; how many, and what was left out and why.

    Raises ValueError where the platform's assignment is worth other points than ours.
    """
    place = sheets.column_of(sheet, assignment, named)
    ours = max((mark.most for mark in marks.values()), default=0.0)
    if place is None:
        place = len(sheet.columns)
        sheet.columns.append(assignment)
    widen(sheet)
    worth = points(sheet, place, ours)
    if worth != ours and not scale:
        raise ValueError(f"{assignment} is worth {worth:g} points on the platform and {ours:g} here: change it there, "
                         "or let marks be converted (--scale)")  # fmt: skip
    written, sentences = 0, []
    for student, row in rows.items():
        mark = marks.get(student)
        if mark is None:
            continue
        if mark.waits and not unfinished:
            sentences.append(f"{student}: a written answer of {assignment} is not marked yet, so nothing was written")
        elif sheet.cell(row, sheets.WORKSHEET["open"]).lower() in ("no", "nein", "non"):
            sentences.append(f"{student}: Moodle has locked this mark of {assignment}, so nothing was written")
        else:
            row[place] = sheet.number(mark.score * worth / mark.most if mark.most else mark.score)
            comments = sheet.place(sheets.WORKSHEET["said"]) if sheet.kind == "worksheet" else None
            if comments is not None and said.get(student):
                row[comments] = said[student]
            written += 1
    return written, sentences


def widen(sheet: sheets.Sheet) -> None:
    """Make every row as long as the line of the columns' names."""
    for row in sheet.rows:
        row += [""] * (len(sheet.columns) - len(row))


def points(sheet: sheets.Sheet, place: int, ours: float) -> float:
    """What the assignment is worth on the platform; in Canvas's line of points, where it is empty, ours is written."""
    if sheet.kind == "worksheet":
        stated = {sheet.value(sheet.cell(row, sheets.WORKSHEET["most"])) for row in sheet.people()} - {None}
        return stated.pop() if len(stated) == 1 else ours
    for row in sheet.rows:
        if sheet.kind == "canvas" and row[0].strip().startswith("Points Possible"):
            if sheet.value(row[place]) is None:
                row[place] = sheet.number(ours)
            return sheet.value(row[place])
    return ours


def export(
    course: Path, file: Path, assignments: list[str] | None = None, names: Path | None = None,
    columns: Mapping[str, str] | None = None, scale: bool = False, unfinished: bool = False, out: Path | None = None,
) -> tuple[Path, list[str], list[str]]:  # fmt: skip
    """Write the course's marks into a table that Canvas or Moodle exported; the new file, what was done, what was not.

    Of all assignments that have marks, or those named; a worksheet of Moodle's is one assignment's. Raises ValueError for
    what is no such table, or no assignment.
    """
    columns = dict(columns or {})
    sheet = sheets.read(file, columns)
    for assignment in assignments or []:
        check_assignment(course, assignment)
    known = assignments or assignments_of(course)
    marks = {assignment: found for assignment in known if (found := marks_of(course, assignment))}
    missing = {assignment: graded.not_graded(course, assignment) for assignment in known}
    if not marks:
        raise ValueError(
            f"nothing of {', '.join(known)} has been graded yet: `python -m walkthrough.homework grade` comes first"
        )
    if sheet.kind == "worksheet" and len(marks) > 1:
        raise ValueError(
            f"Moodle's grading worksheet is for one assignment: say which, as in --assignment {next(iter(marks))}"
        )
    students: dict[str, str] = {}
    for assignment, found in marks.items():
        for student in left_out(course, assignment) | missing[assignment].keys():
            found.pop(student, None)
        ledger = read_ledger(course, assignment)
        students |= {student: ledger.get(student, {}).get("who", students.get(student, "")) for student in found}
    table = {name: row.student for name, row in read_table(names, UTC).items()} if names else {}
    away = sorted(student for student in students if table.get(folded(student)) == "")
    students = {student: who for student, who in students.items() if student not in away}
    rows, missed, others = placed(sheet, students, table)
    done = [f"{student}: the table of names leaves it out" for student in away]
    if sheet.kind == "worksheet":
        missing = {assignment: missing[assignment] for assignment in marks}
    missed += [
        f"{student}: {why} ({name}), so nothing was written"
        for name in missing
        for student, why in missing[name].items()
    ]
    for assignment, found in marks.items():
        named = columns.get(assignment, "")
        count, left = fill(sheet, assignment, found, rows, told(course, assignment), named, scale, unfinished)
        done.append(f"{assignment}: {count} of {len(found) + len(missing[assignment])} marks written")
        missed += left
    if others:
        number = "1 row of the table is" if others == 1 else f"{others} rows of the table are"
        done.append(f"{number} nobody's who has a mark, and stay{'s' * (others == 1)} unchanged")
    target = out or course / "grades" / f"{sheet.kind}-{file.stem}.csv"
    if target.resolve() == file.resolve():
        raise ValueError(f"{target} is the table that was exported: give another name for the new one")
    sheets.write(sheet, target)
    return target, done, missed
