"""Three questions to each student about what this student handed in, with what to listen for: a page for the teacher.

The questions are the teacher's (`graders/oral.py`); the numbers, lines and plots are of the student's own run, which is done again
in a sandbox. The same student gets the same questions each time.
"""

import ast
import html
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from nbformat import NotebookNode

from walkthrough.exercises.check import WRONG
from walkthrough.homework import course as courses
from walkthrough.homework.judge import Judged, judge
from walkthrough.homework.names import check_assignment
from walkthrough.homework.question import LINE, LOOK, NUMBER, Question, described, fields, slow_way
from walkthrough.homework.task import Task, seed_for

KINDS = {NUMBER: "a number of yours", LINE: "a line of yours", LOOK: "what your run showed"}
TELLING = ("@", "softmax", "einsum", "linalg", "kron", "hook", "index", "cumsum", "sigmoid", "return", "for ", "if ")
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{assignment}, {student}: questions</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<style>body {{font: 1rem/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem}}
pre {{background: #8882; padding: .6rem; white-space: pre-wrap; overflow-wrap: anywhere}} img {{max-width: 100%}}
details {{border-left: .25rem solid #8888; padding-left: .8rem}} mark {{padding: 0 .2rem}}</style>
<h1>{assignment}: three questions to {student}</h1>
<p>For the teacher: made from what {student} handed in, run again in a sandbox. Ask for a reason, not for a number.</p>
{questions}
</html>
"""


class Asked(NamedTuple):
    """A question as it is put to one student: its task, what to show, what to ask, what to listen for."""

    label: str
    kind: str
    shown: str
    ask: str
    listen: str


def recorder(task: Task, question: Question) -> tuple[Task, list]:
    """A task that keeps what the student's function answers, on one input and the changed one, and judges nothing."""
    kept: list = []

    def cases(seed: int) -> list[tuple]:
        """The smallest of the task's inputs, and what the question makes of it."""
        first = task.cases(seed)[0]
        return [first, question.change(*first)] if question.change else [first]

    def keep(answer: Any, *inputs: Any) -> None:
        """Keep an answer beside its inputs."""
        kept.append((inputs, answer))

    return Task(task.name, task.points, task.see, cases, judge=keep), kept


def in_order(questions: Sequence[Question], secret: str, assignment: str, student: str) -> list[Question]:
    """The questions in this student's order: one of each kind first, about different tasks where that can be; then the rest."""
    drawn = random.Random(seed_for(secret, student, f"oral {assignment}"))
    left = drawn.sample(list(questions), len(questions))
    first: list[Question] = []
    for kind in KINDS:
        of_kind = [question for question in left if question.kind == kind]
        fresh = [question for question in of_kind if question.label not in {other.label for other in first}]
        first += (fresh or of_kind)[:1]
    return first + [question for question in left if question not in first]


def lines_of(notebook: NotebookNode, name: str) -> list[str]:
    """The lines of a student's own function or value that tell most, the most telling first; none if there is no such thing."""
    for cell in reversed([cell for cell in notebook.cells if cell.cell_type == "code"]):
        try:
            tree = ast.parse(cell.source)
        except (SyntaxError, ValueError, RecursionError):
            continue
        for node in reversed(tree.body):
            if isinstance(node, ast.FunctionDef) and node.name == name:
                statements = [part for part in ast.walk(node) if isinstance(part, (ast.Assign, ast.AugAssign, ast.Return,
                                                                                   ast.For, ast.Expr, ast.If))]  # fmt: skip
                return ranked([text for part in statements if (text := first_line(cell.source, part))])
            value = isinstance(node, ast.Assign) and not (
                isinstance(node.value, ast.Constant) and node.value.value is ...
            )
            if value and any(getattr(target, "id", "") == name for target in node.targets):
                return [ast.get_source_segment(cell.source, node) or ""]
    return []


def first_line(source: str, node: ast.stmt) -> str:
    """A statement as it is written; of one that holds others, its first line. "" for a docstring or a stub."""
    text = ast.get_source_segment(source, node) or ""
    if isinstance(node, (ast.For, ast.If)):
        return text.split("\n", 1)[0]
    stub = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return "" if stub or "NotImplementedError" in text else text


def ranked(lines: list[str]) -> list[str]:
    """Lines by how much is done in them."""
    return sorted(dict.fromkeys(lines), key=lambda text: (-sum(text.count(word) for word in TELLING), -len(text), text))


def asked(question: Question, judged: Judged, release: NotebookNode, task: Task, kept: Sequence) -> Asked | None:
    """The question put to this student, or None if what it is about is not there."""
    put = lambda text, **numbers: text.format(**numbers) if numbers else text
    if question.kind == NUMBER:
        if not kept:
            return None
        (inputs, answer), *more = kept
        numbers = fields(answer, more[0][1] if more else None)
        said = "; ".join(map(described, inputs)) if task.oracle or len(inputs) > 2 else ""
        shown = f"`{task.name}` was called with: {said}" if said else f"`{task.name}`"
        listen = put(question.listen, **numbers)
        if task.oracle is not None:
            listen += f" (The slow way {slow_way(answer, task.oracle(*inputs))}.)"
        return Asked(question.label, question.kind, shown, put(question.ask, **numbers), listen)
    if question.kind == LINE:
        lines = lines_of(judged.notebook, task.name)
        start = "This is yours. Say what each name in it is, and what shape comes out. Then: "
        return Asked(question.label, question.kind, lines[0], start + question.ask, question.listen) if lines else None
    source = next((cell.source for cell in release.cells if cell.get("id") == question.cell), None)
    for cell in judged.notebook.cells:
        if cell.cell_type == "code" and (cell.get("id") == question.cell or (source and cell.source == source)):
            shown = printed(cell)
            return Asked(question.label, question.kind, shown, question.ask, question.listen) if shown else None
    return None


def printed(cell: NotebookNode) -> str:
    """What a cell printed or drew; a picture as `data:image/png;base64,…`. "" if it stopped with an error."""
    if any(output.output_type == "error" for output in cell.outputs):
        return ""
    pictures = [output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {})]
    if pictures:
        return "data:image/png;base64," + "".join(pictures[0].split())
    return "".join(output.text for output in cell.outputs if output.output_type == "stream").strip()


def questions_for(
    file: Path, release: NotebookNode, tasks: Mapping[str, Task], bank: Sequence[Question], secret: str, assignment: str,
    student: str,
) -> list[Asked]:  # fmt: skip
    """Up to three questions to one student. Raises ValueError if nothing was attempted that could be asked about."""
    order = in_order(bank, secret, assignment, student)
    numbers = {}
    for question in order:
        if question.kind == NUMBER and len(numbers) < 2:  # a second one in case that the first cannot be asked
            numbers.setdefault(question.label, question)
    recorders = {label: recorder(tasks[label], question) for label, question in numbers.items()}
    judged = judge(file, release, {label: task for label, (task, _) in recorders.items()}, secret, f"oral {student}")
    found: list[Asked] = []
    for question in order:
        kept = recorders[question.label][1] if numbers.get(question.label) is question else ()
        put = asked(question, judged, release, tasks[question.label], kept)
        if put and len(found) < len(KINDS) and put.shown not in {other.shown for other in found}:
            found.append(put)
    if not any(put.kind in (NUMBER, LINE) for put in found):
        stopped = next((verdict.sentence for verdict in judged.verdicts.values() if verdict.mark == WRONG), "")
        raise ValueError(
            f"{student}: nothing of {assignment} was attempted, or nothing ran {f'({stopped})' if stopped else ''}"
        )
    return found


def page(assignment: str, student: str, found: Sequence[Asked]) -> str:
    """The teacher's page about one student."""
    parts = []
    for number, put in enumerate(found, 1):
        picture = put.shown.startswith("data:image/png;base64,")
        shown = (
            f'<img alt="The student\'s own plot" src="{html.escape(put.shown)}">'
            if picture
            else f"<pre>{html.escape(put.shown)}</pre>"
        )
        parts.append(f"<h2>{number}. {html.escape(put.label)}: {KINDS[put.kind]}</h2>\n{shown}\n<p>{html.escape(put.ask)}</p>\n"
                     f"<details open><summary>Listen for</summary><p>{html.escape(put.listen)}</p></details>")  # fmt: skip
    return PAGE.format(assignment=html.escape(assignment), student=html.escape(student), questions="\n".join(parts))


def write(course: Path, assignment: str, only: str | None = None) -> list[Path]:
    """`course/oral/hw1/STUDENT.html` for each student who handed it in, or for one.

    Raises ValueError, when all others are written, with one sentence for each who cannot be asked anything.
    """
    check_assignment(course, assignment)
    released = course / "release" / assignment / f"{assignment}.ipynb"
    bank = courses.tasks_of(course, "oral").get(assignment) if (course / "graders" / "oral.py").exists() else None
    if not bank:
        raise ValueError(
            f"graders/oral.py has no questions about {assignment}: write some, as it does for other homeworks"
        )
    handed_in = sorted(path.parent.name for path in (course / "submitted").glob(f"*/{assignment}"))
    chosen = [student for student in handed_in if only in (None, student)]
    if not chosen or not released.exists():
        raise ValueError(
            f"{only or 'nobody'} has {'not ' if only else ''}handed in {assignment}, or it was never released"
        )
    release, tasks = nbformat.read(released, 4), courses.tasks_of(course, assignment)
    secret = (course / "secret.txt").read_text(encoding="utf-8").strip()
    made, missed = [], []
    for student in chosen:
        file = course / "submitted" / student / assignment / f"{assignment}.ipynb"
        try:
            found = questions_for(file, release, tasks, bank, secret, assignment, student)
        except ValueError as reason:
            missed.append(str(reason))
            continue
        target = course / "oral" / assignment / f"{student}.html"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page(assignment, student, found), encoding="utf-8")
        made.append(target)
    if missed:
        raise ValueError("\n".join([*map(str, made), *missed]))
    return made
