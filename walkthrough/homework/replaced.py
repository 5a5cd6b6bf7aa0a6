"""Work that was collected before and counts no longer: kept in the course folder's `replaced/`, and never lost."""

import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from walkthrough.homework import graded
from walkthrough.homework.archives import Found
from walkthrough.homework.platforms import Claim

NUMBERED = ("moodle ", "canvas ", "anonymous ", "blackboard ", "brightspace ", "gradescope ", "exchange ")
SAME = 2  # seconds: the times in zips are even numbers
FOLDERS = ("submitted", "judged", "autograded", "feedback")


def is_older(when: datetime | None, found: Found, earlier: Mapping[str, str], stored: Path) -> bool:
    """Is what was found older than what was taken before? By the platform's times, else by those of the files."""
    before = datetime.fromisoformat(earlier["handed_in"]) if earlier.get("handed_in") else None
    if when:
        return before is not None and before > when
    known = before.timestamp() if before else file_time(earlier, stored)
    return 0 < found.modified < known - SAME


def file_time(earlier: Mapping[str, str], stored: Path) -> float:
    """When what was taken before was written, in seconds; the file's time is another one when a course was copied."""
    return float(earlier.get("file_time") or 0) or stored.stat().st_mtime


def keep(folder: Path, assignment: str, student: str, earlier: Mapping[str, str]) -> Path:
    """Put a copy of what was taken before beside the course's other work; where it is."""
    file = folder / "submitted" / student / assignment / f"{assignment}.ipynb"
    graded.note_once(folder, assignment, student)
    known = earlier.get("handed_in")
    time = datetime.fromisoformat(known) if known else datetime.fromtimestamp(file_time(earlier, file))
    place = folder / "replaced" / assignment / student
    place.mkdir(parents=True, exist_ok=True)
    target, number = place / f"{time:%Y-%m-%d-%H-%M-%S}.ipynb", 1
    while target.exists() and target.read_bytes() != file.read_bytes():
        number += 1
        target = place / f"{time:%Y-%m-%d-%H-%M-%S}-{number}.ipynb"
    shutil.copy2(file, target)
    return target


def is_same(claim: Claim, found: Found, content: bytes, row: Mapping[str, str], stored: Path) -> bool:
    """Is what was taken in under another id this person's: by the platform's number, or the same file once more?"""
    person = row.get("person") or ("" if row["who"].startswith("table ") else row["who"])
    if person and claim.person == person and person.startswith(NUMBERED):
        return True
    if person not in ("", claim.person) or (not person and claim.person.startswith("gradescope ")):
        return False  # a group's file is that of several
    return row["file"] == found.name and stored.exists() and stored.read_bytes() == content


def twice(
    folder: Path, assignment: str, student: str, found: Found, claim: Claim, content: bytes,
    ledger: Mapping[str, Mapping[str, str]],
) -> list[str]:  # fmt: skip
    """The other ids under which this person's work was taken in earlier."""
    return [
        other
        for other, row in ledger.items()
        if other != student
        and not row.get("now")
        and is_same(claim, found, content, row, folder / "submitted" / other / assignment / f"{assignment}.ipynb")
    ]


def rename(folder: Path, assignment: str, old: str, new: str, ledger: dict[str, dict[str, str]]) -> str:
    """Whoever was `old` is `new` from now on: what was taken in as `old` goes there, or away if there is something."""
    away = folder / "replaced" / assignment / old
    source, target = (folder / "submitted" / student / assignment for student in (old, new))
    if source.exists() and not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
        ledger[new] = ledger[old] | {"student": new}
    for name in FOLDERS:
        source = folder / name / old / assignment
        if source.exists():
            place, number = away / name, 1
            while place.exists():
                number += 1
                place = away / f"{name}-{number}"
            place.parent.mkdir(parents=True, exist_ok=True)
            source.rename(place)
        if source.parent.exists() and not any(source.parent.iterdir()):
            source.parent.rmdir()
    ledger[old] = ledger[old] | {"now": new}
    kept = f"; what was there under the old name is kept in {away}" if away.exists() else ""
    return f"was taken in as {old} earlier, and is {new} from now on{kept}"
