"""What is solved, from the verdicts that saved notebooks hold: `python -m walkthrough.progress` prints it.

It reads the notebooks of a folder (by default `notebooks`, or the one it is started in), the course's or a practice's.
"""

import argparse
import html
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat

from walkthrough.marks import NOT_ATTEMPTED, RIGHT, WRONG

ASKED = re.compile(r'^check\("([^"]+)"', re.MULTILINE)
ANSWERED = re.compile(rf"^(\S+) ([{RIGHT}{WRONG}{NOT_ATTEMPTED}]) (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Line:
    """One exercise or task: where it is asked, its label, and the last verdict on it that was saved."""

    notebook: str
    label: str
    mark: str
    sentence: str


def read(folder: Path) -> list[Line]:
    """Every exercise and task of the notebooks in a folder. Raises ValueError if there is none."""
    lines = []
    for file in sorted(folder.glob("*.ipynb")):
        for cell in nbformat.read(file, 4).cells:
            text = "\n".join(output.get("text", "") for output in cell.get("outputs", []))
            verdicts = {label: (mark, sentence) for label, mark, sentence in ANSWERED.findall(text)}
            for label in ASKED.findall(cell.source) if cell.cell_type == "code" else ():
                lines.append(Line(file.name, label, *verdicts.get(label, (NOT_ATTEMPTED, "not run yet"))))
    if not lines:
        raise ValueError(f"no notebook in {folder} asks anything: give the folder of the notebooks, or of the practice")
    return lines


PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Progress</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<style>body {{font: 1rem/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem}}
table {{border-collapse: collapse; width: 100%}} td, th {{text-align: left; padding: .2rem .8rem .2rem 0;
border-bottom: 1px solid #8884; vertical-align: top}} progress {{width: 100%}}</style>
<h1>Progress</h1><p><b>{solved} of {asked}</b> solved, as the notebooks were last run and saved.</p>
<progress aria-label="solved" max="{asked}" value="{solved}"></progress>
{tables}
</html>
"""


def page(lines: list[Line]) -> str:
    """The page: one table for each notebook, one row for each exercise."""
    tables = []
    for notebook in dict.fromkeys(line.notebook for line in lines):
        own = [line for line in lines if line.notebook == notebook]
        solved = sum(line.mark == RIGHT for line in own)
        rows = "\n".join(
            f"<tr><td>{html.escape(line.label)}<td>{line.mark}<td>{html.escape(line.sentence)}" for line in own
        )
        name = html.escape(notebook.removesuffix(".ipynb"))
        tables.append(f'<h2><a href="{html.escape(notebook)}">{name}</a>: {solved} of {len(own)}</h2>\n<table>\n'
                      f"<tr><th>exercise<th><th>verdict\n{rows}\n</table>")  # fmt: skip
    solved = sum(line.mark == RIGHT for line in lines)
    return PAGE.format(solved=solved, asked=len(lines), tables="\n".join(tables))


def write_page(folder: Path) -> Path:
    """Write `progress.html` into the folder of the notebooks, and return its path."""
    file = folder / "progress.html"
    file.write_text(page(read(folder)), encoding="utf-8")
    return file


def summary(lines: list[Line]) -> str:
    """One line for each notebook, its marks and how many are right; then what to go on with."""
    names = list(dict.fromkeys(line.notebook for line in lines))
    width, rows = max(map(len, names)), []
    for name in names:
        marks = [line.mark for line in lines if line.notebook == name]
        rows.append(f"{name:{width}}  {marks.count(RIGHT)} of {len(marks)}  {' '.join(marks)}")
    solved = sum(line.mark == RIGHT for line in lines)
    rows.append(f"{solved} of {len(lines)} solved, as the notebooks were last run and saved ({RIGHT} right, {WRONG} wrong, "
                f"{NOT_ATTEMPTED} not attempted)")  # fmt: skip
    if first := next((line for line in lines if line.mark != RIGHT), None):
        rows.append(f"next: {first.label} in {first.notebook}: {first.sentence}")
    return "\n".join(rows)


def main() -> None:
    """The command line: the folder of the notebooks, and whether to write a page as well."""
    parser = argparse.ArgumentParser(prog="python -m walkthrough.progress", description="What is solved so far.")
    here = Path("notebooks") if Path("notebooks").is_dir() else Path()
    parser.add_argument("folder", type=Path, nargs="?", default=here, help="where the notebooks are")
    parser.add_argument("--page", action="store_true", help="also write progress.html there")
    arguments = parser.parse_args()
    sys.stdout.reconfigure(errors="replace")  # a locale may know no ✓
    try:
        print(summary(read(arguments.folder)))
    except ValueError as refusal:
        parser.exit(1, f"{refusal}\n")
    if arguments.page:
        print(write_page(arguments.folder))


if __name__ == "__main__":
    main()
