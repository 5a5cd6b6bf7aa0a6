"""A predicted token's logit, path by path, and each path by the positions that it comes from."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from matplotlib.axes import Axes

from walkthrough import figures
from walkthrough.attribution import first_layer, path_names, path_sources
from walkthrough.beyond.frozen_sources import part_names, part_sources, source_hooks
from walkthrough.beyond.frozen_weights import b_U_of
from walkthrough.widgets.ablation import answered, heads_of, rounded
from walkthrough.widgets.explorer import (
    Explorer,
    beyond_the_paper,
    excerpt,
    prompt_tokens,
    quoted,
    shown,
    table,
    the_model,
    within,
)  # fmt: skip

LIKELY, LARGEST = 5, 12  # predictions of each position; bars that are shown, and whose sources are stored
STORED = 50_000  # numbers stored for a prompt, as positions from its last one backwards: about 60 kB

PARTS = (
    "Here a bar is not a path but a part of the last stream: a head's output, an MLP's, a bias, or the embedding. It passes "
    "the final norm, which divides as in this run. What a head adds comes from where it looks."
)


def hundredths(values: torch.Tensor) -> list:
    """Values as whole numbers of hundredths, which take little room."""
    return (100 * values).round().int().tolist()


def by_size(bars: torch.Tensor) -> torch.Tensor:
    """Indices of the rows, the largest in size first, as the page sorts them: after rounding, equals as they come."""
    return (100 * bars).round().abs().sort(dim=0, descending=True, stable=True).indices


class LogitExplorer(Explorer):
    """Hover over a token: what the model expects after it; click a prediction: its logit as a sum of bars, one a path.

    A path is the direct one, a head, or a chain of heads; a click on its bar shows from which positions it comes, with
    attention patterns as they are in this run. "Above the mean" takes from each path its mean over the vocabulary, as a
    softmax sees differences only. A model with more than 1000 paths is expanded from a later layer on, as `note` says; in one
    that is not of the paper's kind, a bar is a part of the last stream: a head, an MLP, a bias, the embedding. Heads can be
    ablated, and patterns frozen, to see what the model expects then.
    """

    name = "Logit explorer"
    shows = "what the model expects after each token, and the paths that put it there"
    script = "logits.js"
    beside = ("ablation.js",)

    def __init__(self, model: Any, prompts: str | Sequence[str], **view: Any) -> None:
        self.model = model
        self.run = lru_cache(4)(self.run)
        super().__init__(prompts, **view)

    def fixed(self) -> dict[str, Any]:
        """The names of the paths, and a note if they do not start from the embedding."""
        self.model = the_model(self.model, beyond=True)
        n_layers, n_heads, heads = self.model.cfg.n_layers, self.model.cfg.n_heads, heads_of({"": self.model})
        if beyond_the_paper(self.model):
            self.mean = self.model.W_U.mean(-1, keepdim=True)
            run = self.model.run_with_cache(self.model.to_tokens("a")[:, :1], names_filter=source_hooks)[1]
            return {"paths": part_names(self.model, run), "note": PARTS, "heads": heads}
        self.first, self.mean = first_layer(n_layers, n_heads), self.model.W_U.mean(-1, keepdim=True)
        self.W_V, self.W_O = self.model.W_V[self.first :], self.model.W_O[self.first :]
        note = self.first and (
            f"This model has {(n_heads + 1) ** n_layers} paths: too many, so here they start from the stream that "
            f"layer {self.first} reads, with all that earlier layers put there."
        )
        return {"paths": path_names(n_layers, n_heads, self.first), "note": note or "", "heads": heads}

    def run(self, prompt: str) -> tuple[Any, ...]:
        """Ids, logits, and the stream and patterns from which paths start; ids of the predictions of each position.

        Where bars are parts of the last stream, the run itself, and None, in place of stream and patterns.
        """
        ids = prompt_tokens(self.model, prompt)
        if self.data["note"] == PARTS:
            logits, cache = self.model.run_with_cache(ids, names_filter=source_hooks)
            return ids[0], logits[0], cache, None, self.likely(ids, logits)
        logits, cache = self.model.run_with_cache(ids)
        patterns = [cache["pattern", layer][0] for layer in range(self.first, self.model.cfg.n_layers)]
        stream = cache["resid_pre", self.first][0]
        return ids[0], logits[0], stream, torch.stack(patterns), self.likely(ids, logits)

    def likely(self, ids: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """For each position the likeliest tokens, and the one that really comes, [pos target]."""
        likely = logits[0].topk(LIKELY).indices
        really = torch.cat([ids[0, 1:], likely[-1:, 0]])  # after the last position nothing comes
        return torch.cat([likely, really[:, None]], dim=1)

    def look(self, prompt: str) -> dict[str, Any]:
        """Tokens; predictions of each position, the token that really comes last; paths of the last positions."""
        ids, logits, _, _, targets = self.run(prompt)
        tokens, n = self.model.to_str_tokens(ids), len(ids)
        each = 2 * (LIKELY + 1) * (len(self.data["paths"]) + LARGEST * n // 2)
        probabilities = logits.softmax(-1).gather(-1, targets)
        ranks = 1 + (logits > logits.gather(-1, targets[:, -1:])).sum(-1)
        return {
            "tokens": tokens,
            "predicted": [self.model.to_str_tokens(row) for row in targets],
            "probability": rounded(probabilities),
            "rank": ranks.tolist(),
            "at": {position: self.at(prompt, position) for position in range(max(n - max(STORED // each, 1), 0), n)},
        }

    def split(self, prompt: str, position: int) -> dict[str, torch.Tensor]:
        """Logits of a position's predictions, [path target source]: "raw", and "above" the mean over the vocabulary."""
        _, _, stream, patterns, targets = self.run(prompt)
        if patterns is None:
            return self.split_parts(stream, targets[position], position)
        readout = torch.cat([self.model.W_U[:, targets[position]], self.mean], dim=1)
        logits = path_sources(stream, patterns, self.W_V, self.W_O, readout, position)[..., : position + 1]
        return {"raw": logits[:, :-1], "above": logits[:, :-1] - logits[:, -1:]}

    def split_parts(self, run: Any, targets: torch.Tensor, position: int) -> dict[str, torch.Tensor]:
        """The same where bars are parts of the last stream."""
        b_U = b_U_of(self.model)
        columns = torch.cat([self.model.W_U[:, targets], self.mean], dim=1)
        bias = torch.cat([b_U[targets], b_U.mean()[None]])
        parts = torch.stack(list(part_sources(self.model, run, position, columns, bias).values()))[..., : position + 1]
        return {"raw": parts[:, :-1], "above": parts[:, :-1] - parts[:, -1:]}

    def at(self, prompt: str, position: int) -> dict[str, Any]:
        """For each prediction of a position its logit; for both ways of counting its bars, and the largest's sources."""
        _, logits, _, _, targets = self.run(prompt)
        answer = {
            "logits": rounded(logits[position, targets[position]]),
            "mean": round(logits[position].mean().item(), 4),
        }
        for way, split in self.split(prompt, position).items():
            bars = split.sum(-1)
            largest = by_size(bars)[:LARGEST]
            answer[way] = {
                "sum": rounded(bars.sum(0)),
                "others": rounded(bars.sum(0) - bars.gather(0, largest).sum(0)),
                "bars": hundredths(bars.T),
                "sources": [hundredths(split[rows, target]) for target, rows in enumerate(largest.T)],
            }
        return answer

    def answer(self, question: dict[str, Any]) -> Any:
        """All paths of a position; one path's sources, if one is named; what changes if heads are ablated; a new prompt."""
        if question.keys() & {"ablate", "each"}:
            return answered(self.model, question)[0]
        if "position" not in question:
            return super().answer(question)
        prompt, position = question["prompt"], question["position"]
        if "path" not in question:
            return self.at(prompt, position)
        return hundredths(self.split(prompt, position)[question["way"]][question["path"], question["target"]])

    def largest(self, prompt: str, position: int, target: int, way: str) -> tuple[list[str], list[float]]:
        """Names and logits of the largest paths, and of all the others together."""
        bars = self.split(prompt, position)[way][:, target].sum(-1)
        order = by_size(bars).tolist()
        names, rest = [self.data["paths"][path] for path in order[:LARGEST]], order[LARGEST:]
        if rest:
            names.append(f"the other {len(rest)} paths")
        return names, [*bars[order[:LARGEST]].tolist(), *([bars[rest].sum().item()] if rest else [])]

    def tables(self) -> str:
        """After the first prompt's last token: the predictions, and the largest paths of the likeliest."""
        prompt, record = next(iter(self.data["prompts"].items()))
        last, after = len(record["tokens"]) - 1, shown(record["tokens"])[-1]
        at, predicted = record["at"][last], shown(record["predicted"][last])
        rows = [
            [token, f"{probability:.2f}", f"{logit:.2f}"]
            for token, probability, logit in zip(predicted[:LIKELY], record["probability"][last], at["logits"])
        ]
        names, values = self.largest(prompt, last, 0, "above")
        paths = [*zip(names, map("{:+.2f}".format, values)), ("sum of all paths", f"{at['above']['sum'][0]:+.2f}")]
        return table(f"Likeliest after {after}", ["token", "probability", "logit"], rows) + table(
            f"Paths to {predicted[0]} after {after}, in logits above the mean over the vocabulary",
            ["path", "logits"],
            paths,
        )

    def still(self) -> Axes:
        """The same as a still figure: the largest paths to the chosen prediction, at the chosen position."""
        prompt, position, target, way = self.chosen()
        record = self.data["prompts"][prompt]
        names, values = self.largest(prompt, position, target, way)
        after, word = figures.basics.visible([record["tokens"][position], record["predicted"][position][target]])
        label = "logits" + ", above the mean" * (way == "above")
        ax = figures.basics.contributions(torch.tensor(values), names, label=label)
        ax.figure.set_size_inches(8, 4)
        ax.set(xlabel="path (layer:head)", title=f"paths to {word} after {after}, at position {position}")
        return ax

    def chosen(self) -> tuple[str, int, int, str]:
        """The prompt, position, prediction and way of counting that are shown."""
        view, prompt = self.view, self.shown_prompt()
        last = len(self.data["prompts"][prompt]["tokens"]) - 1
        position = within(view.get("position"), last + 1, last) if view.get("of", prompt) == prompt else last
        target = within(view.get("target"), LIKELY if position == last else LIKELY + 1)
        return prompt, position, target, "above" if view.get("above", True) else "raw"

    def described(self) -> str:
        """The probability of the chosen prediction, and the largest path to it."""
        prompt, position, target, way = self.chosen()
        record = self.data["prompts"][prompt]
        names, values = self.largest(prompt, position, target, way)
        word, after = quoted(record["predicted"][position][target]), quoted(record["tokens"][position])
        return (
            f"Bar chart of the largest paths to the logit of {word} after {after}, at position {position} of the prompt "
            f"{excerpt(prompt)}, where its probability is {record['probability'][position][target]:.2f}. The largest path, "
            f"{names[0]}, gives {values[0]:+.2f} logits{', above the mean' * (way == 'above')}."
        )
