"""Predict, then look: a place for the guess, and an answer to it once it is known."""

import html
import math
from collections.abc import Sequence
from typing import Any

from ipywidgets import HTML, Layout, RadioButtons, Text, VBox


class Guess(VBox):
    """A question with a few choices, or (without choices) one that asks for a number; `answer` tells what is right.

    Alive in JupyterLab, in either order: whoever guesses first is told when the cell that answers is run, whoever guesses
    afterwards is told at once. Where no kernel runs, question and choices stand there as text. Nothing is marked: a wrong
    guess is how one finds out what one believed.
    """

    def __init__(self, question: str, choices: Sequence[str] = (), *, unit: str = "") -> None:
        """Raises ValueError for a single choice, and for the same choice twice."""
        if len(choices) == 1 or len(set(choices)) < len(choices):
            raise ValueError(f"give at least two choices that differ, or none to ask for a number; not {list(choices)}")
        self.question, self.choices, self.unit, self.right = question, list(choices), unit, None
        self.field, self.reply = self._field(), HTML()
        super().__init__([HTML(f"<b>Predict:</b> {html.escape(question)}"), self.field, self.reply])
        self.field.observe(lambda _: self._reply(), "value")

    def _field(self) -> RadioButtons | Text:
        wide = {"style": {"description_width": "initial"}, "layout": Layout(width="auto")}
        if self.choices:
            return RadioButtons(options=self.choices, index=None, description="my guess:", **wide)
        label = f"my guess{f' ({self.unit})' if self.unit else ''}:"
        return Text(placeholder="a number, then Enter", description=label, continuous_update=False, **wide)

    @property
    def value(self) -> str | float | None:
        """The guess; None as long as there is none that can be read."""
        if self.choices:
            return self.field.value
        try:
            guessed = float(self.field.value)
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
        self._reply()

    def _compared(self) -> str:
        """One line: what was measured, and the guess."""
        right, guess = (
            x if self.choices or x is None else f"{x:.3g} {self.unit}".strip() for x in (self.right, self.value)
        )
        return f"Answer: {right}. " + ("(You made no guess.)" if guess is None else f"You guessed: {guess}.")

    def _reply(self) -> None:
        """Write below the field what can be said so far."""
        if self.value is not None:
            said = "Noted. The next cells will tell." if self.right is None else self._compared()
        else:
            said = f"{self.field.value!r} is not a number: write it like 0.25 or 40." if self.field.value else ""
        self.reply.value = f"<i>{html.escape(said, quote=False)}</i>" if said else ""

    def __repr__(self) -> str:
        return f"Guess({self.question!r})"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """The widget, and the question as text for where no kernel runs."""
        choices = "".join(f"<li>{html.escape(choice)}</li>" for choice in self.choices)
        text = f"<b>Predict:</b> {html.escape(self.question)}" + (f"<ul>{choices}</ul>" if choices else "")
        data = super()._repr_mimebundle_(**kwargs)
        return {**data, "text/plain": repr(self), "text/html": f'<div class="wt-guess">{text}</div>'}
