"""Whose work is graded, and as it is now? Marks of a file that has been replaced since are old marks."""

import hashlib
from pathlib import Path

from walkthrough.homework.names import check_assignment

NEVER = "not graded yet"
NEWER = "a newer file was collected since, which is not graded yet"
GONE = "its graded notebook is gone from autograded/"


def handed_in(folder: Path, assignment: str, only: str | None = None) -> list[str]:
    """Who has handed in an assignment, or the one who is asked for.

    Raises ValueError if that is nobody, with those who have.
    """
    check_assignment(folder, assignment)
    found = sorted(path.parent.name for path in (folder / "submitted").glob(f"*/{assignment}"))
    if not found:
        raise ValueError(f"nobody has handed in {assignment}: `python -m walkthrough.homework collect` comes first")
    if only is not None and only not in found:
        raise ValueError(f"there is no student {only} who has handed in {assignment}; handed in: {', '.join(found)}")
    return found if only is None else [only]


def released(folder: Path, assignment: str) -> Path:
    """The release of an assignment. Raises ValueError if there is none."""
    check_assignment(folder, assignment)
    file = folder / "release" / assignment / f"{assignment}.ipynb"
    if not file.exists():
        raise ValueError(f"{assignment} was never released: `python -m walkthrough.homework release` comes first")
    return file


def digest(folder: Path, assignment: str, student: str) -> str:
    """What tells one handed-in file from another; "" if there is none."""
    file = folder / "submitted" / student / assignment / f"{assignment}.ipynb"
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def note(folder: Path, assignment: str, student: str, judged: str) -> None:
    """Remember which file the marks are of."""
    (folder / "judged" / student / f"{assignment}.sha256").write_text(judged + "\n", encoding="utf-8")


def note_once(folder: Path, assignment: str, student: str) -> None:
    """Before a file is replaced: marks of which it was not noted what they are of are of this one."""
    judged = folder / "judged" / student
    if (judged / assignment).exists() and not (judged / f"{assignment}.sha256").exists():
        note(folder, assignment, student, digest(folder, assignment, student))


def not_graded(folder: Path, assignment: str) -> dict[str, str]:
    """For each who handed in and has no marks of that file, what is the matter."""
    found = {}
    for place in sorted((folder / "submitted").glob(f"*/{assignment}")):
        student = place.parent.name
        noted = folder / "judged" / student / f"{assignment}.sha256"
        if not (folder / "autograded" / student / assignment / f"{assignment}.ipynb").exists():
            found[student] = GONE if (folder / "judged" / student / assignment).exists() else NEVER
        elif noted.exists() and noted.read_text("utf-8").strip() != digest(folder, assignment, student):
            found[student] = NEWER
    return found


def told(assignment: str, missing: dict[str, str], before: str = "") -> str:
    """Whose work is not graded, one sentence for each, and what to do; `before` stands at the begin of each."""
    lines = [f"{before}{student}: {reason}" for student, reason in missing.items()]
    return "\n".join([*lines, f"grade {assignment} again: `python -m walkthrough.homework grade`"])
