"""Is anything of a solution, a hidden test or a mark scheme in what students get? Searched, not promised."""

import re
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat

RUN = 25  # words and signs in a row that are alike by more than chance
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
    """What must not be found: solutions, hidden tests, model answers, graders; by where each stands."""
    kept: dict[str, set[tuple[str, ...]]] = {}
    for file in sorted((course / "source").glob("*/*.ipynb")):
        for cell in nbformat.read(file, 4).cells:
            mark = cell.metadata.get("nbgrader", {})
            parts = between(cell.source, "BEGIN SOLUTION", "END SOLUTION")
            parts += between(cell.source, "BEGIN HIDDEN TESTS", "END HIDDEN TESTS")
            if mark.get("solution") and mark.get("grade"):
                parts.append(cell.source)
            for part in parts:
                if len(words(part)) > 3:
                    kept.setdefault(f"{file.name}, cell {mark.get('grade_id')}", set()).update(runs(part))
    for file in sorted((course / "graders").glob("*.py")):
        code = "\n".join(
            line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith(("import ", "from "))
        )
        kept[f"graders/{file.name}"] = runs(code)
    return kept


def texts(place: Path) -> Iterator[tuple[str, str]]:
    """Every text in a file, a folder or a wheel: its name, and what it says. Weights (numbers only) are not opened."""
    if zipfile.is_zipfile(place):
        with zipfile.ZipFile(place) as archive:
            for name in archive.namelist():
                if name.endswith(".safetensors"):
                    continue
                yield f"{place.name}: {name}", readable(name, archive.read(name))
        return
    for file in [place] if place.is_file() else sorted(place.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".safetensors":
            yield str(file), readable(file.name, file.read_bytes())


def readable(name: str, data: bytes) -> str:
    """The text of a file; of a notebook twice: all that is stored, outputs and metadata too, and the cells by themselves."""
    text = data.decode("utf-8", errors="ignore")
    if not name.endswith(".ipynb"):
        return text
    return text.replace("\\n", "\n").replace('\\"', '"') + "\n".join(x.source for x in nbformat.reads(text, 4).cells)


def search(course: Path, places: Sequence[Path]) -> list[str]:
    """One sentence for each thing found that students must not get."""
    secret = {piece: where for where, pieces in secrets_of(course).items() for piece in pieces}
    lengths = sorted({len(piece) for piece in secret})
    found = {}
    for place in places:
        for name, text in texts(place):
            theirs = words(text)
            for length in lengths:
                for i in range(len(theirs) - length + 1):
                    where = secret.get(tuple(theirs[i : i + length]))
                    if where is not None:
                        found[name, where] = f"{name}: holds `{' '.join(theirs[i : i + length])[:80]}` of {where}"
            if name.endswith(".ipynb"):
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
