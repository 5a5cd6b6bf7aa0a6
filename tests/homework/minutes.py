"""How long the course takes, counted from its notebooks; `python tests/homework/minutes.py` writes the guide's table."""

import re
from pathlib import Path

import nbformat

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
GUIDE = NOTEBOOKS / "instructors_guide.md"
BEGIN, END = "<!-- made by tests/homework/minutes.py -->", "<!-- end of minutes -->"
WORDS_A_MINUTE, LINES_A_MINUTE = 130, 10


def minutes(file: Path) -> tuple[int, int, int]:
    """Of one notebook of the course: minutes to read, minutes to run cells and look, minutes that its exercises state.

    What is folded, hints, solutions and answers, is not counted: the exercises' minutes are theirs too.
    """
    cells = nbformat.read(file, 4).cells
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    stated = re.findall(r"\*\*Exercises? [\d.]+( and [\d.]+)?(?:: [^*]+)?\*\* \((?:\w+, )?(\d+) minutes", prose)
    exercises = sum(int(minutes) * (2 if second else 1) for second, minutes in stated)
    words = len(re.sub(r"<details>.*?</details>", "", prose, flags=re.DOTALL).split())
    seen = [cell for cell in cells if cell.cell_type == "code" and "hide-input" not in cell.metadata.get("tags", [])]
    lines = sum(len(cell.source.splitlines()) for cell in seen)
    return round(words / WORDS_A_MINUTE), round(lines / LINES_A_MINUTE), exercises


def table() -> str:
    """One row for each notebook and each homework."""
    rows = ["| part | read | run and look | exercises | in all |", "|---|---|---|---|---|"]
    for file in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        parts = minutes(file)
        rows.append(f"| `{file.stem}` | {parts[0]} | {parts[1]} | {parts[2]} | **{sum(parts)}** |")
    for file in sorted((NOTEBOOKS / "homework").glob("hw*.ipynb")):
        stated = re.search(r"Minutes: (\d+)", nbformat.read(file, 4).cells[0].source)[1]
        rows.append(f"| `homework/{file.stem}` | | | | **{stated}** |")
    return "\n".join(rows)


def into_guide(begin: str, end: str, text: str) -> None:
    """Put a text between two marks of the guide."""
    before, _, rest = GUIDE.read_text("utf-8").partition(begin)
    after = rest.partition(end)[2]
    GUIDE.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    into_guide(BEGIN, END, table())
