"""nbgrader's gradebook: marks entered, marks by hand that stand, and penalties for late work."""

import os
import re
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbgrader.api import Gradebook, MissingEntry, SubmittedAssignment
from nbgrader.apps.api import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import AssignLatePenalties
from nbgrader.utils import parse_utc
from sqlalchemy.exc import SAWarning
from traitlets.config import Config, PyFileConfigLoader

from walkthrough.homework import graded
from walkthrough.homework.names import check_course

STEPS = {"sanitize": ("DeduplicateIds", "OverwriteCells", "CheckCellMetadata"),
         "autograde": ("LimitOutput", "SaveAutoGrades", "CheckCellMetadata")}  # fmt: skip


def api(folder: Path, **course_directory: str) -> NbGraderAPI:
    """nbgrader, for this folder. Raises ValueError if it is not a course folder."""
    check_course(folder)
    scripts = str(Path(sys.executable).parent)  # nbgrader calls `alembic` by name, also where no venv is activated
    if scripts not in os.environ["PATH"].split(os.pathsep):
        os.environ["PATH"] = scripts + os.pathsep + os.environ["PATH"]
    config: Config = PyFileConfigLoader("nbgrader_config.py", path=str(folder)).load_config()
    config.CourseDirectory.root = str(folder.resolve())
    config.CourseDirectory.update(course_directory)
    if course_directory:  # judged notebooks: nbgrader reads their marks, and runs nothing
        for step, kept in STEPS.items():
            config.Autograde[f"{step}_preprocessors"] = [f"nbgrader.preprocessors.{name}" for name in kept]
    return NbGraderAPI(coursedir=CourseDirectory(config=config), config=config)


def done(result: dict, what: str) -> None:
    """Raise RuntimeError if a step of nbgrader's failed, with the error that it logged."""
    if not result["success"]:
        log = f"{result.get('log', '')}\n{result.get('error', '')}"
        said = re.findall(r"^ *\w+(?:Error|Exception): .+", log, re.MULTILINE) or log.strip().splitlines()[-1:]
        raise RuntimeError(f"{what} failed: {said[0].strip() if said else 'nbgrader did not say why'}")


@contextmanager
def opened(folder: Path) -> Iterator[Gradebook]:
    """The course's gradebook."""
    warnings.simplefilter("ignore", SAWarning)  # nbgrader 0.9 was written for an older SQLAlchemy
    with Gradebook(api(folder).coursedir.db_url) as book:
        yield book


def enter(folder: Path, assignment: str, student: str, notebook: nbformat.NotebookNode) -> None:
    """Hand a judged notebook to nbgrader, with the time that it was handed in; a mark by hand stands if its answer does.

    Otherwise it counts no longer, and the answer waits for a new one.
    Raises RuntimeError if nbgrader refuses it, and ValueError for a time that is none.
    """
    handed_in = folder / "submitted" / student / assignment / "timestamp.txt"
    if handed_in.exists():
        try:
            parse_utc(handed_in.read_text("utf-8").strip())
        except (ValueError, OverflowError) as error:
            raise ValueError(
                f"its timestamp.txt holds no time, as 2026-11-01 23:59:00 UTC would be ({error})"
            ) from error
    target = folder / "judged" / student / assignment
    file = target / f"{assignment}.ipynb"
    with opened(folder) as book:
        stand = marked_by_hand(book, assignment, student, file)
    target.mkdir(parents=True, exist_ok=True)
    before = file.read_bytes() if file.exists() else None
    nbformat.write(notebook, file)
    (target / "timestamp.txt").unlink(missing_ok=True)
    if handed_in.exists():
        shutil.copy(handed_in, target)
    try:
        done(api(folder, submitted_directory="judged").autograde(assignment, student), "nbgrader's entry")
    except BaseException:  # what was marked by hand is known by the notebook that was judged then
        file.unlink() if before is None else file.write_bytes(before)
        raise
    with opened(folder) as book:
        submission = book.find_submission(assignment, student)
        if not handed_in.exists():
            submission.timestamp = None
        for label, grade in grades_of(submission).items():
            if label in stand and stand[label] == (grade.auto_score, answer_to(file, label)):
                grade.needs_manual_grade = False
        forget_old(submission)
        book.db.commit()
    graded.note(folder, assignment, student, graded.digest(folder, assignment, student))


def forget_old(submission: SubmittedAssignment) -> None:
    """Marks by hand of what waits are for another answer, and nbgrader would count them."""
    for grade in grades_of(submission).values():
        if grade.needs_manual_grade:
            grade.manual_score = None


def marked_by_hand(book: Gradebook, assignment: str, student: str, file: Path) -> dict[str, tuple]:
    """What a person has marked and need not see again: the automatic mark beside it, and the answer that was marked."""
    try:
        grades = grades_of(book.find_submission(assignment, student))
    except MissingEntry:
        return {}
    if not file.exists():
        return {}
    return {
        label: (grade.auto_score, answer_to(file, label))
        for label, grade in grades.items()
        if grade.manual_score is not None and not grade.needs_manual_grade
    }


def grades_of(submission: SubmittedAssignment) -> dict[str, Any]:
    """The grades in a submission, by the names of their cells."""
    return {grade.name: grade for notebook in submission.notebooks for grade in notebook.grades}


def answer_to(file: Path, label: str) -> str:
    """In a judged notebook, the text of a written answer, or the code between the test before and this one."""
    code = ""
    for cell in nbformat.read(file, 4).cells:
        mark = cell.metadata.get("nbgrader", {})
        if mark.get("grade_id") == label:
            return cell.source if mark.get("solution") else code
        if mark.get("grade"):
            code = ""
        elif cell.cell_type == "code":
            code += cell.source + "\n"
    return code


def penalties(folder: Path, assignment: str) -> None:
    """Late penalties as the course's settings have them, for all that was handed in, by the due date as it is now.

    Raises RuntimeError if the course's own rule fails.
    """
    step = AssignLatePenalties(config=api(folder).config)
    step.init_plugin()
    with opened(folder) as book:
        for submission in book.assignment_submissions(assignment):
            due = submission.assignment.duedate is not None
            late = submission.total_seconds_late if due else 0
            for notebook in submission.notebooks:
                notebook.late_submission_penalty = None
                try:
                    taken = (
                        step.plugin_inst.late_submission_penalty(submission.student.id, notebook.score, late)
                        if late
                        else None
                    )
                except Exception as error:
                    rule = "the rule for late work in nbgrader_config.py failed"
                    raise RuntimeError(
                        f"{rule} for {submission.student.id} ({type(error).__name__}: {error})"
                    ) from error
                if taken is not None:
                    notebook.late_submission_penalty = min(max(taken, 0), notebook.score)
        book.db.commit()
