"""Three questions to each student about what this student handed in, with what to listen for: a page for the teacher.

The questions are the teacher's (`graders/oral.md`); the numbers, lines and plots are of the student's own run, which is done again
in a sandbox. The same student gets the same questions each time.
"""

import contextlib
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
from walkthrough.homework.own_code import lines_of, parameters
from walkthrough.homework.question import LINE, LOOK, NUMBER, Question, described, fields, right_one
from walkthrough.homework.task import Task, seed_for

KINDS = {NUMBER: "a number of yours", LINE: "a line of yours", LOOK: "what your run showed"}
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
    """A question as it is put to one student: its task, what to show, what to ask, what to listen for; what `shown` is part of."""

    label: str
    kind: str
    shown: str
    ask: str
    listen: str
    whole: str = ""


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


def about_number(question: Question, task: Task, kept: Sequence, names: Sequence[str]) -> Asked:
    """A question about what the student's function answered, and what a right one does."""
    (inputs, answer), *more = kept
    numbers = fields(answer, more[0][1] if more else None, question.first)
    given = [f"\n  {name}: {described(value, question.shows_all)}" for name, value in zip(names, inputs)]
    shown = f"{task.name} was called with{''.join(given)}" if given else task.name
    if question.shows_all:
        shown += f"{chr(10) + 'and returned' if given else ':'}{described(answer, full=True)}"
    listen = question.listen.format(**numbers)
    if task.oracle is not None:
        listen += f" (A right answer {right_one(answer, task.oracle(*inputs), question.first)}.)"
    if question.also:
        with contextlib.suppress(TypeError, ValueError, RuntimeError, LookupError):  # an answer of another form
            listen += f" ({question.also(answer, *inputs)})"
    return Asked(question.label, question.kind, shown, question.ask.format(**numbers), listen)


def asked(question: Question, judged: Judged, release: NotebookNode, task: Task, kept: Sequence) -> Asked | None:
    """The question put to this student, or None if what it is about is not there."""
    if question.kind == NUMBER:
        return about_number(question, task, kept, parameters(release, task.name)) if kept else None
    if question.kind == LINE:
        lines, whole = lines_of(judged.notebook, task.name)
        start = "Say of the marked line what each name in it is and, if it makes something, of what shape. Then: "
        ask = start * bool(whole) + question.ask
        return Asked(question.label, question.kind, lines[0], ask, question.listen, whole) if lines else None
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
            found.append(put._replace(label=judged.called(put.label)))
    if not any(put.kind in (NUMBER, LINE) for put in found):
        stopped = next((verdict.sentence for verdict in judged.verdicts.values() if verdict.mark == WRONG), "")
        raise ValueError(
            f"{student}: nothing of {assignment} was attempted, or nothing ran" + f" ({stopped})" * bool(stopped)
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
            else f"<pre>{marked(put)}</pre>"
        )
        parts.append(f"<h2>{number}. {html.escape(put.label)}: {KINDS[put.kind]}</h2>\n{shown}\n<p>{html.escape(put.ask)}</p>\n"
                     f"<details open><summary>Listen for</summary><p>{html.escape(put.listen)}</p></details>")  # fmt: skip
    return PAGE.format(assignment=html.escape(assignment), student=html.escape(student), questions="\n".join(parts))


def marked(put: Asked) -> str:
    """What is shown, as HTML: a line within its function, where there is one."""
    before, line, after = map(html.escape, (put.whole or put.shown).partition(put.shown))
    return f"{before}<mark>{line}</mark>{after}" if put.whole else line


def write(course: Path, assignment: str, only: str | None = None) -> list[Path]:
    """`course/oral/hw1/STUDENT.html` for each student who handed it in, or for one.

    Raises ValueError, when all others are written, with one sentence for each who cannot be asked anything.
    """
    check_assignment(course, assignment)
    released = course / "release" / assignment / f"{assignment}.ipynb"
    bank = courses.tasks_of(course, "oral").get(assignment) if (course / "graders" / "oral.py").exists() else None
    if not bank:
        raise ValueError(
            f"graders/oral.md has no questions about {assignment}: write some, as it does for other homeworks"
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
