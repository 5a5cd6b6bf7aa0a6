"""A question to one student about what this student handed in: its form, and the numbers that are put into it."""

import pprint
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from walkthrough.exercises.check import as_tensor, same

NUMBER, LINE, LOOK = "number", "line", "look"
HEAD = re.compile(rf"^## (hw\d+-\d+): ({NUMBER}|{LINE}|{LOOK})(?: ([\w-]+))?\n", re.M)
FEW = 64  # numbers that can be read on a page


@dataclass(frozen=True)
class Question:
    """What is asked about a task of a homework, and what to listen for. `kind` says what of the student's it is about.

    A `number`: the student's function is called on an input of its own, and the texts may name {value}, the entry that is
    largest in size, {place}, {shape}, {all} of a few numbers, and {then}, the number at the same place once `change` has
    made other inputs of the first. `first` says how often the first part of the answer is meant: 1 for a W_V of (W_V, W_O).
    `also` makes a sentence for the teacher of the answer and its inputs. A question that names no number shows the whole
    answer. A `line` of the student's code. A `look`: what the cell `cell` printed or drew in the student's run.
    """

    kind: str
    label: str
    ask: str
    listen: str
    cell: str = ""
    change: Callable[..., tuple] | None = None
    first: int = 0
    also: Callable[..., str] | None = None

    @property
    def shows_all(self) -> bool:
        """Whether the student's whole answer is put before the question."""
        return "{" not in self.ask


def questions(file: Path, more: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[Question, ...]]:
    """The questions in a file, by homework: `## hw1-1: number` (or `line`, or `look CELL`), what to ask, `> what to listen for`.

    `more` holds what else a task's question about a number has. Raises ValueError for a question that is not of this form.
    """
    found: dict[str, list[Question]] = {}
    _, *parts = HEAD.split(re.sub(r"^# .*$", "", file.read_text(encoding="utf-8"), flags=re.M))
    for label, kind, cell, text in zip(*(parts[i::4] for i in range(4))):
        ask, quoted, listen = (" ".join(part.split()) for part in text.partition("\n>"))
        if not (ask and quoted and listen) or "\n#" in text or (kind == LOOK) != bool(cell):
            raise ValueError(f"{file.name}, {label}: {kind}: write what to ask, then a line that begins with > and says what "
                             "to listen for; `look`, and no other, names a cell")  # fmt: skip
        extra = more.get(label, {}) if kind == NUMBER else {}
        found.setdefault(label.partition("-")[0], []).append(
            Question(kind, label, ask, listen.replace(" > ", " "), cell or "", **extra)
        )
    return {homework: tuple(asked) for homework, asked in found.items()}


def numbers_in(answer: Any, first: int = 0) -> Tensor | None:
    """The answer as numbers, or its first part, or the first part of that; None for what is not made of numbers."""
    try:
        for _ in range(first):
            answer = answer[0]
        found = as_tensor(answer)
    except (TypeError, ValueError, RuntimeError, LookupError):
        return None
    return found if found.numel() else None


def fields(answer: Any, then: Any = None, first: int = 0) -> dict[str, str]:
    """The numbers that a question's texts may name."""
    numbers = None if isinstance(answer, bool) else numbers_in(answer, first)
    if numbers is None:
        return {"value": str(answer)[:400], "place": "", "shape": "", "all": str(answer)[:400], "then": str(then)[:400]}
    place, later = largest(numbers), numbers_in(then, first)
    return {
        "value": written(numbers[place]),
        "place": str(place[0] if len(place) == 1 else list(place)),
        "shape": str(list(numbers.shape)),
        "all": ", ".join(map(written, numbers.flatten()[:8])) + (", …" if numbers.numel() > 8 else ""),
        "then": written(later[place]) if later is not None and later.shape == numbers.shape else "of another shape",
    }


def right_one(answer: Any, right: Any, first: int = 0) -> str:
    """What a right answer has where the student's largest number stands, or all of it if that is little."""
    mine, theirs = numbers_in(answer, first), numbers_in(right, first)
    if mine is None or theirs is None or isinstance(right, bool):
        return f"is {right}"
    if theirs.shape != mine.shape:
        return f"has the shape {list(theirs.shape)}"
    if theirs.numel() <= 3:
        return f"is {', '.join(map(written, theirs.flatten()))}"
    whole = "" if same(mine, theirs) else ", and is not this one"
    return f"has {written(theirs[largest(mine)])} there{whole}"


def largest(numbers: Tensor) -> tuple[int, ...]:
    """Where the entry stands that is largest in size; one that is no number goes before all others."""
    return tuple(int(i) for i in torch.unravel_index(numbers.abs().nan_to_num(torch.inf).argmax(), numbers.shape))


def written(value: Tensor) -> str:
    """A number with three digits, in full if it is not very large or very small."""
    number = float(f"{value.item():.3g}") + 0.0  # no -0
    return f"{number:.0f}" if 1000 <= abs(number) < 1e6 else f"{number:.3g}"


def described(value: Any, full: bool = False) -> str:
    """An input or an answer in words that fit into a sentence, or, if few numbers are shown in full, on lines of their own."""
    if hasattr(value, "cfg"):
        cfg = value.cfg
        return (f"a model of {cfg.n_layers} layer{'s' * (cfg.n_layers != 1)} with {cfg.n_heads} heads, d_model "
                f"{cfg.d_model} and {cfg.d_vocab} tokens")  # fmt: skip
    if isinstance(value, Tensor):
        if full and value.ndim == 2 and value.numel() <= FEW:
            return "".join(f"\n    {''.join(f'{written(number):>8}' for number in row)}" for row in value.double())
        few = not value.is_floating_point() and value.numel() <= 24
        return str(value.tolist()) if few else f"numbers of shape {list(value.shape)}"
    if isinstance(value, (list, tuple)) and any(isinstance(part, Tensor) or hasattr(part, "cfg") for part in value):
        return "(" + "; ".join(map(described, value)) + ")"
    if full:
        return "\n" + pprint.pformat(value, width=100, sort_dicts=False)[:4000]
    return f"{value:g}" if isinstance(value, float) else str(value)
