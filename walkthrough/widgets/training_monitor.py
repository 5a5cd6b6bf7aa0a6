"""A model that learns while one looks on: its losses and heads, redrawn between steps, and heads that can be ablated."""

import asyncio
import base64
import math
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import ipykernel
import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython import get_ipython
from IPython.display import display
from matplotlib.axes import Axes

from walkthrough import figures
from walkthrough.training.live import LiveRun
from walkthrough.widgets.either import STYLE, either
from walkthrough.widgets.page import CSS, STATIC, Page, pack, table

SLICE, BREATH = 0.15, 0.01  # seconds of steps at a time, and between them for the page's messages
REDRAW = 0.25  # seconds between two looks at the progress
SHARE = 0.07  # of the work that may go into measuring
MOVED = 0.03  # a score that changed by so much is looked at twice as often
WORDS, STORED = 12, 24  # tokens of the prompt, said twice; measurements whose patterns are kept on a page
LOSSES = {"text": "text_loss", "first copy": "first_copy_loss", "second copy": "second_copy_loss"}
WAITS = (
    "This kernel (ipykernel 6) hears no click before the cell has ended: interrupt it, click, and run the cell again; or "
    "install ipykernel 7."
)


def named(head: tuple[int, int]) -> str:
    """A head as the course writes it: layer:head."""
    return "{}:{}".format(*head)


def highest(scores: list[list[float]]) -> tuple[float, tuple[int, int]]:
    """The highest score of a measurement, and the head that has it."""
    return max((score, (layer, head)) for layer, heads in enumerate(scores) for head, score in enumerate(heads))


