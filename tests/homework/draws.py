"""Is a mark a lottery? Every answer that we wrote, judged on the inputs of many students.

`python tests/homework/draws.py` prints in what share of the draws a wrong answer is accepted or a right one refused, of
all homeworks or of those that are named: `draws.py 3 4`.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import proof
import torch

DRAWS = 20  # the command's; CI has other things to do, and its test takes fewer


@dataclass(frozen=True)
class Share:
    """An answer to a task, whether it is wrong, on how many draws it was judged, and on how many its mark was not due."""

    label: str
    name: str
    wrong: bool
    draws: int
    missed: int

    def __str__(self) -> str:
        what = "accepted" if self.wrong else "refused"
        kind = "wrong" if self.wrong else "right"
        return f"{self.label} {kind} {self.name}: {what} in {self.missed} of {self.draws} draws"


def students(label: str, number: int) -> list[int]:
    """The seeds of so many students' inputs to a task."""
    from walkthrough.homework.task import seed_for

    return [seed_for("draws", str(student), label) for student in range(number)]


def accepted(task: Any, answer: Callable | Any, seed: int) -> bool:
    """Whether `verdict` accepts an answer. Its first wrong case is enough, and no sentence is looked for: both take time."""
    from walkthrough.homework.task import verdict

    alone = (replace(task, mistakes=(), cases=lambda seed, case=case: [case]) for case in task.cases(seed))
    return all(verdict(one, answer, seed, copied=tuple).mark == "✓" for one in alone)


def shares(numbers: tuple[int, ...] = proof.NUMBERS, draws: int = DRAWS, only: str = "") -> Iterator[Share]:
    """Each answer to these homeworks (or to one task), on so many draws."""
    from graders import TASKS

    torch.set_num_threads(1)
    for number in numbers:
        right, wrong = proof.answers(number)
        for label in (label for label in right if only in ("", label)):
            answers = [(answer, False) for answer in right[label]] + [(answer, True) for answer, _ in wrong[label]]
            missed = [0] * len(answers)
            for seed in students(label, draws):
                proof.RECEIVED.clear()
                task = proof.remembering(TASKS[label])
                for i, (answer, is_wrong) in enumerate(answers):
                    missed[i] += accepted(task, proof.sent(answer), seed) == is_wrong
            for (answer, is_wrong), misses in zip(answers, missed):
                yield Share(label, proof.name_of(answer), is_wrong, draws, misses)


def report(numbers: tuple[int, ...], draws: int = DRAWS) -> int:
    """Print each task's shares as they come, and every answer whose mark is not always due; the number of those."""
    found, started = [], time.process_time()
    for share in shares(numbers, draws):
        if not found or found[-1].label != share.label:
            print(f"{share.label}, {draws} draws", flush=True)
        found.append(share)
        if share.missed:
            print(f"    {share}", flush=True)
    for kind in (True, False):
        own = [share for share in found if share.wrong == kind]
        missed, judged = sum(share.missed for share in own), sum(share.draws for share in own)
        print(f"{len(own)} {'wrong' if kind else 'right'} answers: {missed} of {judged} marks not due")
    print(f"{time.process_time() - started:.0f} s of processor time")
    return sum(share.missed > 0 for share in found)


if __name__ == "__main__":
    sys.path.insert(0, str(proof.ROOT / "notebooks" / "homework"))
    sys.exit(min(1, report(tuple(map(int, sys.argv[1:])) or proof.NUMBERS)))
