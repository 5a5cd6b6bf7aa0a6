"""One submission, judged: what was handed in is run in a sandbox, and its answers are marked out here.

The result is a notebook in which each test cell holds the verdict; nbgrader reads its marks off these cells.
"""

import contextlib
import copy
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from walkthrough.exercises.check import NOT_ATTEMPTED, RIGHT, WRONG, Verdict
from walkthrough.homework.believed import error_output, noted, well_formed
from walkthrough.homework.copies import best_of_copies
from walkthrough.homework.handed_in import asked, check_is, read_submission
from walkthrough.homework.reasons import COMES_FROM, defined, form, hint, missing, plain
from walkthrough.homework.restoring import grade_id, restored
from walkthrough.homework.sandbox import Gone, Sandbox
from walkthrough.homework.task import Task, seed_for, verdict

CELL_SECONDS, CALL_SECONDS, ALL_SECONDS = 120.0, 30.0, 600.0  # of the clock
COMPUTING = 60.0  # seconds of processor time for a cell, however busy the machine is with other things
RESTARTS = 4


@dataclass
class Judged:
    """The notebook for nbgrader, the verdict on each task, and what went wrong around them, in sentences."""

    notebook: NotebookNode
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    asked: dict[str, str] = field(default_factory=dict)

    def called(self, label: str) -> str:
        """A task by its label and by what it asks."""
        return f"{label} “{self.asked[label]}”" if self.asked.get(label) else label


class Missing(BaseException):
    """There is no such name in the notebook. (Not a LookupError, of which a judgement has its own.)"""


class Unmarked(BaseException):
    """There is no answer to mark; the message is the sentence for it. No check takes it for an error of the student's."""


class Run:
    """A submission's own code, in a sandbox that is started anew without the cells that ended it.

    `stops` tells of each cell, by its id(), what ended it, if anything did.
    """

    def __init__(self, notebook: NotebookNode):
        self.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        self.number = {id(cell): i for i, cell in enumerate(notebook.cells, 1)}
        self.left_out: set[int] = set()
        self.stops: dict[int, dict[str, Any]] = {}
        self.remarks: list[str] = []
        self.answer: Any = None
        self.restarts, self.deadline = 0, time.monotonic() + ALL_SECONDS
        self.box: Sandbox | None = Sandbox()
        self.run_cells()

    def run_cells(self) -> None:
        """Every cell in order; one that ends the process is left out, and all others are run again."""
        for cell in self.cells:
            tested = grade_id(cell) and cell.metadata.nbgrader.grade
            if tested and self.box is not None:
                self.keep(cell)
            if id(cell) in self.left_out or self.box is None:
                continue
            try:
                reply = self.ask({"cell": cell.source}, CELL_SECONDS)
            except Gone as gone:
                self.left_out.add(id(cell))
                self.stops[id(cell)] = {"gone": str(gone)}
                cell.outputs = [error_output("Stopped", f"{gone}; this cell was left out")]
                self.remarks.append(f"cell {self.number[id(cell)]}: {gone}; it was left out")
                return self.again()
            self.stops.pop(id(cell), None)
            if isinstance(reply.get("stopped"), dict):
                self.stops[id(cell)] = reply["stopped"]
            for remark in noted(reply.get("notes")):
                if (said := f"cell {self.number[id(cell)]}: {remark}") not in self.remarks:
                    self.remarks.append(said)
            if not tested:
                cell.outputs = well_formed(reply.get("outputs"))
                self.keep(cell)

    def keep(self, cell: NotebookNode) -> None:
        """Have the sandbox remember what stands now, under the name of an answer (behind it) or of a test (before it)."""
        if grade_id(cell) and self.box is not None:
            with contextlib.suppress(Gone):  # what ended it shows at the next request
                self.ask({"keep": grade_id(cell)}, CALL_SECONDS)

    def alive(self) -> None:
        """Start anew if a call has ended the process: the next is not to pay for it."""
        if self.box is not None and self.box.process.poll() is not None:
            self.again()

    def replaced(self, name: str, place: str, than: str | None = None) -> bool:
        """Whether something of this name, or what it uses, stood at a place and is another now (or at a second place)."""
        try:
            return self.ask({"replaced": name, "at": place, "than": than}, CALL_SECONDS).get("replaced") is True
        except Gone:
            return False

    def again(self) -> None:
        """A fresh process, unless this has been tried too often."""
        self.restarts += 1
        if self.restarts > RESTARTS or time.monotonic() > self.deadline:
            self.box = None
            self.remarks.append(f"the notebook was given up after {self.restarts} stops")
            return
        self.box = Sandbox()
        self.run_cells()

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The sandbox's answer, within the time that is left. Raises Gone."""
        if self.box is None:
            raise Gone("the notebook was given up before, because its process ended again and again")
        request |= {"computing": COMPUTING}
        return self.box.ask(request, max(0.1, min(seconds, self.deadline - time.monotonic())))

    def attempt(self, name: str, at: str | None = None) -> Any:
        """What the submission calls by this name, or called so at a place: a value, or a function, called in the sandbox.

        Raises Missing if there is no such name, and Unmarked.
        """
        self.answer = None
        reply = self.of({"name": name, "at": at}, name)
        if "missing" in reply and reply.get("package"):
            raise Unmarked(f"there is no `{name}`: it {COMES_FROM.format(plain(reply['package']))}")
        if "missing" in reply:
            raise Missing(name)
        if not reply.get("callable"):
            return self.value(reply)
        return lambda *inputs: self.value(self.of({"call": name, "inputs": list(inputs), "at": at}, name))

    def of(self, request: dict[str, Any], name: str) -> dict[str, Any]:
        """A reply that holds an answer or its error. Raises Unmarked for none, and for what no answer can be."""
        try:
            reply = self.ask(request, CALL_SECONDS)
        except Gone as gone:
            raise Unmarked(f"your code was stopped: {gone}") from gone
        if "form" in reply:
            raise Unmarked(plain(reply["form"], 200))
        if reply.get("error") == "StdinNotImplementedError":
            raise Unmarked(f"`{name}` calls input(), and nobody is there to type when homework is marked")
        return reply

    def value(self, reply: dict[str, Any]) -> Any:
        """The value in a reply; an error in it is raised, under its own name."""
        if "error" in reply:
            name = plain(reply["error"], 60)
            if name == "NotImplementedError":
                raise NotImplementedError
            message = plain(reply.get("message", ""), 500) + hint(reply)
            raise type(name if name.isidentifier() else "Error", (Exception,), {})(message)
        self.answer = reply.get("value")
        return self.answer


