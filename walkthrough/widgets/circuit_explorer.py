"""The two circuits of every head, token by token: who looks for it, and what it raises."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from matplotlib.axes import Axes

from walkthrough import figures
from walkthrough.architecture import bos
from walkthrough.beyond.folded_rows import TokenRows
from walkthrough.circuits import centred, ov_circuit, qk_circuit
from walkthrough.searches import relative_to
from walkthrough.widgets.explorer import (
    Explorer,
    beyond_the_paper,
    named,
    prompt_tokens,
    quoted,
    shown,
    table,
    the_model,
    within,
)  # fmt: skip

TOP = 20  # destinations and outputs of a head that is enlarged; the page shows the first 5 of the others
STORED = 16  # different tokens of a prompt that are stored; the kernel is asked for the rest
FEW = 1  # of a model with a large vocabulary and many heads


def best(names: Sequence[str], tokens: Sequence[int], hundredths: Sequence[int]) -> str:
    """The first five tokens, each with its value."""
    return "   ".join(
        f"{names[token]}\N{NO-BREAK SPACE}{value / 100:.2f}" for token, value in zip(tokens[:5], hundredths)
    )


class CircuitExplorer(Explorer):
    """Type a token, or click one: which tokens each head has look for it most, and what it raises once looked at.

    The chosen token is the source. Destinations are by the QK circuit relative to `<BOS>`, in log-odds with positions
    left out, and outputs by the OV circuit less the mean of its row, in logits, as in notebook 04 (Elhage et al. 2021,
    "One-Layer Attention-Only Transformers"). `tokens` are texts, each one token, that are stored besides those of the
    prompts; the first is chosen. Bytes that are no character by themselves go by the number of their token: �17. In a model
    that is not of the paper's kind, gains of norms are folded in, queries are not turned, and outputs are at a final scale
    of 1.
    """

    name = "Circuit explorer"
    shows = "which tokens each head has look for a token, and what it raises once that is looked at"
    script = "circuits.js"

    def __init__(self, model: Any, prompts: str | Sequence[str], tokens: Sequence[str] = (), **view: Any) -> None:
        self.model, self.rows, self.bos = model, None, 0
        self.tokens = [tokens] if isinstance(tokens, str) else list(tokens)
        if self.tokens:
            view.setdefault("token", self.tokens[0])
        if "token" in view and view["token"] not in self.tokens:
            self.tokens.append(view["token"])
        super().__init__(prompts, **view)

    def fixed(self) -> dict[str, Any]:
        """The texts of all tokens, and the entries of `tokens`; the circuits are factored once and for all."""
        self.model = model = the_model(self.model, beyond=True)
        self.names = named(model, torch.arange(model.cfg.d_vocab))
        self.ids = {name: token for token, name in enumerate(self.names)}
        self.given_ids = [self.token(text) for text in self.tokens]
        if beyond_the_paper(model):
            self.rows, self.bos = TokenRows(model), bos(model)
            return {"vocabulary": self.names, "found": self.entries(self.given_ids)}
        heads = [(layer, head) for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)]
        looking = [relative_to(qk_circuit(model, *head)).T for head in heads]  # a row: all that may look for one token
        raising = [centred(ov_circuit(model, *head)) for head in heads]
        self.circuits = [
            [torch.stack([c.A for c in kind]), torch.stack([c.B for c in kind])] for kind in (looking, raising)
        ]
        return {"vocabulary": self.names, "found": self.entries(self.given_ids)}

    def token(self, text: str) -> int:
        """The id of a token; ValueError for a text that is not exactly one."""
        return self.ids[text] if text in self.ids else self.model.to_single_token(text)

    def entries(self, tokens: Sequence[int]) -> dict[int, list]:
        """For each source, [layer][head]: keenest destinations, log-odds, highest outputs, logits (hundredths).

        None looks for `<BOS>` more than for `<BOS>`: its log-odds are all 0, and it has no destinations.
        """
        k, best = min(TOP, self.model.cfg.d_vocab), []
        for scores in self.scores(list(tokens)):
            values, ids = scores.topk(k)
            best += [ids, (100 * values).round().long()]
        if not tokens:
            return {}
        best = torch.stack(best).view(4, self.model.cfg.n_layers, self.model.cfg.n_heads, len(tokens), k)
        found = {token: best[:, :, :, i].permute(1, 2, 0, 3).tolist() for i, token in enumerate(tokens)}
        for layer in found.get(self.bos, []):
            for head in layer:
                head[:2] = [], []
        return found

    def scores(self, tokens: list[int]) -> Iterator[torch.Tensor]:
        """Of each source: log-odds of all destinations, then logits of all outputs, [head source d_vocab]."""
        if self.rows is None:
            yield from (A[:, tokens] @ B for A, B in self.circuits)
        elif tokens:
            yield self.rows.looking(torch.tensor(tokens), self.bos)
            yield self.rows.raising(torch.tensor(tokens))

    def look(self, prompt: str) -> dict[str, Any]:
        """The prompt's tokens, and the entries of the first that differ."""
        ids = prompt_tokens(self.model, prompt)[0].tolist()
        few = ids if self.rows is None else ids[1 : 1 + FEW]  # the page begins with the token after <BOS>
        stored = [token for token in dict.fromkeys(few) if token not in self.given_ids][:STORED]
        return {"tokens": [self.names[token] for token in ids], "found": self.entries(stored)}

    def answer(self, question: dict[str, Any]) -> Any:
        """The entries of a token, or a new prompt."""
        if "token" not in question:
            return super().answer(question)
        return self.entries([self.token(question["token"])]).popitem()[1]

    def tables(self) -> str:
        """For three tokens, those of `tokens` first and then the first prompt's: each head's five best."""
        record = next(iter(self.data["prompts"].values()))
        sources = dict.fromkeys([*self.given_ids, *(self.ids[name] for name in record["tokens"])])
        names, made = shown(self.names), []
        columns = "head", "destinations that look for it most (log-odds)", "outputs that it raises most (logits)"
        for source, layers in self.entries([source for source in sources if source != self.bos][:3]).items():
            rows = [
                [f"head {layer}:{head}", best(names, *found[:2]), best(names, *found[2:])]
                for layer, heads in enumerate(layers)
                for head, found in enumerate(heads)
            ]
            made.append(table(f"Source {names[source]}", columns, rows))
        return "".join(made)

    def still(self) -> list[Axes]:
        """The same as a still figure: the chosen token in the enlarged head, or the layer's first."""
        source, head, looking, raised = self.chosen()
        axes = figures.circuits.ranked({"log-odds against <BOS>": looking, "logits above their mean": raised})
        source = figures.basics.visible([source])[0]
        axes[0].set_title(f"{head}: look for {source}")
        axes[1].set_title(f"raised by {source}")
        return axes

    def chosen(self) -> tuple[str, str, tuple[torch.Tensor, list[str]], tuple[torch.Tensor, list[str]]]:
        """The chosen token and head; values and names of the tokens that look for it most, and of those it raises most."""
        prompt = self.shown_prompt()
        source = self.view.get("token") or self.data["prompts"][prompt]["tokens"][:2][-1]
        layer = within(self.view.get("layer"), self.model.cfg.n_layers)
        head = within(self.view.get("head"), self.model.cfg.n_heads)
        found = self.entries([self.token(source)]).popitem()[1][layer][head]
        looking, raised = [
            (torch.tensor(hundredths) / 100, [self.names[token] for token in tokens])
            for tokens, hundredths in (found[:2], found[2:])
        ]
        return source, f"head {layer}:{head}", looking, raised

    def described(self) -> str:
        """The token that looks most for the chosen one, and the one that it raises most."""
        source, head, (log_odds, destinations), (logits, outputs) = self.chosen()
        left = "no token looks for it more than <BOS> does"
        if destinations:
            first = f"{quoted(destinations[0])}, {log_odds[0]:.2f} log-odds against <BOS>"
            left = f"the tokens that look for it most, first {first}"
        return (
            f"Two bar charts for the token {quoted(source)} in {head}. Left, {left}. Right, the tokens that it raises "
            f"most, first {quoted(outputs[0])}, {logits[0]:.2f} logits above the mean."
        )
