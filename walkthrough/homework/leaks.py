"""Is anything of a solution, a hidden test or a mark scheme in what students get? Searched, not promised.

Archives are searched too, in one another, and notebooks' outputs, and what is written beside a picture's pixels. What is
drawn in a picture cannot be searched.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat

from walkthrough.homework import opened

RUN = 25  # words and signs in a row that are alike by more than chance
SHORTEST = 4  # words of a secret; fewer are no secret
OURS = re.compile(r"[/: ](?:graders/|plant\.py|answers_hw\d|secret\.txt|gradebook\.db)")
MARKS = (
    "BEGIN SOLUTION",
    "END SOLUTION",
    "BEGIN HIDDEN TESTS",
    "END HIDDEN TESTS",
    "BEGIN MARK SCHEME",
    "from graders",
)
PACKAGE = Path(__file__).parents[1]


def words(text: str) -> list[str]:
    """A text as its words and signs, without the white space."""
    return re.findall(r"\w+|[^\w\s]", text)


def runs(text: str) -> set[tuple[str, ...]]:
    """Every RUN words in a row; the whole text if it is shorter than that."""
    found = words(text)
    return {tuple(found[i : i + RUN]) for i in range(max(1, len(found) - RUN + 1))} if found else set()


def between(text: str, begin: str, end: str) -> list[str]:
    """The parts of a text between two marks."""
    return re.findall(rf"{begin}[^\n]*\n(.*?)\n[^\n]*{end}", text, re.DOTALL)


def secrets_of(course: Path) -> dict[str, set[tuple[str, ...]]]:
    """What must not be found: solutions, hidden tests, model answers, graders; by where each stands.

    Raises ValueError for a folder that holds nothing of the kind: to search for nothing would find nothing.
    """
    kept: dict[str, set[tuple[str, ...]]] = {}
    for file in sorted((course / "source").glob("*/*.ipynb")):
        for cell in nbformat.reads(opened.decoded(file.read_bytes()), 4).cells:
            mark = cell.metadata.get("nbgrader", {})
            parts = between(cell.source, "BEGIN SOLUTION", "END SOLUTION")
            parts += between(cell.source, "BEGIN HIDDEN TESTS", "END HIDDEN TESTS")
            if mark.get("solution") and mark.get("grade"):
                parts.append(cell.source)
            for part in parts:
                if len(words(part)) >= SHORTEST:
                    kept.setdefault(f"{file.name}, cell {mark.get('grade_id')}", set()).update(runs(part))
    for file in sorted((course / "graders").glob("*.py")):
        code = "\n".join(
            line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith(("import ", "from "))
        )
        kept[f"graders/{file.name}"] = runs(code)
    if not kept:
        raise ValueError(
            f"{course} is not a course folder: make one with `python -m walkthrough.homework new`, and give that"
        )
    return kept


def search(course: Path, places: Sequence[Path]) -> list[str]:
    """One sentence for each thing found that students must not get, and for each file that could not be searched."""
    secret = {piece: where for where, pieces in secrets_of(course).items() for piece in pieces}
    begins: dict[tuple[str, ...], set[int]] = {}
    for piece in secret:
        begins.setdefault(piece[:SHORTEST], set()).add(len(piece))
    code = (course / "secret.txt").read_text("utf-8").strip() if (course / "secret.txt").exists() else ""
    found: dict[tuple[str, str], str] = {}
    for place in places:
        for name, text in opened.texts(place, "__pycache__" if place == PACKAGE else ""):
            if isinstance(text, opened.Unreadable):
                found[name, "unread"] = f"{name}: cannot be searched: it is {text}"
                continue
            theirs = words(text)
            for i in range(len(theirs) - SHORTEST + 1):
                for length in begins.get(tuple(theirs[i : i + SHORTEST]), ()):
                    where = secret.get(tuple(theirs[i : i + length]))
                    if where is not None and (name, where) not in found:
                        found[name, where] = f"{name}: holds `{' '.join(theirs[i : i + length])[:80]}` of {where}"
            if OURS.search(name.removeprefix(str(place.parent))):
                found[name, "name"] = f"{name}: is the teacher's own file"
            if code and code in text:
                found[name, "secret.txt"] = f"{name}: holds the course's secret"
            if ".ipynb" in name:
                found |= {(name, mark): f"{name}: holds the mark {mark!r}" for mark in MARKS if mark in text}
    return list(found.values())


def report(course: Path, more: Sequence[Path] = ()) -> None:
    """Search the releases, the installed package and what else is given; print what was searched, and exit 1 on a find."""
    places = [*sorted((course / "release").glob("*/*.ipynb")), PACKAGE, *more]
    found = search(course, places)
    for sentence in found:
        print(sentence)
    print(
        f"{len(secrets_of(course))} secrets, searched in {', '.join(place.name for place in places)}: {len(found)} found"
    )
    if found:
        sys.exit(1)
