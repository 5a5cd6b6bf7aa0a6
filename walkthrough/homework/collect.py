"""What students handed in, from a folder or a learning system's zip, into the course folder."""

import os
import re
import shutil
import time
import zipfile
from pathlib import Path

from walkthrough.homework.course import check_assignment

# a student's name, which may hold underscores; what learning systems put behind it; the assignment; "(2)", "-1"
NAME = r"(?:.*/)?([A-Za-z0-9][\w.@-]*?)[_/](?:(?:\d[\d-]*|late|LATE|attempt)_)*{}(?: ?\(\d+\)|-\d+)?\.ipynb"


def unpack(archive: Path, folder: Path) -> None:
    """Extract a zip into a folder, emptied before; each file keeps the time that the zip has for it."""
    shutil.rmtree(folder, ignore_errors=True)
    with zipfile.ZipFile(archive) as zipped:
        for entry in zipped.infolist():
            file = zipped.extract(entry, folder)
            when = time.mktime((*entry.date_time, 0, 0, -1))
            os.utime(file, (when, when))


def collect(folder: Path, assignment: str, handed_in: Path) -> dict[str, str]:
    """Files named STUDENT_hw1.ipynb or STUDENT/hw1.ipynb, in a folder or a zip, into `submitted/`; newest wins.

    Returns, for each file that was passed over, why. Raises ValueError for an assignment that the course does not have.
    """
    check_assignment(folder, assignment)
    if zipfile.is_zipfile(handed_in):
        unpack(handed_in, folder / "downloaded" / assignment)
        handed_in = folder / "downloaded" / assignment
    newest: dict[str, Path] = {}
    passed_over = {}
    for file in sorted(handed_in.rglob("*.ipynb")):
        name = str(file.relative_to(handed_in))
        found = re.fullmatch(NAME.format(assignment), name)
        if file.is_symlink() or not found:
            passed_over[name] = f"its name does not say whose {assignment} it is (STUDENT_{assignment}.ipynb)"
            continue
        older, newer = sorted([newest.get(found[1], file), file], key=lambda x: x.stat().st_mtime)
        if older != newer:
            passed_over[str(older.relative_to(handed_in))] = f"{found[1]} handed in a newer one"
        newest[found[1]] = newer
    for student, file in newest.items():
        target = folder / "submitted" / student / assignment
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target / f"{assignment}.ipynb")
    return passed_over
