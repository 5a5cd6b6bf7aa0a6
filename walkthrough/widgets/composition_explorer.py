"""Composition: which heads read which, and by what circuit."""

import base64
import math
import re
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from torch import Tensor

from walkthrough import circuits, figures, paths, searches
from walkthrough.beyond import folded_circuits
from walkthrough.beyond.folded_rows import pruned_largest
from walkthrough.beyond.frozen import needed
from walkthrough.beyond.frozen_scores import frozen_composed_scores
from walkthrough.two_layers import composition
from walkthrough.two_layers.induction import match_gain
from walkthrough.widgets.explorer import (
    Explorer,
    beyond_the_paper,
    named,
    prompt_tokens,
    shown,
    table,
    the_model,
    within,
)

CIRCUITS = {
    "Q": composition.q_composed_circuit, "K": composition.k_composed_circuit, "V": composition.virtual_ov_circuit,
}  # fmt: skip
FOLDED = {
    "Q": folded_circuits.folded_q_composed_circuit, "K": folded_circuits.folded_k_composed_circuit,
    "V": folded_circuits.folded_virtual_ov_circuit,
}  # fmt: skip
MOST = 6  # layers whose pairs can be told apart in a list
STORED = 10  # edges whose circuit is stored with each prompt, the strongest first,
STORED_NUMBERS = 40_000  # unless these are more numbers
MIDDLE = torch.tensor([0.025, 0.975])  # the middle 95% of untrained pairs, as in 07


