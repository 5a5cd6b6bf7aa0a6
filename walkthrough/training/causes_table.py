"""What is measured of the runs of `walkthrough.training.causes`, as one small table.

`python -m walkthrough.training.causes_table folder` reads the snapshots in the folder and writes `TABLE`. What was
measured before of other runs on the same text stays in it.
"""

import argparse
import dataclasses
import hashlib
import json
import platform
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors.torch import save
from torch import Tensor

from walkthrough import behaviour, corpus, models
from walkthrough.interventions import Head
from walkthrough.models import PaperModel
from walkthrough.training.causes import FIXED, RECIPE, RUNS, SEEDS, file_of, recipe_of, snapshots, untrained
from walkthrough.training.forward import final_stream
from walkthrough.training.live import LENGTH, PROMPTS, Text, read_text
from walkthrough.two_layers import causes, in_context
from walkthrough.two_layers.induction import late_minus_early

TABLE = models.WEIGHTS / "causes" / "table.json"
EARLY, LATE = (30, 60), (200, 256)  # positions: the stretches of notebook 08
EVERY = 200  # steps between two measurements
SHIPPED = ("one layer, smeared keys", "fixed copies", "two layers")
ROWS = 64  # windows of held-out code
LENGTHS = (40, 60, 80, 100)  # of copies, on which runs on copied text are tried
CHOSEN = 0.1  # the final prefix-matching score above which heads are ablated together


def held_out(text: Text) -> Int[Tensor, "window pos"]:
    """Windows from all over a package that no run has seen."""
    rows = corpus.held_out(text.tokenizer, ["email"], RECIPE.n_ctx).long()
    return rows[:: len(rows) // ROWS][:ROWS]


def losses(model: PaperModel, rows: Int[Tensor, "window pos"]) -> Float[Tensor, "window pos"]:
    """Loss in nats of each next token."""
    return behaviour.loss_per_position(model.head(final_stream(model, rows[:, :-1])), rows)


def measured(model: PaperModel, rows: Int[Tensor, "window pos"]) -> dict:
    """Losses on code and on random tokens said twice, in order and shuffled; scores of heads, [layer][head]."""
    d_vocab, patterns = model.cfg.d_vocab, []
    twice = behaviour.repeated_tokens(d_vocab, LENGTH, 2, PROMPTS, seed=1)
    shuffled = in_context.shuffled_twice(d_vocab, LENGTH, PROMPTS, seed=1)
    on_code, on_shuffled = losses(model, rows), losses(model, shuffled)
    copies = behaviour.loss_per_position(model.head(final_stream(model, twice[:, :-1], patterns=patterns)), twice)
    found = {
        "text_loss": on_code.mean(), "late_minus_early": late_minus_early(on_code, EARLY, LATE).mean(),
        "first_copy_loss": copies[:, :LENGTH].mean(), "second_copy_loss": copies[:, LENGTH:].mean(),
        "shuffled_loss": on_shuffled[:, LENGTH:].mean(),
        "previous_token": torch.stack([behaviour.previous_token_score(p) for p in patterns]),
        "prefix_matching": torch.stack([behaviour.prefix_matching_score(p, LENGTH) for p in patterns]),
    }  # fmt: skip
    if hasattr(model.layers[0].attn, "alpha"):
        found["own_share"] = torch.stack([block.attn.alpha.sigmoid() for block in model.layers])
    return {key: value.tolist() for key, value in found.items()}


def missed(model: PaperModel, rows: Int[Tensor, "window pos"], chosen: list[Head]) -> dict[str, list]:
    """By how much late minus early rises without heads, all patterns kept, in nats: [layer][head] of each by itself.

    And of all `chosen` together, and of up to six sets of as many others, drawn at random.
    """
    tokens, patterns = rows[:, :-1], []
    final_stream(model, tokens, patterns=patterns)
    run = model.entered(model.tok_embed(tokens)), torch.stack(patterns), *weights(model)

    def score(silent: list[Head]) -> float:
        """Late minus early without some heads."""
        logits = model.head(causes.stream_without(*run, silent))
        return late_minus_early(behaviour.loss_per_position(logits, rows), EARLY, LATE).mean().item()

    every = [(layer, head) for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)]
    sets = causes.control_sets(model.cfg.n_layers, model.cfg.n_heads, chosen)
    whole = score([])
    alone = torch.tensor([score([head]) - whole for head in every])
    return {
        "missed": alone.view(model.cfg.n_layers, -1).tolist(), "missed_chosen": score(chosen) - whole,
        "missed_controls": [score(list(each)) - whole for each in sets],
    }  # fmt: skip


