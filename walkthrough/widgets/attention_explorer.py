"""Attention, token by token: which heads look where."""

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from matplotlib.axes import Axes

from walkthrough import figures
from walkthrough.interventions import Hooks
from walkthrough.widgets.ablation import answered, heads_of
from walkthrough.widgets.explorer import Explorer, excerpt, prompt_tokens, quoted, shown, table, the_model, within

HELD = 4_000_000  # shares of attention that a prompt may have in a page, a byte each


class AttentionExplorer(Explorer):
    """Hover over a token: each head shows where it attends from there, and the chosen head shades the tokens.

    `models` is a model, its name, or a mapping of names to models that read the same tokens; any two of their layers stand
    side by side. "Times the size of the value" weighs each attention by ‖x W_V W_O‖ of the token that it reaches, as a
    share of the largest in the prompt (Elhage et al. 2021, "Attention Heads as Information Movement"). Heads can be ablated,
    and patterns frozen: then the patterns are those of the changed run, and the predictions of both runs stand side by side.
    Models may be of any kind that has attention; a prompt whose patterns are too many for a page is refused.
    """

    name = "Attention explorer"
    shows = "where each head looks from the token under the pointer"
    script = "attention.js"
    beside = ("ablation.js",)

    def __init__(self, models: Any, prompts: str | Sequence[str], **view: Any) -> None:
        self.models = models
        super().__init__(prompts, **view)

    def fixed(self) -> dict[str, Any]:
        """How many heads the models have; they are looked up."""
        named = self.models if isinstance(self.models, Mapping) else {"": self.models}
        if not named:
            raise ValueError("there is no model to look at: give one or more")
        self.models = {name: the_model(model, beyond=True) for name, model in named.items()}
        return {"heads": heads_of(self.models)}

    def look(self, prompt: str) -> dict[str, Any]:
        """The prompt's tokens; for each layer, its patterns in hundredths and the sizes of its values."""
        tokens, layers = None, []
        for name, model in self.models.items():
            ids = prompt_tokens(model, prompt)
            if tokens is not None and model.to_str_tokens(ids[0]) != tokens:
                raise ValueError(
                    "these models cut the prompt into different tokens: give models that share a tokenizer"
                )
            tokens = model.to_str_tokens(ids[0])
            check_size(self.models.values(), len(tokens))
            layers += self.layers_of(name, ids)
        return {"tokens": tokens, "layers": layers}

    def layers_of(self, name: str, ids: torch.Tensor, hooks: Hooks = ()) -> list[dict[str, Any]]:
        """Of each layer of one model its patterns in hundredths and the sizes of its values, in a run with these hooks."""
        model, layers = self.models[name], []
        with model.hooks(fwd_hooks=list(hooks)):
            cache = model.run_with_cache(ids, names_filter=lambda hook: hook.endswith(("hook_pattern", "hook_v")))[1]
        for layer in range(model.cfg.n_layers):
            pattern, values = (cache[f"blocks.{layer}.attn.hook_{which}"][0] for which in ("pattern", "v"))
            shared = pattern.shape[0] // values.shape[1]  # heads of a group share theirs
            values = values.repeat_interleave(shared, 1)
            norms = (values.transpose(0, 1) @ model.blocks[layer].attn.W_O).norm(dim=-1)
            hundredths = (100 * pattern).round().to(torch.uint8)
            layers.append({
                "name": f"{name} layer {layer}".strip(), "layer": layer,
                "pattern": base64.b64encode(hundredths.numpy().tobytes()).decode(),
                "norms": [[round(norm, 3) for norm in head] for head in norms.tolist()],
            })  # fmt: skip
        return layers

    def answer(self, question: dict[str, Any]) -> Any:
        """What changes if heads of one of the models are ablated, or their patterns frozen; a new prompt."""
        if not question.keys() & {"ablate", "each"}:
            return super().answer(question)
        name = list(self.models)[question.get("model", 0)]
        found, hooks = answered(self.models[name], question)
        if "patterns" not in question:
            return found
        return found | {"layers": self.layers_of(name, prompt_tokens(self.models[name], question["prompt"]), hooks)}

    def pattern(self, prompt: str, layer: int) -> torch.Tensor:
        """The stored patterns of one of the layers of all models, [head, query, key], rounded to hundredths."""
        record = self.data["prompts"][prompt]
        n = len(record["tokens"])
        raw = bytearray(base64.b64decode(record["layers"][layer]["pattern"]))
        return torch.frombuffer(raw, dtype=torch.uint8).view(-1, n, n) / 100

    def tables(self) -> str:
        """For each layer, the token that each head attends to most, and its share."""
        prompt, record = next(iter(self.data["prompts"].items()))
        tokens, made = shown(record["tokens"]), []
        for number, layer in enumerate(record["layers"]):
            shares, keys = self.pattern(prompt, number).max(-1)
            heads = [f"head {layer['layer']}:{head}" for head in range(len(shares))]
            rows = [
                [token, *(f"{tokens[keys[head, pos]]} {shares[head, pos]:.2f}" for head in range(len(shares)))]
                for pos, token in enumerate(tokens)
            ]
            made.append(table(f"Most attended to from each token, {layer['name']}", ["from", *heads], rows))
        return "".join(made)

    def still(self) -> list[Axes]:
        """The same as a still figure: the chosen head of the chosen layers, of the prompt that is shown."""
        chosen, tokens = self.chosen(), self.data["prompts"][self.shown_prompt()]["tokens"]
        every = 1 + len(tokens) // 32  # more labels than that would overlap
        labels = [token if pos % every == 0 else "" for pos, token in enumerate(tokens)]
        return figures.basics.side_by_side(torch.stack(list(chosen.values())), list(chosen), labels)

    def chosen(self) -> dict[str, torch.Tensor]:
        """The patterns [query key] of the chosen head in the chosen layers, by the title of each."""
        prompt, found = self.shown_prompt(), {}
        layers = self.data["prompts"][prompt]["layers"]
        for layer in within(self.view.get("layer"), len(layers)), within(self.view.get("beside"), len(layers), -1):
            if layer >= 0:
                of_heads = self.pattern(prompt, layer)
                head = within(self.view.get("head"), len(of_heads))
                found[f"{layers[layer]['name']}, head {head}"] = of_heads[head]
        return found

    def described(self) -> str:
        """Where each pattern of the still figure looks from the chosen token, or from the last."""
        prompt, chosen = self.shown_prompt(), self.chosen()
        tokens = self.data["prompts"][prompt]["tokens"]
        query = within(self.view.get("query"), len(tokens), len(tokens) - 1)
        read = []
        for title, pattern in chosen.items():
            share, key = pattern[query].max(-1)
            read.append(f"{title} attends most to {quoted(tokens[key])}: {share:.2f}")
        return (
            f"Heat map of attention in {' and in '.join(chosen)}, on the prompt {excerpt(prompt)}: rows look, columns are "
            f"looked at. From {quoted(tokens[query])}, at position {query}, {', and '.join(read)}."
        )


def check_size(models: Iterable[Any], n: int) -> None:
    """Raise ValueError for a prompt of more tokens than a page can hold the patterns of all heads of."""
    heads = sum(model.cfg.n_layers * model.cfg.n_heads for model in models)
    if heads * n**2 > HELD:
        raise ValueError(
            f"the patterns of {heads} heads on {n} tokens are too many numbers for a page: shorten the prompt to at most "
            f"{math.isqrt(HELD // heads)} tokens"
        )
