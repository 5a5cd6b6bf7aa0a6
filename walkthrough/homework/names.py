"""Names: of the course's assignments, of files, of students, and the teacher's table of them. Nothing slow is imported."""

import csv
import functools
import io
import re
import unicodedata
from collections.abc import Iterable
from datetime import datetime, tzinfo
from pathlib import Path
from typing import NamedTuple

COPIES = "copy|kopie|copie|copia|cópia|kopia|kopi|kopio|копия|副本|のコピー|コピー"
AGAIN = rf"(?:\s*\(\d+\)|[\s_–-]*(?:{COPIES})(?:\s*\(?\d+\)?)?|-\d+)*"  # "(2)", "- Copy", "-Copy1", "copy 2", "-1"
COPY_OF = r"(?:(?:copy of|kopie von|copie de|copia de|cópia de)\s+)*"
ENDING = r"\.ipynb(?:\.txt|\.json)?"  # browsers and mail programs add the second one
RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(1, 10))}  # on Windows
LONGEST = 200  # bytes of a student's id: file systems allow 255


def assignments_of(folder: Path) -> list[str]:
    """The assignments of a course folder."""
    return sorted(source.parent.name for source in (folder / "source").glob("*/*.ipynb"))


def check_course(folder: Path) -> None:
    """Raise ValueError for what is no course folder."""
    if not (folder / "nbgrader_config.py").exists():
        raise ValueError(f"{folder} is not a course folder: make one with `python -m walkthrough.homework new`")


def check_assignment(folder: Path, assignment: str) -> None:
    """Raise ValueError for an assignment that the course does not have."""
    known = assignments_of(folder)
    if assignment not in known:
        raise ValueError(f"there is no assignment {assignment!r} in {folder}: there are {', '.join(known) or 'none'}")


@functools.cache
def pattern(assignment: str, ending: str) -> re.Pattern[str]:
    """The names that say an assignment, and in a group who (`anna_hw1`, `Copy of Anna Example - HW1 (2)`)."""
    return re.compile(rf"{COPY_OF}(?:(.*[^\s_-])[\s_-]+)?{re.escape(assignment)}{AGAIN}{ending}", re.IGNORECASE)


def named_for(file: str, assignment: str, ending: str = ENDING) -> str | None:
    """Who a file's name says it is from (`anna_hw1.ipynb`), "" if only `hw1.ipynb`, None if it is no `hw1`."""
    found = pattern(assignment, ending).fullmatch(file)
    return None if not found else found[1] or ""


def mentions(file: str, assignment: str) -> bool:
    """Is the assignment somewhere in a file's name, as a word of its own?"""
    return bool(re.search(rf"(?<![^\W_]){re.escape(assignment)}(?![^\W_])", file, re.IGNORECASE))


def is_notebook(file: str) -> bool:
    """Is a file a notebook by its name? What browsers make of one (`hw1.ipynb.txt`) is, too."""
    return bool(re.search(ENDING + "$", file, re.IGNORECASE))


def student_id(name: str) -> str:
    """A name as a student's id, which is a folder's name and part of a web address; "" if nothing of it is left.

    Letters and digits of every script, and `. _ @ -`, stay as they are (nbgrader takes any text without `/`; its
    exchange splits at `+`). Apostrophes and invisible signs are left out, anything else is one hyphen. Different names
    may get the same id: who asks has to see to that.
    """
    name = unicodedata.normalize("NFC", name)
    kept = (c for c in name if c not in "'’‘`´\"" and unicodedata.category(c) != "Cf")
    spelt = "".join(c if c in "._@-" or unicodedata.category(c)[0] in "LMN" else " " for c in kept)
    made = re.sub(r" +", "-", re.sub(r" *([-_]) *", r"\1", spelt.strip())).strip("._-@")
    made = f"{made}_" if made.partition(".")[0].lower() in RESERVED else made
    return made if len(made.encode()) <= LONGEST else ""


class Row(NamedTuple):
    """What the table says of a name: the student's id, or "" for "leave it out", and when it was handed in."""

    student: str
    handed_in: datetime | None = None


class Table(dict[str, Row]):
    """The teacher's table by folded names; `lines` says of each that stands in it where, and as it is written."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, str] = {}
        self.used: set[str] = set()

    def about(self, names: Iterable[str]) -> Row | None:
        """The row of the first of these names that has one; all of them have been asked for."""
        found = [key for key in map(folded, names) if key in self]
        self.used |= set(found)
        return self[found[0]] if found else None

    def unused(self) -> list[str]:
        """One sentence for each line that fitted nothing."""
        return [f"{line} fits nothing that was handed in" for key, line in self.lines.items() if key not in self.used]


def folded(name: str) -> str:
    """A name without differences of case and of how accents are stored."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name.strip()).casefold())


def read_table(file: Path, zone: tzinfo) -> Table:
    """The teacher's table: a CSV with the columns `name` and `student`, and perhaps `handed_in` (as 2026-11-01 23:59).

    A name may be whatever `collect` shows: a person's name, number or e-mail address, a folder's or a file's path.
    Raises ValueError, with the line, for what cannot be read.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{file} is not in UTF-8: save the table as “CSV UTF-8”") from None
    head = text.partition("\n")[0].lower()
    reader = csv.DictReader(io.StringIO(text), delimiter=next((d for d in ";\t" if d in head), ","))
    reader.fieldnames = [column.strip().lower() for column in reader.fieldnames or []]
    if not {"name", "student"} <= set(reader.fieldnames):
        raise ValueError(f"{file} is no table of names: its first line must name the columns, as in name,student")
    rows = Table()
    for cells in reader:
        name, student = (cells["name"] or "").strip(), (cells["student"] or "").strip()
        where = f"{file}, line {reader.line_num}"
        if student and student_id(student) != student:
            better = student_id(student)
            raise ValueError(f"{where}: {student!r} cannot be a student's id{better and f'; {better!r} can'}")
        row = Row(student, local_time(cells.get("handed_in") or "", zone, where))
        if name:
            rows.lines[folded(name)] = f"{where}: {name!r}"
        if rows.setdefault(folded(name), row) != row:
            raise ValueError(f"{where}: {name!r} stands in the table twice, and not for the same student and time")
        if student:
            rows.setdefault(folded(student), Row(student))
    rows.pop("", None)
    return rows


def local_time(text: str, zone: tzinfo, where: str) -> datetime | None:
    """A time as in 2026-11-01 23:59, in a zone unless it names its own. Raises ValueError if it cannot be read."""
    if not text.strip():
        return None
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{where}: {text.strip()!r} is no time, such as 2026-11-01 23:59") from None
    return time if time.tzinfo else time.replace(tzinfo=zone)
