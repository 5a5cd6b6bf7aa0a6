"""What there is to see of a run of training: curves, heads, a pattern; live, and where no kernel runs."""

import base64
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes

from walkthrough import figures
from walkthrough.training.live import Head, LiveRun
from walkthrough.widgets.page import CSS, STATIC, Page, table

WORDS, STORED = 12, 24  # tokens of the prompt, said twice; measurements whose patterns a page keeps
LOSSES = {"text": "text_loss", "first copy": "first_copy_loss", "second copy": "second_copy_loss"}
SCORES = ("prefix_matching", "previous_token")
DONE = {"ablate": "ablated", "restore": "restored"}


def named(head: Head) -> str:
    """A head as the course writes it: layer:head."""
    return "{}:{}".format(*head)


def highest(measured: dict[str, Any], kind: str) -> tuple[float, Head]:
    """The highest score of this kind in a measurement, and the head that has it: one that works, if any does."""
    found = {(layer, head): x for layer, heads in enumerate(measured[kind]) for head, x in enumerate(heads)}
    working = [head for head in found if list(head) not in measured["silent"]]
    return max((found[head], head) for head in working or found)


def repeated_words(run: LiveRun) -> torch.Tensor:
    """A prompt to look at: `<BOS>`, then random tokens that can be read, if there are enough, said twice."""
    count = min(WORDS, (run.recipe.n_ctx - 1) // 2)
    texts = {i: run.text.tokenizer.decode([i]) for i in range(1, run.recipe.d_vocab)}
    plain = [i for i, text in texts.items() if text.strip() and text.isascii() and text.isprintable()]
    once = np.random.default_rng(1).choice(plain if len(plain) >= count else list(texts), count, replace=False)
    return torch.from_numpy(np.concatenate([[0], once, once]))


class TrainingPage(Page):
    """The measurements of a `training.live.LiveRun`, as `history` holds them, with the patterns on a short prompt."""

    name = "Training monitor"
    shows = "the losses and the scores of every head while the model learned"
    script = "training.js"
    entry = "watch"
    css = CSS + (STATIC / "training.css").read_text("utf-8")
    chaotic = True  # the last digits of two processors grow apart, step by step

    def __init__(self, run: LiveRun) -> None:
        self.live, self.each = run, run.recipe.batch * run.recipe.n_ctx
        self.prompt = repeated_words(run)
        self.words = [run.text.tokenizer.decode([i], skip_special_tokens=False) for i in self.prompt.tolist()]
        self.rounded: list[tuple[list[float], list[list[float]]]] = []  # the history, losses and scores
        self.patterns: dict[int, str] = {}  # of the prompt, for the measurements of this session
        self.drawn: tuple[Any, str] = (None, "")  # the still picture, and of what
        self.state, self.note, self.until, self.goal = "resting", "", None, run.step
        super().__init__(self.seen())

    def measure(self, again: bool = False) -> None:
        """Measure the run, and what its heads look at on the prompt: once after each step, unless a head was changed."""
        history = self.live.history
        if not history or history[-1]["step"] != self.live.step or again:
            self.live.measure()
        if len(history) - 1 not in self.patterns:
            patterns = torch.cat(self.live.patterns(self.prompt[None])[1], dim=1)[0]
            queries, keys = torch.tril_indices(*patterns.shape[1:])
            stored = (100 * patterns[:, queries, keys]).round().to(torch.uint8).numpy()
            self.patterns[len(history) - 1] = base64.b64encode(stored.tobytes()).decode()

    def marks(self) -> list[tuple[int, str, str]]:
        """Every change of a head: after how many tokens, what, and which."""
        return [(step * self.each, what, named(head)) for step, what, head in self.live.edits]

    def seen(self) -> dict[str, Any]:
        """What the page shows; at rest, nothing in it depends on how fast the computer was."""
        live, history, kept, rounded = self.live, self.live.history, sorted(self.patterns), self.rounded
        for m in history[len(rounded) :]:  # what was measured once does not change
            scores = [[round(x, 4) for layer in m[kind] for x in layer] for kind in SCORES]
            rounded.append(([round(m[key], 3) for key in LOSSES.values()], scores))
        if self.state != "resting":
            kept = kept[-1:]
        elif len(kept) > STORED:
            kept = [kept[round(i)] for i in np.linspace(0, len(kept) - 1, STORED)]
        return {
            "layers": live.recipe.n_layers, "heads": live.recipe.n_heads, "words": self.words,
            "length": len(self.words) // 2, "state": self.state, "note": self.note, "until": self.until,
            "at": live.tokens, "goal": max(self.goal, live.step) * self.each,
            "tokens": [m["tokens"] for m in history],
            "loss": {name: [losses[i] for losses, _ in rounded] for i, name in enumerate(LOSSES)},
            **{kind: [scores[i] for _, scores in rounded] for i, kind in enumerate(SCORES)},
            "silent": [named(head) for head in sorted(live.silent)],
            "off": [[named(tuple(head)) for head in m["silent"]] for m in history], "marks": self.marks(),
            "patterns": {i: self.patterns[i] for i in kept},
        }  # fmt: skip

    def picture(self) -> str:
        """The still figure, drawn once for each state of the run: it stands in two places."""
        state = len(self.live.history), len(self.live.edits)
        if self.drawn[0] != state:
            self.drawn = state, super().picture()
        return self.drawn[1]

    def instead(self) -> str:
        """What stands where the page cannot load the widget; there is no picture before anything is measured."""
        return super().instead() if self.live.history else ""

    def inside(self) -> str:
        """What stands where no script runs."""
        return super().inside() if self.live.history else "Nothing is measured yet: await monitor.run() in a cell."

    def still(self) -> list[Axes]:
        """The four charts as a still figure; ValueError before anything is measured."""
        history = self.live.history
        if not history:
            raise ValueError("nothing is measured yet: await monitor.run() in a cell")
        tokens, marks = [m["tokens"] for m in history], [(at, f"{what} {head}") for at, what, head in self.marks()]
        axes = plt.subplots(2, 2, figsize=(9, 6), layout="constrained")[1].flatten().tolist()
        lines = {
            name + " of random tokens" * ("copy" in name): [m[key] for m in history] for name, key in LOSSES.items()
        }
        figures.training.losses(tokens, lines, marks=marks, ax=axes[0])
        for ax, kind in zip(axes[2:], SCORES):
            scores, line = [m[kind] for m in history], self.until if kind == "prefix_matching" else None
            label, silent = kind.replace("_", "-") + " score", self.live.silent
            figures.training.head_scores(tokens, scores, y=label, marks=marks, silent=silent, line=line, ax=ax)
        layer, head = highest(history[-1], "prefix_matching")[1]
        pattern = self.live.patterns(self.prompt[None])[1][layer][0, head]
        figures.basics.attention(pattern, self.words, ax=axes[1])
        axes[1].tick_params(labelsize=5)
        axes[1].set_title(f"head {layer}:{head} on {len(self.words) // 2} tokens said twice", fontsize=9)
        return axes

    def described(self) -> str:
        """What the four charts show at the end."""
        first, last = self.live.history[0], self.live.history[-1]
        (match, best), (back, before) = (highest(last, kind) for kind in SCORES)
        edits = [f" Head {head} was {DONE[what]} after {at:,} tokens." for at, what, head in self.marks()]
        return (
            f"Four charts of a run after {last['tokens']:,} tokens. The loss on text went from {first['text_loss']:.2f} to "
            f"{last['text_loss']:.2f} nats; on random tokens said twice it is now {last['first_copy_loss']:.2f} on the first "
            f"copy and {last['second_copy_loss']:.2f} on the second. The highest prefix-matching score of a working head is that of head "
            f"{named(best)}, {match:.2f}, whose pattern is shown; the highest previous-token score is that of head "
            f"{named(before)}, {back:.2f}.{''.join(edits)}"
        )

    def tables(self) -> str:
        """The losses along the run, and the scores of every head at its end."""
        history, last = self.live.history, self.live.history[-1]
        some = sorted({round(i) for i in np.linspace(0, len(history) - 1, 8)})
        rows = [[f"{history[i]['tokens']:,}", *(f"{history[i][key]:.2f}" for key in LOSSES.values())] for i in some]
        heads = []
        for layer, scores in enumerate(zip(*(last[kind] for kind in SCORES))):
            for head, pair in enumerate(zip(*scores)):
                off = " (ablated)" * ((layer, head) in self.live.silent)
                heads.append([named((layer, head)) + off, *(f"{score:.2f}" for score in pair)])
        return table("Loss in nats", ["tokens", *LOSSES], rows) + table(
            "Heads at the end", ["head", "prefix matching", "previous token"], heads
        )

    def __repr__(self) -> str:
        recipe = self.live.recipe
        return f"TrainingMonitor({recipe.n_layers} layers of {recipe.n_heads} heads)"
