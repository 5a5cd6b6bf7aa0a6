"""How long the course takes, counted from its notebooks; `python tests/homework/minutes.py` writes the
guide's table and its syllabus."""

import re
from pathlib import Path

import nbformat

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
GUIDE = NOTEBOOKS / "instructors_guide.md"
BEGIN, END = "<!-- made by tests/homework/minutes.py -->", "<!-- end of minutes -->"
PLAN_BEGIN, PLAN_END = "<!-- syllabus, made by tests/homework/minutes.py -->", "<!-- end of syllabus -->"
WORDS_A_MINUTE, LINES_A_MINUTE = 130, 10
PLAN = (  # what is done in each week, and what a student can do afterwards; two make one of a course at twice the pace
    ("00 01", "name every matrix of a model with its shape; write its logits as a sum of parts; say what a change of basis leaves"),
    ("02", "read a bigram table off the weights, and say what a narrow stream costs"),
    ("03 hw1", "split a head into QK and OV; freeze patterns; tell what the two circuits decide"),
    ("04", "expand a one-layer model into paths; find skip-trigrams in the weights, and test them against a baseline"),
    ("05 hw2", "tell by its eigenvalues whether a head copies, beside a fair chance level; say what one number misses"),
    ("06", "say what one factored head cannot express, find such bugs, and say in nats what they cost"),
    ("07 hw3", "measure which heads read which, beside chance; find the error in a published figure"),
    ("08", "find induction heads by what they do; tell them from a fake; say what they are good for"),
    ("09", "explain an induction head by weights and by interventions; build one by hand"),
    ("hw4", "mend a published program; patch one path of a running model"),
    ("10", "say which paths of a model matter, in nats"),
    ("hw5", "investigate a model that nobody has explained, and prove the finding"),
    ("11", "train a model whose induction heads form while one looks on; say which choices that needs, with spread"),
    ("12", "say what forms first in training, by a rule stated before looking"),
    ("13", "tell causes from company: change one thing, and see whether the heads still form"),
    ("14", "fold LayerNorm into the weights; say what an MLP adds, and how many of its neurons can be read"),
    ("15 16", "say when features share directions, what it costs, what is known of it; compare two frameworks by one protocol"),
    ("17", "write a layer as a step along a force; say how fast tokens cluster, and which theorem says nothing at real sizes"),
    ("18", "write a head as a force; report predictions that fail, beside baselines; say what the particle view does not see"),
    ("19", "find a preference in weights and remove it by the smallest edit; foresee a weakness; test an explanation; count false discoveries"),
    ("hw6", "edit a head by as little as possible; foretell a prompt; say what would refute an explanation"),
    ("20", "take a released model apart exactly; find its induction heads by three methods; say which conclusions of small models do not hold there"),
)  # fmt: skip


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


def homeworks() -> list[Path]:
    """The homeworks, in order."""
    return sorted((NOTEBOOKS / "homework").glob("hw*.ipynb"))


def stated(file: Path) -> int:
    """The minutes that a homework states."""
    return int(re.search(r"Minutes: (\d+)", nbformat.read(file, 4).cells[0].source)[1])


def table() -> str:
    """One row for each notebook and each homework."""
    rows = ["| part | read | run and look | exercises | in all |", "|---|---|---|---|---|"]
    for file in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        parts = minutes(file)
        rows.append(f"| `{file.stem}` | {parts[0]} | {parts[1]} | {parts[2]} | **{sum(parts)}** |")
    rows += [f"| `homework/{file.stem}` | | | | **{stated(file)}** |" for file in homeworks()]
    return "\n".join(rows)


def whole_course() -> dict[str, int]:
    """Minutes of every part: notebooks by their number, homeworks by their name."""
    notebooks = {file.stem[:2]: sum(minutes(file)) for file in sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))}
    return notebooks | {file.stem: stated(file) for file in homeworks()}


def syllabus() -> str:
    """The plan, with the hours of each week, for as many weeks as it has parts and for half as many."""
    each = whole_course()
    long = [sum(each[part] for part in parts.split()) / 60 for parts, _ in PLAN]
    short = [first + second for first, second in zip(long[::2], long[1::2])]
    rows = [
        f"The whole course takes about {sum(long):.0f} hours, homework included. In {len(short)} weeks, each takes "
        f"{min(short):.1f} to {max(short):.1f} hours; in {len(long)}, {min(long):.1f} to {max(long):.1f}.",
        "",
        f"| {len(short)} weeks | {len(long)} weeks | do | hand in | goals: afterwards a student can |",
        "|---|---|---|---|---|",
    ]
    for week, ((parts, goal), hours) in enumerate(zip(PLAN, long)):
        pair = f"{week // 2 + 1} ({short[week // 2]:.1f} h)" if week % 2 == 0 else ""
        do, hand_in = ([part for part in parts.split() if part.startswith("hw") == kind] for kind in (False, True))
        rows.append(f"| {pair} | {week + 1} ({hours:.1f} h) | {', '.join(do)} | {', '.join(hand_in)} | {goal} |")
    return "\n".join(rows)


def into_guide(begin: str, end: str, text: str) -> None:
    """Put a text between two marks of the guide."""
    before, _, rest = GUIDE.read_text("utf-8").partition(begin)
    after = rest.partition(end)[2]
    GUIDE.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    into_guide(BEGIN, END, table())
    into_guide(PLAN_BEGIN, PLAN_END, syllabus())
