"""A model that learns while one looks on, and whose heads can be ablated meanwhile."""

import asyncio
import contextlib
import math
import os
import time
from collections import deque
from typing import Any

import anywidget
import ipykernel
import ipywidgets
import numpy as np
from IPython import get_ipython
from IPython.display import display

from walkthrough.training.live import LiveRun
from walkthrough.widgets.either import STYLE, either
from walkthrough.widgets.page import pack
from walkthrough.widgets.training_page import DONE, SCORES, TrainingPage, highest, named

SLICE, BREATH = 0.25, 0.01  # seconds of steps at a time, and between them for the page's messages
REDRAW = 0.35  # seconds between two looks at the progress
SHARE = 0.05  # of the work that may go into measuring
MOVED = 0.03  # a score that changed by so much is looked at twice as often
SHORT = "WALKTHROUGH_LIVE_TOKENS"  # tests of notebooks set it: no run is longer
WAITS = (
    "This kernel (ipykernel 6) hears no click before the cell has ended: interrupt it, click, and run the cell again, or "
    "install ipykernel 7."
)


class TrainingMonitor(TrainingPage):
    """A run of `training.live.LiveRun` that is seen while it trains: `await monitor.run(tokens=1_500_000)` in a cell.

    The page pauses the run, lets it go on, ends it, ablates a head and restores it. To interrupt the kernel loses
    nothing: to await `run` again goes on. What was shown last stays on the page when no kernel runs.
    """

    def __init__(self, run: Any) -> None:
        """Raises ValueError for anything else than a LiveRun."""
        if not isinstance(run, LiveRun):
            raise ValueError(
                f"there is no training run in {type(run).__name__}: give a LiveRun, of walkthrough.training.live"
            )
        super().__init__(run)
        self.clicks: deque[dict[str, Any]] = deque()
        self.began, self.start, self.waited, self.pushed = run.step, 0.0, 0.0, 0.0
        # A step costs three passes over its tokens, a measurement one pass over its own.
        measured = (run.text.held_out.numel() + run.twice.numel()) / 3
        self.every = max(2, math.ceil(measured / self.each / SHARE))

    async def run(self, tokens: float | int | None = None, *, until: float | int | None = None) -> None:
        """Train on so many tokens more (None: to the recipe's end), or until a working head's prefix-matching score is `until`.

        Raises ValueError for a number that cannot be, for a run that is finished, and for one that trains already.
        """
        self.check(tokens, until)
        live = self.live
        if SHORT in os.environ:
            tokens = min(tokens or math.inf, int(os.environ[SHORT]))
        last = live.recipe.steps if tokens is None else live.step + math.ceil(tokens / self.each)
        self.goal, self.until, self.began = min(last, live.recipe.steps), until, live.step
        self.state, self.note, self.waited, self.start = "running", "", 0.0, time.perf_counter()
        live.watched = True
        try:
            self.show_view()
            self.measure()
            await self.train()
        except (asyncio.CancelledError, KeyboardInterrupt):
            self.note = "Interrupted, and nothing is lost: run the cell again to go on."
            raise
        finally:
            live.watched = False
            self.rest()

    def check(self, tokens: Any, until: Any) -> None:
        """Refuse in one sentence what `run` cannot do."""
        number = isinstance(tokens, int | float) and not isinstance(tokens, bool)
        if tokens is not None and not (number and 0 < tokens < math.inf):
            raise ValueError(f"{tokens!r} tokens cannot be learnt from: give a number above 0, for example 1_500_000")
        if until is not None and not (isinstance(until, int | float) and 0 < until < 1):
            raise ValueError(f"a prefix-matching score lies between 0 and 1, and cannot reach {until!r}: try until=0.4")
        if self.live.watched:
            raise ValueError("this run is being trained already: wait until it rests, or interrupt it")
        if self.live.finished:
            raise ValueError(
                f"the run has taken all {self.live.recipe.steps:,} steps of its recipe: make another LiveRun to train again"
            )

    async def train(self) -> None:
        """Steps, with a breath between slices of them, in which clicks arrive."""
        live = self.live
        while live.step < self.goal and self.state != "stopped" and not self.reached():
            slice_ends = time.perf_counter() + SLICE
            while self.state == "running":
                live.advance()
                if self.due():
                    self.measure()
                    break
                if time.perf_counter() >= slice_ends:
                    break
            if time.perf_counter() - self.pushed > REDRAW:
                self.push()
            before = time.perf_counter()
            await asyncio.sleep(BREATH)
            if self.state == "paused":
                self.waited += time.perf_counter() - before
            self.obey()

    def due(self) -> bool:
        """Whether to measure after this step: it depends on steps and scores alone, so that a run can be repeated."""
        if self.live.step % self.every == 0 or self.live.step == self.goal:
            return True
        if self.live.step % self.every != self.every // 2 or len(self.live.history) < 2:
            return False
        before, now = (np.array([m[kind] for kind in SCORES]) for m in self.live.history[-2:])
        return bool(abs(now - before).max() > MOVED)

    def reached(self) -> bool:
        """Whether a working head matches prefixes as much as was asked for."""
        return self.until is not None and highest(self.live.history[-1], "prefix_matching")[0] >= self.until

    def heard(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        """A click: it waits for the step to end; between cells, it is followed at once."""
        self.clicks.append(content)
        if not self.live.watched:
            self.obey()

    def obey(self) -> None:
        """Do what was clicked since the last time, and tell the page what was done."""
        clicks, changed = [], False
        while self.clicks:
            clicks.append(self.clicks.popleft())
        for click in clicks:
            do, head, said = click.get("do"), tuple(click.get("head", ())), ""
            if do in DONE and (do == "ablate") != (head in self.live.silent):
                getattr(self.live, do)(head)
                changed, said = True, f"Head {named(head)} {DONE[do]} after {self.live.tokens:,} tokens."
            elif self.live.watched:
                self.state = {"pause": "paused", "go": "running", "stop": "stopped"}.get(do, self.state)
            self.send({"id": click.get("id"), "said": said})
        if changed:
            self.note = ""  # the page would show it again, over the answer to the click
            self.measure(again=True)
        if clicks:
            self.push()

    def rest(self) -> None:
        """Leave the run where it is: measured, saved if it has a folder, and as a still picture on the page."""
        self.state = "resting"
        with contextlib.suppress(MemoryError):
            self.measure()
        try:
            self.live.save()
        except OSError as refusal:
            self.note = f"{self.note} The run is in memory only: it could not be saved ({refusal.strerror}).".strip()
        self.push()
        self.show_page()

    def push(self) -> None:
        """Send the page all that it shows, in the one trait that changes while a cell runs."""
        self.data = self.seen()
        self.packed, self.pushed = pack(self.data), time.perf_counter()

    def seen(self) -> dict[str, Any]:
        """While a cell runs, the page shows its speed, too."""
        data = super().seen()
        if self.state != "resting":
            done, gone = self.live.step - self.began, time.perf_counter() - self.start - self.waited
            data["speed"] = round(done * self.each / gone)
            data["left"] = round((self.goal - self.live.step) * gone / done) if done else None
            data["waits"] = WAITS if ipykernel.version_info[0] < 7 else ""
        return data

    def show_view(self) -> None:
        """Show the widget in the cell that runs; its text is always the same, for nbval to compare."""
        if get_ipython() is not None:
            _, metadata = anywidget.AnyWidget._repr_mimebundle_(self)
            fixed = {"text/plain": repr(self), "text/html": '<div class="wt-live"></div>'}
            display({**either(self, self.instead()), **fixed}, raw=True, metadata=metadata)

    def show_page(self) -> None:
        """The page that needs no kernel, as an output of its own: where the widget is seen, this is not."""
        if get_ipython() is not None:
            self._either.children[0].value = STYLE + self.instead()
            nothing = ipywidgets.HTML(layout=ipywidgets.Layout(display="none"))
            page = {"text/plain": repr(self), "text/html": self.page()}
            display({**nothing._repr_mimebundle_(), **page}, raw=True)