class TrainingMonitor(Page):
    """A run of `training.live.LiveRun` that is seen while it trains: `await monitor.run(tokens=1_500_000)` in a cell.

    The page pauses the run, lets it go on, ends it, ablates a head and restores it. To interrupt the kernel loses
    nothing: to await `run` again goes on. What it showed last stays on the page when no kernel runs.
    """

    name = "Training monitor"
    shows = "the losses and the scores of every head while the model learned"
    script = "training.js"
    entry = "watch"
    css = CSS + (STATIC / "training.css").read_text("utf-8")

    def __init__(self, run: LiveRun) -> None:
        """Raises ValueError for anything else than a LiveRun."""
        if not isinstance(run, LiveRun):
            raise ValueError(
                f"there is no training run in {type(run).__name__}: give a LiveRun (walkthrough.training.live)"
            )
        self.live = run
        self.heads = [(layer, head) for layer in range(run.recipe.n_layers) for head in range(run.recipe.n_heads)]
        self.prompt = repeated_words(run)
        self.words = [run.text.tokenizer.decode([i], skip_special_tokens=False) for i in self.prompt.tolist()]
        self.patterns: dict[int, str] = {}  # of the prompt, for the measurements of this session
        self.drawn: tuple[Any, str] = (None, "")  # the still picture, and of what
        self.clicks: deque[dict[str, Any]] = deque()
        self.state, self.note, self.until = "resting", "", None
        self.goal, self.waited, self.pushed = run.step, 0.0, 0.0
        measured = run.text.held_out.numel() + run.twice.numel()
        # A step costs three passes over its tokens, a measurement one pass over its own.
        self.every = max(2, math.ceil(measured / 3 / (run.recipe.batch * run.recipe.n_ctx) / SHARE))
        super().__init__(self.seen())

    async def run(self, tokens: int | None = None, *, until: float | None = None) -> None:
        """Train on so many tokens more (None: to the recipe's end), or until a head's prefix-matching score is `until`.

        Raises ValueError for a number that cannot be, for a run that is finished, and for one that trains already.
        """
        self.check(tokens, until)
        live, each = self.live, self.live.recipe.batch * self.live.recipe.n_ctx
        last = live.recipe.steps if tokens is None else live.step + math.ceil(tokens / each)
        self.goal, self.until, self.began = min(last, live.recipe.steps), until, live.step
        live.watched, self.state, self.note, self.waited, self.start = True, "running", "", 0.0, time.perf_counter()
        self.show_view()
        try:
            self.measure()
            await self.train()
        except (asyncio.CancelledError, KeyboardInterrupt):
            self.note = "Interrupted, and nothing is lost: run the cell again to go on."
            raise
        finally:
            live.watched = False
            self.rest()

    def check(self, tokens: int | None, until: float | None) -> None:
        """Refuse in one sentence what `run` cannot do."""
        if tokens is not None and (isinstance(tokens, bool) or not isinstance(tokens, int | float) or not tokens > 0):
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
            while self.state == "running" and live.step < self.goal and time.perf_counter() < slice_ends:
                live.advance()
                if self.due():
                    self.measure()
                    break
            if time.perf_counter() - self.pushed > REDRAW:
                self.push()
            before = time.perf_counter()
            await asyncio.sleep(BREATH if self.state == "running" else 0.05)
            if self.state == "paused":
                self.waited += time.perf_counter() - before
            if self.clicks:
                self.obey()

    def due(self) -> bool:
        """Whether to measure after this step: it depends on steps and scores alone, so that a run can be repeated."""
        if self.live.step % self.every == 0 or self.live.step == self.goal:
            return True
        if self.live.step % self.every != self.every // 2 or len(self.live.history) < 2:
            return False
        before, now = (np.array([m["prefix_matching"], m["previous_token"]]) for m in self.live.history[-2:])
        return bool(abs(now - before).max() > MOVED)

    def reached(self) -> bool:
        """Whether a head matches prefixes as much as was asked for."""
        return self.until is not None and highest(self.live.history[-1]["prefix_matching"])[0] >= self.until

    def measure(self, again: bool = False) -> None:
        """Measure the run, and what its heads look at on the prompt; once at each step, unless something has changed."""
        history = self.live.history
        if not history or history[-1]["step"] != self.live.step or again:
            self.live.measure()
        if len(history) - 1 not in self.patterns:
            patterns = torch.cat(self.live.patterns(self.prompt[None])[1], dim=1)[0]
            queries, keys = torch.tril_indices(*patterns.shape[1:])
            stored = (100 * patterns[:, queries, keys]).round().to(torch.uint8).numpy()
            self.patterns[len(history) - 1] = base64.b64encode(stored.tobytes()).decode()

    def heard(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        """A click: it waits for the step to end; between cells, it is followed at once."""
        self.clicks.append(content)
        if not self.live.watched:
            self.obey()

    def obey(self) -> None:
        """Do what was clicked since the last time, and tell the page that it is done."""
        changed = False
        while self.clicks:
            click = self.clicks.popleft()
            do, head = click.get("do"), click.get("head")
            if do in ("ablate", "restore"):
                if (do == "ablate") != (tuple(head) in self.live.silent):
                    getattr(self.live, do)(tuple(head))
                    changed = True
            elif self.state in ("running", "paused"):
                self.state = {"pause": "paused", "go": "running", "stop": "stopped"}.get(do, self.state)
            self.send({"id": click.get("id")})
        if changed:
            self.measure(again=True)
        self.push()

    def rest(self) -> None:
        """Leave the run where it is: measured, saved if it has a folder, and as a still picture on the page."""
        self.state = "resting"
        self.measure()
        try:
            self.live.save()
        except OSError as refusal:
            self.note += f" The run is in memory only: it could not be saved ({refusal.strerror})."
        self.push()
        self.show_page()

    def push(self) -> None:
        """Send the page all that it shows: the one trait that changes while a cell runs."""
        self.data = self.seen()
        self.packed, self.pushed = pack(self.data), time.perf_counter()

    def seen(self) -> dict[str, Any]:
        """What the page shows; at rest nothing in it depends on how fast the computer was."""
        live, history = self.live, self.live.history
        each = live.recipe.batch * live.recipe.n_ctx
        data = {
            "layers": live.recipe.n_layers, "heads": live.recipe.n_heads, "length": WORDS, "state": self.state,
            "words": self.words,
            "tokens": [m["tokens"] for m in history],
            "loss": {name: [round(m[key], 3) for m in history] for name, key in LOSSES.items()},
            "silent": [named(head) for head in sorted(live.silent)],
            "marks": [[step * each, what, named(head)] for step, what, head in live.edits],
            "at": live.tokens, "goal": self.goal * each, "until": self.until, "note": self.note.strip(),
        }  # fmt: skip
        for kind in ("prefix_matching", "previous_token"):
            data[kind] = [[round(score, 4) for layer in m[kind] for score in layer] for m in history]
        kept = sorted(self.patterns)
        if self.state in ("running", "paused"):
            kept = kept[-1:]
            gone = time.perf_counter() - self.start - self.waited
            done = live.step - self.began
            data["speed"] = round(done * each / gone) if done else 0
            data["left"] = round((self.goal - live.step) * gone / done) if done else None
            data["waits"] = WAITS if ipykernel.version_info[0] < 7 else ""
        elif len(kept) > STORED:
            kept = [kept[i] for i in np.linspace(0, len(kept) - 1, STORED).round().astype(int)]
        return data | {"patterns": {i: self.patterns[i] for i in kept}}

    def show_view(self) -> None:
        """Show the widget in the cell that runs; its text is always the same, for nbval to compare."""
        if get_ipython() is not None:
            _, metadata = super(Page, self)._repr_mimebundle_()
            page = {"text/plain": repr(self), "text/html": '<div class="wt-live"></div>'}
            display({**either(self, self.instead()), **page}, raw=True, metadata=metadata)

    def show_page(self) -> None:
        """Below the widget, and only seen where there is none: the page that needs no kernel."""
        if get_ipython() is not None:
            self._either.children[0].value = STYLE + self.instead()
            hidden = ipywidgets.HTML(layout=ipywidgets.Layout(display="none"))
            display({**hidden._repr_mimebundle_(), "text/plain": repr(self), "text/html": self.page()}, raw=True)

    def picture(self) -> str:
        """The still figure, drawn once for each state of the run: it is put in two places."""
        state = len(self.live.history), len(self.live.edits)
        if self.drawn[0] != state:
            self.drawn = state, super().picture()
        return self.drawn[1]

    def instead(self) -> str:
        """What stands where the page cannot load the widget; there is no picture before anything is measured."""
        return super().instead() if self.live.history else ""

    def inside(self) -> str:
        """What stands where no script runs."""
        if not self.live.history:
            return "Nothing has been measured yet: run a cell with <code>await monitor.run()</code>."
        return super().inside()

    def still(self) -> list[Axes]:
        """The four charts as a still figure; ValueError before anything is measured."""
        history = self.live.history
        if not history:
            raise ValueError("nothing has been measured yet: await monitor.run() first")
        tokens, silent = [m["tokens"] for m in history], sorted(self.live.silent)
        marks = [(at, f"{what} {head}") for at, what, head in self.seen()["marks"]]
        axes = plt.subplots(2, 2, figsize=(9, 6), layout="constrained")[1].flatten().tolist()
        lines = {f"{name} of random tokens" if "copy" in name else name: self.seen()["loss"][name] for name in LOSSES}
        figures.training.losses(tokens, lines, marks=marks, ax=axes[0])
        for ax, kind in ((axes[2], "prefix_matching"), (axes[3], "previous_token")):
            scores, label = [m[kind] for m in history], kind.replace("_", "-") + " score"
            line = self.until if kind == "prefix_matching" else None
            figures.training.head_scores(tokens, scores, y=label, marks=marks, silent=silent, line=line, ax=ax)
        layer, head = highest(history[-1]["prefix_matching"])[1]
        pattern = self.live.patterns(self.prompt[None])[1][layer][0, head]
        figures.basics.attention(pattern, self.words, ax=axes[1])
        axes[1].tick_params(labelsize=5)
        axes[1].set_title(f"head {layer}:{head} on {WORDS} tokens said twice", fontsize=9)
        return axes

    def described(self) -> str:
        """What the four charts show at the end."""
        first, last = self.live.history[0], self.live.history[-1]
        (match, best), (back, before) = (highest(last[kind]) for kind in ("prefix_matching", "previous_token"))
        edits = [
            f" Head {head} was {what}{'d' if what[-1] == 'e' else 'ed'} after {at:,} tokens."
            for at, what, head in self.seen()["marks"]
        ]
        return (
            f"Four charts of a run after {last['tokens']:,} tokens. The loss on text went from {first['text_loss']:.2f} to "
            f"{last['text_loss']:.2f} nats; on random tokens said twice it is now {last['first_copy_loss']:.2f} on the first "
            f"copy and {last['second_copy_loss']:.2f} on the second. The highest prefix-matching score is that of head "
            f"{named(best)}, {match:.2f}, whose pattern is shown; the highest previous-token score is that of head "
            f"{named(before)}, {back:.2f}.{''.join(edits)}"
        )

    def tables(self) -> str:
        """The losses along the run, and the scores of every head at its end."""
        history, last = self.live.history, self.live.history[-1]
        some = sorted({round(i) for i in np.linspace(0, len(history) - 1, 8)})
        rows = [[f"{history[i]['tokens']:,}", *(f"{history[i][key]:.2f}" for key in LOSSES.values())] for i in some]
        heads = [
            [
                named((layer, head)) + " (ablated)" * ((layer, head) in self.live.silent),
                *(f"{last[kind][layer][head]:.2f}" for kind in ("prefix_matching", "previous_token")),
            ]
            for layer, head in self.heads
        ]
        return table("Loss in nats", ["tokens", *LOSSES], rows) + table(
            "Heads at the end", ["head", "prefix matching", "previous token"], heads
        )

    def __repr__(self) -> str:
        recipe = self.live.recipe
        return f"TrainingMonitor({recipe.n_layers} layers of {recipe.n_heads} heads)"


def repeated_words(run: LiveRun) -> torch.Tensor:
    """A prompt to look at: `<BOS>`, then random tokens that are words, if there are enough, said twice."""
    count = min(WORDS, (run.recipe.n_ctx - 1) // 2)

    def words() -> Iterator[int]:
        for token in range(1, run.recipe.d_vocab):
            text = run.text.tokenizer.decode([token], skip_special_tokens=False).strip()
            if text.isascii() and text.isalpha() and len(text) > 2:
                yield token

    found = list(words())
    choices = found if len(found) >= count else range(1, run.recipe.d_vocab)
    once = np.random.default_rng(1).choice(np.array(choices), count, replace=False)
    return torch.from_numpy(np.concatenate([[0], once, once]))