class CompositionExplorer(Explorer):
    """A graph of heads with an edge where one reads what another wrote, as Q, K or V; click an edge for its circuit.

    Composition scores are those of 07, in multiples of 1/√d_model, which unrelated heads have; edges start where the
    scores of five untrained models of the same shape end. An edge's circuit is shown on the prompt (a term of the
    scores over its mean on the visible keys, or the virtual head's pattern) and on the vocabulary (the largest entries
    over their row's mean). (Elhage et al. 2021, "Two-Layer Attention-Only Transformers".) Of a model with many layers,
    `layers` are those whose heads are compared. In one that is not of the paper's kind, gains of norms are folded in, keys
    are not turned, and chance is heads with random weights behind the same gains.
    """

    name = "Composition explorer"
    shows = "which heads read what earlier heads wrote, as query, key or value"
    script = "composition.js"

    def __init__(self, model: Any, prompts: str | Sequence[str], layers: Sequence[int] = (), **view: Any) -> None:
        self.model, self.chosen, self.known, self.last = model, view.get("edge"), {}, ("", None)
        self.layers = layers
        super().__init__(prompts, **view)

    def fixed(self) -> dict[str, Any]:
        """All scores, what chance gives, and the circuits on the vocabulary of the edges that chance does not give."""
        self.model = the_model(self.model, beyond=True)
        self.beyond, cfg = bool(beyond_the_paper(self.model)), self.model.cfg
        if cfg.n_layers < 2:
            raise ValueError(
                f"{cfg.model_name} has no second layer, and a head reads only what an earlier layer wrote: "
                "give a model with two layers or more"
            )
        baseline = cfg.d_model**-0.5
        layers = chosen_layers(self.model, self.layers)
        pairs, heads = list(combinations(layers, 2)), range(cfg.n_heads)
        if self.beyond:
            chance = folded_circuits.chance_scores(self.model, pairs[0]) / baseline
        else:
            chance = composition.random_scores(cfg.d_model, cfg.n_heads, cfg.n_ctx, cfg.d_vocab) / baseline
        least = math.ceil(100 * chance.max().item()) / 100
        score = folded_circuits.folded_composition_scores if self.beyond else composition.composition_scores
        of = lambda layers: [score(self.model, kind, layers) for kind in "QKV"]
        scores = torch.stack([torch.stack(of(layers)) for layers in pairs]).double().mul(1e5).round() / 1e5
        names = [f"{kind} {a}:{x} {b}:{y}" for a, b in pairs for kind in "QKV" for x in heads for y in heads]
        order = scores.flatten().argsort(descending=True, stable=True).tolist()
        ranked = {names[i]: scores.flatten()[i].item() / baseline for i in order}
        self.edges = {edge: times for edge, times in ranked.items() if times >= least}
        of_pairs = [names[i + pair * scores[0].numel()] for pair, i in enumerate(scores.flatten(1).argmax(1).tolist())]
        self.strongest = list(dict.fromkeys(of_pairs + list(ranked)[: 1 if self.beyond else STORED]))
        wanted = [*([] if self.beyond else self.edges), *self.strongest, *([self.chosen] if self.chosen else [])]
        return {
            "baseline": baseline, "least": least, "layers": pairs, "scores": scores.tolist(),
            "band": [[round(end.item(), 4) for end in chance[:, k].quantile(MIDDLE)] for k in range(3)],
            "circuits": {edge: self.on_the_vocabulary(edge) for edge in dict.fromkeys(wanted)},
        }  # fmt: skip

    def heads(self, edge: str) -> tuple[str, tuple[int, int], tuple[int, int]]:
        """Kind, earlier and later head of "K 0:4 1:6"; ValueError if there is no such edge."""
        found = re.fullmatch(r"([QKV]) (\d+):(\d+) (\d+):(\d+)", str(edge))
        if found is None:
            raise ValueError(f"there is no edge {edge!r}: write it as in 'K 0:4 1:6'")
        kind, *numbers = found.groups()
        first, second = tuple(map(int, numbers[:2])), tuple(map(int, numbers[2:]))
        composition.check_pair(self.model, first, second)
        return kind, first, second

    def on_the_vocabulary(self, edge: str) -> dict[str, Any]:
        """The largest entries of an edge's circuit over their row's mean, its eigenvalue positivity and match gain.

        Positivity as in 05 and 09: of the virtual head's circuit centred, of the others as they are.
        """
        if edge not in self.known:
            kind, first, second = self.heads(edge)
            circuit = (FOLDED if self.beyond else CIRCUITS)[kind](self.model, first, second)
            over = circuits.centred(circuit)
            values, rows, columns = (pruned_largest if self.beyond else searches.largest_entries)(over, 8)
            tokens = [named(self.model, side) for side in (rows, columns)]
            self.known[edge] = {
                "top": [[*pair, round(value, 2)] for *pair, value in zip(*tokens, values.tolist())],
                "positivity": round(circuits.eigenvalue_positivity(over if kind == "V" else circuit).item(), 3),
                "gain": round(match_gain(circuit), 3),
            }
        return self.known[edge]

    def on_the_prompt(self, edge: str, prompt: str) -> Tensor:
        """An edge on a prompt [query key]: a term of the scores over its visible mean, or a virtual pattern."""
        if self.last[0] != prompt:
            wanted = needed if self.beyond else None
            self.last = prompt, self.model.run_with_cache(prompt_tokens(self.model, prompt), names_filter=wanted)[1]
        run, (kind, first, second) = self.last[1], self.heads(edge)
        if kind == "V":
            return paths.virtual_pattern(*(run["pattern", layer][0, head] for layer, head in (first, second)))
        scores = frozen_composed_scores if self.beyond else composition.composed_scores
        return composition.over_the_visible(scores(self.model, run, kind, first, second))

    def grid(self, edge: str, prompt: str) -> dict[str, Any]:
        """The same, as the page reads it: the lower triangle, in whole steps of a hundredth, or coarser if need be."""
        values = self.on_the_prompt(edge, prompt)
        step = max(0.01, values.abs().max().item() / 32767)
        triangle = values[tuple(torch.tril_indices(*values.shape))]
        raw = (triangle / step).round().to(torch.int16).numpy().astype("<i2").tobytes()
        return {"step": step, "values": base64.b64encode(raw).decode()}

    def look(self, prompt: str) -> dict[str, Any]:
        """The prompt's tokens, and the strongest edges' circuits on it; the chosen edge's, too."""
        tokens = self.model.to_str_tokens(prompt_tokens(self.model, prompt)[0])
        chosen = self.view.get("edge", self.chosen)
        edges = list(dict.fromkeys(([chosen] if chosen else []) + self.strongest))
        room = max(1, 2 * STORED_NUMBERS // len(tokens) ** 2)
        return {"tokens": tokens, "edges": {edge: self.grid(edge, prompt) for edge in edges[:room]}}

    def answer(self, question: dict[str, Any]) -> Any:
        """An edge's circuit on prompt and vocabulary, or a new prompt."""
        if "edge" not in question:
            return super().answer(question)
        edge = question["edge"]
        self.data["circuits"][edge] = self.on_the_vocabulary(edge)
        return {"circuit": self.known[edge], "grid": self.grid(edge, question["prompt"])}

    def tables(self) -> str:
        """The edges beyond chance, the highest score first, and the first of all edges on the first prompt."""
        prompt, record = next(iter(self.data["prompts"].items()))
        rows = []
        for edge, times in self.edges.items():
            if edge not in self.known:  # of a large model: the kernel is asked when its edge is clicked
                continue
            kind, first, second = edge.split()
            source, target, value = self.known[edge]["top"][0]
            top = f"{' → '.join(shown([source, target]))} {value:+.2f}"
            positivity = f"{self.known[edge]['positivity']:+.2f}"
            rows.append(
                [f"{first} → {second}", kind, f"{times * self.data['baseline']:.4f}", f"{times:.2f}", positivity, top]
            )
        caption = f"Composition of at least {self.data['least']:.2f} × the baseline {self.data['baseline']:.4f}"
        columns = [
            "heads",
            "read as",
            "score",
            "× baseline",
            "eigenvalue positivity",
            "largest entry, over its row's mean",
        ]
        edge, tokens = self.strongest[0], shown(record["tokens"])
        values = self.on_the_prompt(edge, prompt)
        best = values.masked_fill(torch.ones_like(values).triu(1).bool(), -torch.inf).max(-1)
        of = [[token, f"{tokens[key]} {value:+.2f}"] for token, key, value in zip(tokens, best.indices, best.values)]
        what = "key and attention" if edge.startswith("V") else "key and score, over the mean of the visible keys"
        return table(caption, columns, rows) + table(f"{edge} on the prompt", ["from", f"most: {what}"], of)

    def still(self) -> list[Axes]:
        """The same as a still figure: scores minus the baseline of all pairs of the layers shown; Q, K and V."""
        self.shown_prompt()  # or the sentence why there is none
        pair = within(self.view.get("pair"), len(self.data["layers"]))
        scores, baseline = torch.tensor(self.data["scores"][pair]), self.data["baseline"]
        limit = (scores - baseline).abs().max().item()
        fig = plt.figure(figsize=(10, 3.6), layout="constrained")
        axes = list(fig.subplots(1, 3))
        for ax, kind, values, band in zip(axes, "QKV", scores, self.data["band"]):
            untrained = tuple((end - 1) * baseline for end in band)
            layers = tuple(self.data["layers"][pair])
            figures.basics.head_pairs(values - baseline, limit=limit, layers=layers, within=untrained, ax=ax)
            ax.set_title(f"{kind}-composition")
        fig.colorbar(axes[2].images[0], ax=axes, label="score minus 1/√d_model", shrink=0.7)
        return axes

    def described(self) -> str:
        """The pair of heads with the highest score in the still figure."""
        self.shown_prompt()
        pair = within(self.view.get("pair"), len(self.data["layers"]))
        scores, (a, b) = torch.tensor(self.data["scores"][pair]), self.data["layers"][pair]
        kind, first, second = torch.unravel_index(scores.argmax(), scores.shape)
        times = scores.max() / self.data["baseline"]
        return (
            f"Three heat maps of composition scores, by Q, K and V: rows are the heads of layer {a}, which write, columns "
            f"the heads of layer {b}, which read. The highest is the {'QKV'[kind]}-composition of {a}:{first} with "
            f"{b}:{second}: {scores.max():.3f}, which is {times:.2f} times that of unrelated heads."
        )


def chosen_layers(model: Any, layers: Sequence[int]) -> list[int]:
    """The layers whose heads are compared, in order: all, or those that are given. ValueError if they cannot be."""
    n_layers, chosen = model.cfg.n_layers, sorted(set(layers))
    if not chosen and n_layers > MOST:
        raise ValueError(
            f"{model.cfg.model_name} has {n_layers} layers, too many pairs to draw: choose 2 to {MOST}, for example "
            f"layers=[{n_layers // 2}, {n_layers // 2 + 1}]"
        )
    if chosen and not (2 <= len(chosen) <= MOST and chosen[0] >= 0 and chosen[-1] < n_layers):
        raise ValueError(f"layers are 2 to {MOST} of 0 to {n_layers - 1}, not {list(layers)}")
    return chosen or list(range(n_layers))