def weights(
    model: PaperModel,
) -> tuple[Float[Tensor, "layer head d_model d_head"], Float[Tensor, "layer head d_head d_model"]]:  # fmt: skip
    """W_V and W_O of all heads."""
    n_heads = model.cfg.n_heads
    W_V = torch.stack([block.attn.v.weight.unflatten(0, (n_heads, -1)).mT for block in model.layers])
    W_O = torch.stack([block.attn.o.weight.T.unflatten(0, (n_heads, -1)) for block in model.layers])
    return W_V, W_O


def curve(name: str, seed: int, folder: Path, rows: Int[Tensor, "window pos"]) -> dict:
    """All that is measured of one run, a list over its snapshots for each measure."""
    found: dict = {}
    recipe, taken = recipe_of(name, seed), list(snapshots(name, seed, folder, EVERY))
    scores = torch.tensor(measured(taken[-1][1], rows)["prefix_matching"])
    found["induction_heads"] = (scores > CHOSEN).nonzero().tolist()
    for step, model in taken:
        values = {"tokens": step * recipe.batch * recipe.n_ctx} | measured(model, rows)
        if name == "two layers":
            values |= missed(model, rows, [tuple(head) for head in found["induction_heads"]])
        for key, value in values.items():
            found.setdefault(key, []).append(value)
    if RUNS[name][2] != "code":
        found["by_length"] = {str(length): by_length(taken[-1][1], length) for length in LENGTHS}
    return found


def by_length(model: PaperModel, length: int) -> dict[str, list]:
    """On random tokens said twice: losses of both copies, and where heads look, [layer][head][follower, fixed]."""
    tokens, patterns = behaviour.repeated_tokens(model.cfg.d_vocab, length, 2, PROMPTS, seed=length), []
    loss = behaviour.loss_per_position(model.head(final_stream(model, tokens[:, :-1], patterns=patterns)), tokens)
    looks = [causes.follower_and_fixed(pattern, length, FIXED - 1) for pattern in patterns]
    return {
        "first_copy_loss": loss[:, :length].mean().item(), "second_copy_loss": loss[:, length:].mean().item(),
        "looks": torch.stack(looks).tolist(),
    }  # fmt: skip


def ship(folder: Path, text: Text) -> None:
    """The last models of the runs in `SHIPPED`, in float16, with one card."""
    card = shipped_before(text) or {"corpus": text.sha256, "python": platform.python_version(), "models": {}}
    for name in SHIPPED:
        if not file_of(folder, name, 0).exists():
            continue
        *_, (step, model) = snapshots(name, 0, folder)
        recipe, file = recipe_of(name, 0), file_of(TABLE.parent, name, 0).name
        stored = save({key: p.half() for key, p in model.named_parameters() if key in learnt(name)})
        (TABLE.parent / file).write_bytes(stored)
        card["models"][name] = {
            "file": file, "sha256": hashlib.sha256(stored).hexdigest(), "network": recipe.network, "text": RUNS[name][2],
            "config": recipe.shape, "recipe": dataclasses.asdict(recipe), "seed": 0, "steps": step,
            "tokens": step * recipe.batch * recipe.n_ctx,
        }  # fmt: skip
    (TABLE.parent / "card.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def shipped_before(text: Text) -> dict | None:
    """The card of the models that were shipped before, if their runs were trained on the same text."""
    file = TABLE.parent / "card.json"
    card = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"corpus": None}
    return card if card["corpus"] == text.sha256 else None


def learnt(name: str) -> set[str]:
    """The parameters of a run's network that are trained."""
    return {key for key, p in untrained(name, 0).named_parameters() if p.requires_grad}


def kept(name: str, seed: int, folder: Path, rows: Int[Tensor, "window pos"]) -> dict:
    """What is measured of one run, from a file beside its snapshots if it has been measured before."""
    file = file_of(folder, name, seed).with_suffix(".json")
    if not file.exists():
        found = {key: rounded(value) for key, value in curve(name, seed, folder, rows).items()}
        file.write_text(json.dumps(found), encoding="utf-8")
    return json.loads(file.read_text(encoding="utf-8"))


def rounded(value):
    """The same with four digits after the point."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value


def main() -> None:
    """Measure every run that is in the folder."""
    parser = argparse.ArgumentParser(prog="python -m walkthrough.training.causes_table", description=main.__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    text = read_text(RECIPE)
    rows = held_out(text)
    before = json.loads(TABLE.read_text(encoding="utf-8")) if shipped_before(text) else {}
    table: dict[str, dict] = {}
    for name in RUNS:
        for seed in map(str, SEEDS):
            if file_of(folder, name, int(seed)).exists():
                table.setdefault(name, {})[seed] = kept(name, int(seed), folder, rows)
            elif seed in before.get(name, {}):
                table.setdefault(name, {})[seed] = before[name][seed]
    TABLE.parent.mkdir(exist_ok=True)
    ship(folder, text)
    lines = [f'"{name}": {json.dumps(runs)}' for name, runs in table.items()]
    TABLE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
