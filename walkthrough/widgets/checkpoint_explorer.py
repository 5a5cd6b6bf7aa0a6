"""One prompt at every checkpoint of a run: where each head looks, beside curves with a marker."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes

from walkthrough import figures
from walkthrough.widgets.explorer import Explorer, excerpt, prompt_tokens, quoted, shown, table, the_model, within
from walkthrough.widgets.page import CSS, STATIC

LABELS = 32  # more tokens than that would overlap in a still figure


class CheckpointExplorer(Explorer):
    """A slider over the checkpoints of a run; hover over a token, and the chosen head shades where it looks from there.

    `models` maps the tokens that a run had learnt from to the model that it was then; all have the same shape. `curves`
    has, by its name, a number from 0 to 1 for each of them, such as a score.
    """

    name = "Checkpoint explorer"
    shows = "where each head looks at every checkpoint of a training run"
    script = "checkpoints.js"
    css = CSS + (STATIC / "checkpoints.css").read_text("utf-8")

    def __init__(
        self, models: Any, prompts: str | Sequence[str], *, curves: Mapping[str, Sequence[int | float]] | None = None, **view: Any
    ) -> None:  # fmt: skip
        self.models, self.curves = models, curves or {}
        super().__init__(prompts, **view)

    def fixed(self) -> dict[str, Any]:
        """When the checkpoints were taken, the names of their heads, and the curves; ValueError if they do not fit."""
        given = self.models if isinstance(self.models, Mapping) else {0: self.models}
        if not given:
            raise ValueError("there is no checkpoint to look at: give one or more")
        self.models = {tokens: the_model(model) for tokens, model in given.items()}
        shapes = {(model.cfg.n_layers, model.cfg.n_heads) for model in self.models.values()}
        if len(shapes) > 1:
            raise ValueError("these checkpoints have different numbers of heads: give those of one run")
        curves = {name: [round(float(value), 3) for value in values] for name, values in self.curves.items()}
        for name, values in curves.items():
            if len(values) != len(self.models):
                raise ValueError(
                    f"the curve {name!r} has {len(values)} numbers for {len(self.models)} checkpoints: give one for each"
                )
        n_layers, n_heads = shapes.pop()
        heads = [f"{layer}:{head}" for layer in range(n_layers) for head in range(n_heads)]
        return {"at": list(self.models), "heads": heads, "curves": curves}

    def look(self, prompt: str) -> dict[str, Any]:
        """The prompt's tokens, and every checkpoint's patterns in hundredths, keys that a query does not see left out."""
        tokens, flat = None, []
        for model in self.models.values():
            ids = prompt_tokens(model, prompt)
            tokens = model.to_str_tokens(ids[0])
            cache = model.run_with_cache(ids)[1]
            pattern = torch.cat([cache["pattern", layer][0] for layer in range(model.cfg.n_layers)])
            query, key = torch.tril_indices(len(tokens), len(tokens))
            flat.append((100 * pattern[:, query, key]).round().to(torch.uint8))
        stored = torch.stack(flat).numpy().tobytes()
        return {"tokens": tokens, "patterns": base64.b64encode(stored).decode()}

    def pattern(self, prompt: str, checkpoint: int) -> torch.Tensor:
        """The stored patterns of all heads at one of the checkpoints, [head, query, key], rounded to hundredths."""
        record = self.data["prompts"][prompt]
        n, heads = len(record["tokens"]), len(self.data["heads"])
        raw = torch.frombuffer(bytearray(base64.b64decode(record["patterns"])), dtype=torch.uint8)
        flat = raw.view(len(self.data["at"]), heads, -1)[checkpoint]
        whole = torch.zeros(heads, n, n)
        query, key = torch.tril_indices(n, n)
        whole[:, query, key] = flat / 100
        return whole

    def chosen(self) -> tuple[int, int, int]:
        """The chosen checkpoint, head and query, as numbers: at first the last checkpoint, head 0 and the last token."""
        at, heads = len(self.data["at"]), len(self.data["heads"])
        n = len(self.data["prompts"][self.shown_prompt()]["tokens"])
        view = self.view
        return within(view.get("at"), at, at - 1), within(view.get("head"), heads), within(view.get("query"), n, n - 1)

    def tables(self) -> str:
        """What each head attends to most from the last token of the prompt, at every checkpoint; and the curves."""
        prompt, record = next(iter(self.data["prompts"].items()))
        tokens, rows = shown(record["tokens"]), []
        for i, at in enumerate(self.data["at"]):
            shares, keys = self.pattern(prompt, i)[:, -1].max(-1)
            curves = [f"{values[i]:.2f}" for values in self.data["curves"].values()]
            heads = [f"{tokens[key]} {share:.2f}" for share, key in zip(shares.tolist(), keys.tolist())]
            rows.append([f"{at:,}", *curves, *heads])
        columns = ["tokens learnt from", *self.data["curves"], *(f"head {head}" for head in self.data["heads"])]
        return table(f"Most attended to from the last token, {tokens[-1]}", columns, rows)

    def still(self) -> list[Axes]:
        """The curves with the chosen checkpoint marked, and the pattern of the chosen head then."""
        prompt = self.shown_prompt()
        (at, head, _), record = self.chosen(), self.data["prompts"][prompt]
        curves, tokens = self.data["curves"], record["tokens"]
        axes = plt.subplots(
            1, 1 + bool(curves), figsize=(4.2 * (1 + bool(curves)), 3.8), layout="constrained", squeeze=False
        )[1]
        every = 1 + len(tokens) // LABELS
        labels = [token if pos % every == 0 else "" for pos, token in enumerate(tokens)]
        ax = figures.basics.attention(self.pattern(prompt, at)[head], labels, ax=axes[0, -1])
        ax.tick_params(labelsize=7)
        ax.set_title(f"head {self.data['heads'][head]} after {self.data['at'][at]:,} tokens", fontsize=10)
        if curves:
            figures.training.losses(
                self.data["at"], curves, marks=[(self.data["at"][at], "shown")], y="score", ax=axes[0, 0]
            )
        return list(axes.flat)

    def described(self) -> str:
        """What the still figure shows: where the chosen head looks, and the numbers at the chosen checkpoint."""
        prompt = self.shown_prompt()
        at, head, query = self.chosen()
        tokens = self.data["prompts"][prompt]["tokens"]
        share, key = self.pattern(prompt, at)[head, query].max(-1)
        numbers = "".join(f" {name}: {values[at]:.2f}." for name, values in self.data["curves"].items())
        return (
            f"Heat map of attention in head {self.data['heads'][head]} after {self.data['at'][at]:,} tokens of training, on "
            f"the prompt {excerpt(prompt)}: rows look, columns are looked at. From {quoted(tokens[query])}, at position "
            f"{query}, it attends most to {quoted(tokens[key])}: {share:.2f}.{numbers}"
        )
