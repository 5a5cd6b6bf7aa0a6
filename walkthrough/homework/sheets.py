"""A learning platform's table of marks: read as it comes, and written back in the same form, with every column kept.

Where the forms are from: Canvas, `lib/gradebook_importer.rb` of canvas-lms. The first line begins with Student, ID (or
LastName, FirstName, ID); SIS User ID, SIS Login ID, Integration ID and Root Account may follow, and then Section. A
column of marks is called `TITLE (NUMBER)`; one without a number makes a new assignment. A line `Points Possible` gives what
each is worth. People are found by ID, then SIS User ID, then SIS Login ID, then the name. Columns such as `Current Score`
are not read. Moodle's grading worksheet, `mod/assign/feedback/offline/importgradeslib.php`: `Identifier` (a word and the
person's number in this assignment), `Grade` and `Last modified (grade)` must be there, and `Feedback comments` is read.
Moodle's gradebook (docs.moodle.org, "Grade import"): the form that it exports, in which columns are mapped by hand to the e-mail
address or ID number, and to marks.
"""

import csv
import io
import re
from dataclasses import dataclass, field
from pathlib import Path

from walkthrough.homework.names import mentions, student_id

WORKSHEET = {"who": "identifier", "grade": "grade", "most": "maximum grade", "open": "grade can be changed",
             "changed": "last modified (grade)", "said": "feedback comments"}  # fmt: skip
EXACT = ("sis user id", "sis login id", "id number", "username", "email address", "email", "id", "identifier")
NAMES = ("student", "full name")
COMMA, POINT = re.compile(r"-?\d+,\d+"), re.compile(r"-?\d+\.\d+")


@dataclass
class Sheet:
    """A table, and the form that it came in: `kind` is canvas, worksheet (Moodle's) or gradebook (Moodle's)."""

    kind: str
    columns: list[str]
    rows: list[list[str]]
    delimiter: str
    comma: bool
    mark: bool
    said: dict[str, str] = field(default_factory=dict)  # what a column of the worksheet is called here

    def place(self, column: str) -> int | None:
        """The place of a column, whatever the case of its name; None if there is none."""
        lowered = [name.strip().lower() for name in self.columns]
        wanted = self.said.get(column, column).strip().lower()
        return lowered.index(wanted) if wanted in lowered else None

    def cell(self, row: list[str], column: str) -> str:
        """What stands in a row under a column; "" if there is no such column."""
        place = self.place(column)
        return row[place].strip() if place is not None and place < len(row) else ""

    def number(self, value: float) -> str:
        """A number as this table writes it: at most two decimals."""
        text = f"{round(value, 2):g}"
        return text.replace(".", ",") if self.comma else text

    def value(self, text: str) -> float | None:
        """The number that is written in a cell, or None."""
        try:
            return float(text.strip().replace(",", ".")) if text.strip() else None
        except ValueError:
            return None

    def people(self) -> list[list[str]]:
        """The rows that are a person's: not Canvas's lines of points, nor empty ones."""
        if self.kind != "canvas":
            return [row for row in self.rows if any(row)]
        return [row for row in self.rows if any(row[:4]) and not row[0].strip().startswith("Points Possible")
                and any(cell.strip() for cell in row[: 1 + (self.place("section") or 3)])]  # fmt: skip

    def exact(self, row: list[str]) -> set[str]:
        """What identifies a row's person: numbers, logins and e-mail addresses, without differences of case."""
        found = {self.cell(row, column).lower() for column in EXACT}
        found |= {each.partition("@")[0] for each in found if "@" in each}
        number = re.search(r"\d+$", self.cell(row, WORKSHEET["who"]))
        return (found | ({number[0]} if number else set())) - {""}

    def names(self, row: list[str]) -> set[str]:
        """A row's person as a student's id: the name as it stands, and `Last, First` turned round."""
        found = {self.cell(row, column) for column in NAMES}
        first, last = (self.cell(row, f"{a}name") or self.cell(row, f"{a} name") for a in ("first", "last"))
        found |= {f"{first} {last}"} if first and last else set()
        found |= {" ".join(reversed(each.split(", ", 1))) for each in found if ", " in each}
        return {student_id(each).lower() for each in found} - {""}


def read(file: Path, called: dict[str, str] | None = None) -> Sheet:
    """A table that Canvas or Moodle exported; `called` says what a worksheet in another language calls Grade and so on.

    Raises ValueError, with the columns that are there, for what is neither.
    """
    if not file.is_file():
        raise ValueError(f"there is no file {file}: give the table that Canvas or Moodle exported, as CSV")
    data = file.read_bytes()
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{file} is not in UTF-8: download it again as CSV, and do not save it from Excel") from None
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    try:
        columns, *rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)) or [[]]
    except csv.Error as error:
        raise ValueError(f"{file} is no table ({error}): download it again as CSV") from None
    cells = [cell.strip() for row in rows for cell in row]
    comma = any(map(COMMA.fullmatch, cells)) and not any(map(POINT.fullmatch, cells))
    form = (columns, rows, delimiter, comma, text != data.decode("utf-8", "replace"))
    said = {WORKSHEET[part]: name for part, name in (called or {}).items() if part in WORKSHEET}
    lowered = [column.strip().lower() for column in columns]
    if lowered[:2] == ["student", "id"] or lowered[:3] == ["lastname", "firstname", "id"]:
        if "section" not in lowered:
            raise ValueError(
                f"{file}: Canvas imports no table without the column Section: export it again from Gradebook"
            )
        return Sheet("canvas", *form)
    sheet = Sheet("worksheet", *form, said)
    if all(sheet.place(WORKSHEET[part]) is not None for part in ("who", "grade", "changed")):
        return sheet
    if {"email address", "id number", "username"} & set(lowered):
        return Sheet("gradebook", *form)
    raise ValueError(f"{file} is neither Canvas's gradebook nor a table of Moodle's: its columns are {', '.join(columns)}; "
                     "for a worksheet in another language, say which is which, as in --column who=ID --column grade=Bewertung "
                     "--column changed='Zuletzt geändert (Bewertung)'")  # fmt: skip


def column_of(sheet: Sheet, assignment: str, named: str = "") -> int | None:
    """The place of an assignment's column of marks, or None if there is none. Raises ValueError if two could be it."""
    if sheet.kind == "worksheet":
        return sheet.place(WORKSHEET["grade"])
    if named:
        if sheet.place(named) is None:
            raise ValueError(f"there is no column {named!r}: there are {', '.join(sheet.columns)}")
        return sheet.place(named)
    other = r"\((?:feedback|percentage|letter|prozentsatz)\)$|unposted|current |final |override "
    found = [i for i, column in enumerate(sheet.columns)
             if mentions(column, assignment) and not re.search(other, column, re.IGNORECASE)]  # fmt: skip
    if len(found) > 1:
        both = " and ".join(sheet.columns[i] for i in found)
        raise ValueError(
            f"{both} could both be {assignment}: say which, as in --column {assignment}='{sheet.columns[found[0]]}'"
        )
    return found[0] if found else None


def write(sheet: Sheet, file: Path) -> None:
    """Write the table in the form that it came in, in UTF-8."""
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=sheet.delimiter).writerows([sheet.columns, *sheet.rows])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(out.getvalue().encode("utf-8-sig" if sheet.mark else "utf-8"))
