"""Predict, then look: a place for the guess, and an answer to it once it is known."""

import html
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from walkthrough.widgets.either import MISSING, either

STATIC = Path(__file__).parent / "static"


class Guess(anywidget.AnyWidget):
    """A question with a few choices, or (without choices) one that asks for a number; `answer` tells what is right.

    Alive in JupyterLab, in either order: whoever guesses first is told when the cell that answers is run, whoever guesses
    afterwards is told at once. Where no kernel runs, question and choices stand there as text. Nothing is marked: a wrong
    guess is how one finds out what one believed.
    """

    question = traitlets.Unicode().tag(sync=True)
    choices = traitlets.List(traitlets.Unicode()).tag(sync=True)
    unit = traitlets.Unicode().tag(sync=True)
    guess = traitlets.Unicode().tag(sync=True)  # what was chosen or typed
    reply = traitlets.Unicode().tag(sync=True)
    _esm = (STATIC / "guess.js").read_text("utf-8")
    _css = (STATIC / "guess.css").read_text("utf-8")

    def __init__(self, question: str, choices: Sequence[str] = (), *, unit: str = "") -> None:
        """Raises ValueError for a single choice, and for the same choice twice."""
        if len(choices) == 1 or len(set(choices)) < len(choices):
            raise ValueError(f"give at least two choices that differ, or none to ask for a number; not {list(choices)}")
        super().__init__(question=question, choices=list(choices), unit=unit)
        self.right: str | float | None = None
        self.observe(self._say, "guess")

    @property
    def value(self) -> str | float | None:
        """The guess; None as long as there is none that can be read."""
        if self.choices:
            return self.guess or None
        try:
            guessed = float(self.guess)
        except ValueError:
            return None
        return guessed if math.isfinite(guessed) else None

    def answer(self, right: Any) -> None:
        """Print what is right beside the guess, if there is one.

        `right` is one of the choices, or a number; raises ValueError if it is neither.
        """
        if self.choices and right not in self.choices:
            raise ValueError(f"{right!r} is none of the choices {self.choices}")
        self.right = right if self.choices else float(right)
        print(self._compared())
        self._say()

    def _compared(self) -> str:
        """One line: what was measured, and the guess."""
        right, guess = (
            x if self.choices or x is None else f"{x:.3g} {self.unit}".strip() for x in (self.right, self.value)
        )
        return f"Answer: {right}. " + ("(You made no guess.)" if guess is None else f"You guessed: {guess}.")

    def _say(self, _change: Any = None) -> None:
        """Write below the field what can be said so far."""
        if self.value is not None:
            self.reply = "Noted. The next cells will tell." if self.right is None else self._compared()
        else:
            self.reply = f"{self.guess!r} is not a number: write it like 0.25 or 40." if self.guess else ""

    def __repr__(self) -> str:
        return f"Guess({self.question!r})"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The widget, and the question as text for where no kernel runs."""
        choices = "".join(f"<li>{html.escape(choice)}</li>" for choice in self.choices)
        text = f"<b>Predict:</b> {html.escape(self.question)}" + (f"<ul>{choices}</ul>" if choices else "")
        _, metadata = super()._repr_mimebundle_(**kwargs)
        missing = MISSING.format(what="a place for your guess", otherwise="Write it down.")
        shown = {"text/plain": repr(self), "text/html": f'<div class="wt-guess">{text}</div>'}
        return {**either(self, f"{text}<p>{missing}</p>"), **shown}, metadata