def verdict_on(run: Run, task: Task, label: str, seed: int, others: set[str], at: str | None = None) -> Verdict:
    """The verdict on one task, at the end or at a place; whatever the submission answers, there is one."""
    try:
        return verdict(task, run.attempt(task.name, at), seed, copied=tuple)
    except Missing:
        sentence = missing(label, task.name, run.cells, run.stops, others - {task.name})
    except Unmarked as unmarked:
        sentence = str(unmarked)
    except Exception:
        sentence = f"your answer is {form(run.answer)}, and that is not of the form that was asked for"
    return Verdict(WRONG, f"{sentence} (see {task.see})")


def unjudged(release: NotebookNode, tasks: Mapping[str, Task], reason: str) -> Judged:
    """What stands for a submission that could not be run at all: no points, and the reason at every task."""
    judged = Judged(copy.deepcopy(release), remarks=[reason], asked=asked(release, tasks))
    for cell in judged.notebook.cells:
        if grade_id(cell) in tasks:
            judged.verdicts[grade_id(cell)] = Verdict(WRONG, reason)
            cell.outputs = [error_output(f"{judged.called(grade_id(cell))} {WRONG}", reason)]
    return judged


def judge(file: Path, release: NotebookNode, tasks: Mapping[str, Task], secret: str = "", student: str = "") -> Judged:
    """Judge a file that was handed in for an assignment; the inputs depend on the course's secret and the student."""
    try:
        submission = read_submission(file)
        check_is(submission, release, tasks)
    except ValueError as reason:
        return unjudged(release, tasks, str(reason))
    notebook, remarks = restored(submission, release)
    run = Run(notebook)
    judged = Judged(notebook, remarks=remarks, asked=asked(release, tasks))
    others = {task.name for task in tasks.values()} | {name for cell in release.cells for name in defined(cell.source)}
    for cell in notebook.cells:
        label = grade_id(cell)
        if label not in tasks:
            continue
        judged_at = partial(verdict_on, run, tasks[label], label, seed_for(secret, student, label), others)
        result, remark = best_of_copies(run, tasks[label].name, label, judged_at)
        run.remarks += remark
        judged.verdicts[label] = result
        text = f"{judged.called(label)} {result.mark} {result.sentence}"
        right = result.mark == RIGHT
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)] if right else [
            error_output(f"{judged.called(label)} {result.mark}", result.sentence)
        ]  # fmt: skip
    judged.remarks += run.remarks
    if run.box is not None:
        run.box.close()
    if all(result.mark == NOT_ATTEMPTED for result in judged.verdicts.values()):
        judged.remarks.append("nothing was attempted")
    return judged
