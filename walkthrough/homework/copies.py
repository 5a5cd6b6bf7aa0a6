"""An answer that stands in several cells: the last counts, unless it is not right and one that it replaced is."""

from collections.abc import Callable
from typing import Any

from walkthrough.exercises.check import NOT_ATTEMPTED, RIGHT, WRONG, Verdict
from walkthrough.homework.restoring import grade_id
from walkthrough.homework.sources import defined


def best_of_copies(
    run: Any, name: str, label: str, judged_at: Callable[[str | None], Verdict]
) -> tuple[Verdict, list[str]]:
    """The verdict on a task, and what is to be said of its copies.

    `judged_at` judges the answer as it is when all cells have run (None), or as it was at a place: when the task's test
    came (the task's label), or behind the cell for its answer. `run` is the submission, as `judge.Run` runs it.
    """
    result, before = judged_at(None), None
    run.alive()
    for place in (label, f"{label}-answer"):
        if result.mark == RIGHT or not run.replaced(name, place) or (before and not run.replaced(name, place, before)):
            continue
        before, earlier = place, judged_at(place)
        run.alive()
        if earlier.mark == RIGHT:
            return earlier, [counted(run, name, label, place)]
        result = earlier if earlier.mark == WRONG and result.mark == NOT_ATTEMPTED else result
    cells = defining(run, name)
    if before and len(cells) > 1:
        return result, [
            f"{label}: `{name}` is defined in cells {listed(cells)}, and neither the last nor an earlier one is right"
        ]
    return result, []


def counted(run: Any, name: str, label: str, place: str) -> str:
    """The remark on an answer that counts as it was at a place: which cell it is from, and which one replaced it."""
    cells = defining(run, name)
    end = next((run.number[id(cell)] for cell in run.cells if grade_id(cell) == place), 0)
    before = [number for number in cells if number <= end]
    if before and before != cells:
        return (
            f"{label}: `{name}` is defined in cells {listed(cells)}; the last is not right, and the one in cell {before[-1]}, "
            "which is, counted"
        )
    return f"{label}: a later cell changes `{name}` or what it uses; it counted as it was in cell {end}"


def defining(run: Any, name: str) -> list[int]:
    """The numbers of the cells that define a name; an empty answer is none."""
    cells = [cell for cell in run.cells if "raise NotImplementedError" not in cell.source]
    return [run.number[id(cell)] for cell in cells if name in defined(cell.source)]


def listed(numbers: list[int]) -> str:
    """Numbers as a text lists them."""
    return " and ".join(filter(None, [", ".join(map(str, numbers[:-1])), str(numbers[-1])]))
