"""Is the grader right? Every right and wrong answer that we wrote, judged; `python tests/homework/proof.py` writes the
table of it into the instructor's guide."""

import copy
import importlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import minutes
import torch
from torch import Tensor

ROOT = Path(__file__).parents[2]
GUIDE = minutes.GUIDE
BEGIN, END = "<!-- made by tests/homework/proof.py -->", "<!-- end -->"
NUMBERS = (1, 2, 3, 4, 5, 6)
SEED = 11
RECEIVED: dict[bytes, list] = {}  # inputs as a submission gets them, by the message that brought them
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT / "notebooks" / "homework"), str(Path(__file__).parent)]


@dataclass(frozen=True)
class Outcome:
    """One answer: to which task, by which name, right or what it should hear; and the verdict it got."""

    label: str
    name: str
    expected: str | None
    mark: str
    sentence: str

    @property
    def as_it_should_be(self) -> bool:
        """A right answer is accepted, and a wrong one hears what it should."""
        if self.expected is None:
            return self.mark == "✓"
        return self.mark == "✗" and self.sentence.startswith(self.expected)


def double(value: Any) -> Any:
    """The same input in float64: tensors, models, and what holds them."""
    if isinstance(value, Tensor):
        return value.double() if value.is_floating_point() else value
    if isinstance(value, list | tuple):
        return type(value)(double(item) for item in value)
    if isinstance(value, dict):
        return {key: double(item) for key, item in value.items()}
    return copy.deepcopy(value).double() if hasattr(value, "original_model") else value


def answers(number: int) -> tuple[dict[str, list], dict[str, list]]:
    """Right and wrong answers to one homework."""
    module = importlib.import_module(f"answers_hw{number}")
    return module.RIGHT, module.WRONG


def name_of(answer: Any) -> str:
    """What an answer is called."""
    return getattr(answer, "__name__", repr(answer))


def sent(answer: Any) -> Any:
    """An answer whose inputs and outputs go by the same messages as those of a submission in its sandbox."""
    from walkthrough.homework import wire

    if not callable(answer):
        return wire.unpack(wire.pack(answer))

    def call(*inputs):
        message = wire.pack(list(inputs), ours=True)
        received = RECEIVED.pop(message, None) or wire.unpack(message, ours=True)
        answered = wire.unpack(wire.pack(answer(*received)))
        if wire.pack(received, ours=True) == message and not hooked(received):
            RECEIVED[message] = received  # untouched: the next answer may have it, and a model need not be built again
        return answered

    return call


def hooked(value: Any) -> bool:
    """Whether an answer left a hook in a model that it was given."""
    if isinstance(value, list | tuple | dict):
        return any(map(hooked, value.values() if isinstance(value, dict) else value))
    return hasattr(value, "hook_dict") and any(point.has_hooks() for point in value.hook_dict.values())


def remembering(task: Any) -> Any:
    """The task, whose inputs are drawn once for a seed, and whose oracle and mistakes are computed once for each input.

    Answers get copies of the inputs (see `sent`), so none can change what another is judged by.
    """

    def once(function):
        known: dict[tuple[int, ...], Any] = {}

        def remembered(*case):
            key = tuple(map(id, case))  # the cases live as long as this task
            if key not in known:
                known[key] = function(*case)
            return known[key]

        return remembered

    mistakes = [replace(mistake, wrong=once(mistake.wrong)) for mistake in task.mistakes]
    return replace(task, cases=cache(task.cases), oracle=task.oracle and once(task.oracle), mistakes=mistakes)


def run(tasks: Mapping[str, Any]) -> list[Outcome]:
    """Judge all our answers to these tasks, on the inputs drawn from one seed."""
    from walkthrough.homework.task import verdict

    torch.set_num_threads(1)
    outcomes = []
    for number in NUMBERS:
        RECEIVED.clear()
        right, wrong = answers(number)
        listed = [(label, answer, None) for label in right for answer in right[label]]
        listed += [(label, answer, expected) for label in wrong for answer, expected in wrong[label]]
        for label, answer, expected in listed:
            result = verdict(tasks[label], sent(answer), SEED, copied=tuple)
            outcomes.append(Outcome(label, name_of(answer), expected, result.mark, result.sentence))
    return outcomes


def link(place: str) -> str:
    """A place in the course, as `notebook 03, “Where a head looks”`, with its number linked."""
    number, heading = re.fullmatch(r"notebook (\d\d), (“.+”)", place).groups()
    (file,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    return f"[{number}]({file.name}) {heading}"


def plain(sentence: str) -> str:
    """A sentence that stands in a table or a list as it is."""
    return sentence.replace("|", "\\|").replace("<", "&lt;")


def by_task(outcomes: list[Outcome]) -> dict[str, list[Outcome]]:
    """The outcomes of each task."""
    return {label: [o for o in outcomes if o.label == label] for label in dict.fromkeys(o.label for o in outcomes)}


def row(label: str, name: str, own: list[Outcome]) -> str:
    """A task's row: how many answers were judged as they should be, and the misconceptions that were chosen for it."""
    from graders.misconceptions import FIRST

    right, wrong = ([o for o in own if (o.expected is None) == kind] for kind in (True, False))
    counts = [f"{sum(o.as_it_should_be for o in kind)} of {len(kind)}" for kind in (right, wrong)]
    said = []
    for short, beginning in FIRST[label]:
        place = next(o.sentence for o in wrong if o.sentence.startswith(beginning)).rpartition(" (see ")[2]
        said.append(f"{plain(short)} ({link(place.removesuffix(')'))})")
    return f"| {label} `{name}` | {counts[0]} | {counts[1]} | {'<br>'.join(said)} |"


def table(outcomes: list[Outcome]) -> str:
    """The guide's table: for each task, how many answers were judged as they should be, and what to look out for."""
    from graders import TASKS

    rows = [
        "| task | right answers, accepted | wrong answers, refused by name | look out for a student who … |",
        "|---|---|---|---|",
    ]
    rows += [row(label, TASKS[label].name, own) for label, own in by_task(outcomes).items()]
    right = [o for o in outcomes if o.expected is None]
    wrong = [o for o in outcomes if o.expected is not None]
    refused = sum(o.mark != "✓" for o in right)
    accepted = sum(o.mark == "✓" for o in wrong)
    rows += ["", f"{len(right)} right answers, {refused} of them refused; {len(wrong)} wrong answers, {accepted} of them accepted, "
             f"{sum(o.as_it_should_be for o in wrong)} of them told their own misconception."]  # fmt: skip
    return "\n".join([*rows, "", in_full(outcomes)])


def in_full(outcomes: list[Outcome]) -> str:
    """All that the wrong answers hear, a list for each task, folded."""
    from graders import TASKS

    lines = ["<details><summary>All sentences that the wrong answers hear, task by task</summary>"]
    for label, own in by_task(outcomes).items():
        heard = dict.fromkeys(o.sentence.rpartition(" (see ")[0] for o in own if o.expected is not None)
        lines += ["", f"**{label} `{TASKS[label].name}`**", "", *(f"- {plain(sentence)}" for sentence in heard)]
    return "\n".join([*lines, "", "</details>"])


if __name__ == "__main__":
    from graders import TASKS

    minutes.into_guide(BEGIN, END, table(run(TASKS)))
