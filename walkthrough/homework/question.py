"""A question to one student about what this student handed in: its form, and the numbers that are put into it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

NUMBER, LINE, LOOK = "number", "line", "look"


@dataclass(frozen=True)
class Question:
    """What is asked about a task of a homework, and what to listen for. `kind` says what of the student's it is about.

    A `number`: the student's function is called on an input of its own, and the texts may name {value}, the entry that is
    largest in size, {place}, {shape}, {all} of a few numbers, and {then}, the number at the same place once `change` has
    made other inputs of the first. A `line` of the student's code. A `look`: what the cell `cell` printed or drew in the
    student's run.
    """

    kind: str
    label: str
    ask: str
    listen: str
    cell: str = ""
    change: Callable[..., tuple] | None = None


def number(label: str, ask: str, listen: str, change: Callable[..., tuple] | None = None) -> Question:
    """A question about a number of the student's."""
    return Question(NUMBER, label, ask, listen, change=change)


def line(label: str, ask: str, listen: str) -> Question:
    """A question about a line of the student's code."""
    return Question(LINE, label, ask, listen)


def look(label: str, cell: str, ask: str, listen: str) -> Question:
    """A question about what a cell printed or drew in the student's run."""
    return Question(LOOK, label, ask, listen, cell=cell)


def first_tensor(answer: Any) -> Tensor | None:
    """The answer as numbers, or the first part of it that is; None for a dict, a text or nothing."""
    if isinstance(answer, Tensor):
        return answer.detach().double() if answer.numel() else None
    if isinstance(answer, (bool, int, float)):
        return torch.tensor(float(answer), dtype=torch.float64)
    if isinstance(answer, (list, tuple)) and answer:
        if all(isinstance(part, (bool, int, float)) for part in answer):
            return torch.tensor([float(part) for part in answer], dtype=torch.float64)
        if all(isinstance(part, Tensor) and part.ndim == 0 for part in answer):
            return torch.stack([part.detach().double() for part in answer])
        return first_tensor(answer[0])
    return None


def fields(answer: Any, then: Any = None) -> dict[str, str]:
    """The numbers that a question's texts may name."""
    if isinstance(answer, bool) or first_tensor(answer) is None:
        said = str(answer)[:400]
        return {"value": said, "place": "", "shape": "", "all": said, "then": str(then)[:400]}
    numbers = first_tensor(answer)
    place = largest(numbers)
    later = first_tensor(then)
    return {
        "value": written(numbers[place]),
        "place": str(list(place)),
        "shape": str(list(numbers.shape)),
        "all": ", ".join(map(written, numbers.flatten()[:8])) + (", …" if numbers.numel() > 8 else ""),
        "then": written(later[place]) if later is not None and later.shape == numbers.shape else "of another shape",
    }


def slow_way(answer: Any, right: Any) -> str:
    """What the task's own slow way has where the student's largest number stands, or what it says."""
    mine, theirs = first_tensor(answer), first_tensor(right)
    if mine is None or theirs is None or isinstance(right, bool):
        return f"says {right}"
    if theirs.ndim == mine.ndim + 1 and theirs.shape[1:] == mine.shape:
        theirs = theirs[0]  # several matrices as one tensor
    if theirs.shape != mine.shape:
        return f"returns {list(theirs.shape)}"
    return f"has {written(theirs[largest(mine)])} there"


def largest(numbers: Tensor) -> tuple[int, ...]:
    """Where the entry stands that is largest in size; one that is no number goes before all others."""
    return tuple(int(i) for i in torch.unravel_index(numbers.abs().nan_to_num(torch.inf).argmax(), numbers.shape))


def written(value: Tensor) -> str:
    """A number with three digits."""
    return f"{value.item():.3g}"


def described(value: Any) -> str:
    """An input in words that fit into a sentence."""
    if hasattr(value, "cfg"):
        cfg = value.cfg
        return (f"a model of {cfg.n_layers} layer{'s' * (cfg.n_layers != 1)} with {cfg.n_heads} heads, d_model "
                f"{cfg.d_model} and {cfg.d_vocab} tokens")  # fmt: skip
    if isinstance(value, Tensor):
        few = not value.is_floating_point() and value.numel() <= 24
        return str(value.tolist()) if few else f"numbers of shape {list(value.shape)}"
    if isinstance(value, (list, tuple)) and any(isinstance(part, Tensor) or hasattr(part, "cfg") for part in value):
        return "(" + "; ".join(map(described, value)) + ")"
    return f"{value:g}" if isinstance(value, float) else str(value)
