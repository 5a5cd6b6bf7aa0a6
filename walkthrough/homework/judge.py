"""One submission, judged: what was handed in is run in a sandbox, and its answers are marked out here.

The result is a notebook in which each test cell holds the verdict; nbgrader reads its marks off these cells.
"""

import copy
import textwrap
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from walkthrough.exercises.check import NOT_ATTEMPTED, RIGHT, WRONG, Verdict
from walkthrough.homework.restoring import grade_id, restored
from walkthrough.homework.sandbox import Gone, Sandbox
from walkthrough.homework.task import Task, seed_for, verdict

LARGEST_FILE = 20 * 2**20  # bytes
CELL_SECONDS, CALL_SECONDS, ALL_SECONDS = 60.0, 30.0, 600.0
RESTARTS = 4


@dataclass
class Judged:
    """The notebook for nbgrader, the verdict on each task, and what went wrong around them, in sentences."""

    notebook: NotebookNode
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def read_submission(file: Path) -> NotebookNode:
    """The notebook that was handed in. Raises ValueError, with a sentence for the student, for what is not one."""
    if not file.exists():
        raise ValueError("no notebook was handed in")
    if file.is_symlink() or not file.is_file():
        raise ValueError("what was handed in is not a plain file")
    size = file.stat().st_size
    if size == 0:
        raise ValueError("the file that was handed in is empty")
    if size > LARGEST_FILE:
        raise ValueError(f"the file is {size / 2**20:.0f} MB large, and at most {LARGEST_FILE // 2**20} MB are read")
    try:
        notebook = nbformat.reads(file.read_text("utf-8"), as_version=4)
        for cell in notebook.cells:
            cell.source, cell.cell_type = str(cell.source), str(cell.cell_type)
            cell.metadata.get("nbgrader", {}).get("grade_id")
    except Exception as error:
        raise ValueError("the file is not a notebook: save it in JupyterLab and hand it in again") from error
    return notebook


class Run:
    """A submission's own code, in a sandbox that is started anew without the cells that ended it."""

    def __init__(self, notebook: NotebookNode):
        self.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        self.number = {id(cell): i for i, cell in enumerate(notebook.cells, 1)}
        self.left_out: set[int] = set()
        self.remarks: list[str] = []
        self.restarts, self.deadline = 0, time.monotonic() + ALL_SECONDS
        self.box: Sandbox | None = Sandbox()
        self.run_cells()

    def run_cells(self) -> None:
        """Every cell in order; one that ends the process is left out, and all others are run again."""
        for cell in self.cells:
            if id(cell) in self.left_out or self.box is None:
                continue
            try:
                reply = self.ask({"cell": cell.source}, CELL_SECONDS)
            except Gone as gone:
                self.left_out.add(id(cell))
                cell.outputs = [error_output("Stopped", f"{gone}; this cell was left out")]
                self.remarks.append(f"cell {self.number[id(cell)]}: {gone}; it was left out")
                return self.again()
            tested = grade_id(cell) and cell.metadata.nbgrader.grade
            if not tested:
                cell.outputs = well_formed(reply.get("outputs"))

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
        return self.box.ask(request, max(0.1, min(seconds, self.deadline - time.monotonic())))

    def attempt(self, name: str) -> Any:
        """What the submission calls by this name: a value, or a function that is called in the sandbox.

        Raises LookupError if there is no such name, and Gone.
        """
        reply = self.ask({"name": name}, CALL_SECONDS)
        if "missing" in reply:
            raise LookupError(name)
        if not reply.get("callable"):
            return value_of(reply)
        return lambda *inputs: value_of(self.ask({"call": name, "inputs": list(inputs)}, CALL_SECONDS))


def value_of(reply: dict[str, Any]) -> Any:
    """The value in a reply; an error in it is raised, under its own name."""
    if "error" in reply:
        name = str(reply["error"])[:60]
        if name == "NotImplementedError":
            raise NotImplementedError
        raise type(name if name.isidentifier() else "Error", (Exception,), {})(str(reply.get("message", ""))[:500])
    return reply.get("value")


def well_formed(outputs: Any) -> list[NotebookNode]:
    """The outputs that a notebook may hold; the sandbox's word is not taken for it."""
    kept = []
    for output in outputs if isinstance(outputs, list) else []:
        try:
            node = nbformat.from_dict(output)
            nbformat.validate(node, ref="output", version=4)
            if node.output_type == "display_data":  # no scripts in the teacher's browser
                node.data = {kind: node.data[kind] for kind in ("text/plain", "image/png") if kind in node.data}
            kept.append(node)
        except Exception:
            continue
    return kept


def error_output(name: str, sentence: str) -> NotebookNode:
    """An error as notebooks store it: nbgrader gives no points to a cell that holds one."""
    shown = textwrap.fill(f"{name} {sentence}", 90)  # feedback pages do not wrap lines
    return nbformat.v4.new_output("error", ename=name, evalue=sentence, traceback=[shown])


def verdict_on(run: Run, task: Task, seed: int) -> Verdict:
    """The verdict on one task; whatever the submission answers, there is one."""
    try:
        return verdict(task, run.attempt(task.name), seed, copied=tuple)
    except LookupError:
        sentence = f"there is no `{task.name}` after your notebook has run: did its cell stop, or was it renamed?"
    except Gone as gone:
        sentence = f"your code was stopped: {gone}"
    except Exception as error:
        sentence = f"your answer could not be judged ({type(error).__name__}): is it of the form that was asked for?"
    return Verdict(WRONG, f"{sentence} (see {task.see})")


def unjudged(release: NotebookNode, tasks: Mapping[str, Task], reason: str) -> Judged:
    """What stands for a submission that could not be run at all: no points, and the reason at every task."""
    judged = Judged(copy.deepcopy(release), remarks=[reason])
    for cell in judged.notebook.cells:
        if grade_id(cell) in tasks:
            judged.verdicts[grade_id(cell)] = Verdict(WRONG, reason)
            cell.outputs = [error_output(WRONG, reason)]
    return judged


def judge(file: Path, release: NotebookNode, tasks: Mapping[str, Task], secret: str = "", student: str = "") -> Judged:
    """Judge a file that was handed in for an assignment; the inputs depend on the course's secret and the student."""
    try:
        notebook, remarks = restored(read_submission(file), release)
    except ValueError as reason:
        return unjudged(release, tasks, str(reason))
    run = Run(notebook)
    judged = Judged(notebook, remarks=remarks)
    for cell in notebook.cells:
        label = grade_id(cell)
        if label not in tasks:
            continue
        result = verdict_on(run, tasks[label], seed_for(secret, student, label))
        if run.box is not None and run.box.process.poll() is not None:  # this task ended it: the next gets a new one
            run.again()
        judged.verdicts[label] = result
        text = f"{label} {result.mark} {result.sentence}"
        right = result.mark == RIGHT
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)] if right else [
            error_output(f"{label} {result.mark}", result.sentence)
        ]  # fmt: skip
    judged.remarks += run.remarks
    if run.box is not None:
        run.box.close()
    if all(result.mark == NOT_ATTEMPTED for result in judged.verdicts.values()):
        judged.remarks.append("nothing was attempted")
    return judged
