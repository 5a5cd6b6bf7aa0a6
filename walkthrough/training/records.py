"""Which choices of the live run matter: each changed by itself, three seeds each, in one table that anybody can make again.

`python -m walkthrough.training.records mine.csv` makes it, a row at a time, and goes on where it was stopped.
"""

import argparse
import csv
import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from walkthrough.training.live import LiveRun, read_text
from walkthrough.training.recipes import LIVE, Recipe
from walkthrough.training.variants import PerHeadMuon

TABLE = Path(__file__).with_suffix(".csv")
REACHED = 0.4  # the prefix-matching score at which the clock is stopped
BUDGET = LIVE.steps * LIVE.batch * LIVE.n_ctx  # tokens: all runs may use as many, whatever their batch
EVERY = 50  # steps between two looks
SEEDS = (0, 1, 2)
MORE_SEEDS = range(10)  # of the recipe as it is: is it luck?
FIELDS = (
    "choice", "value", "seed", "tokens", "seconds", "prefix_matching", "previous_token_layer_0",
    "previous_token_layer_1", "text_loss", "tokens_used", "tokens_per_second",
)  # fmt: skip


def per_head(run: LiveRun) -> None:
    """Muon on each head's block by itself."""
    run.optimisers["muon"] = PerHeadMuon(run.optimisers["muon"].matrices(), run.recipe.muon_lr, run.recipe.n_heads)


def adam_alone(run: LiveRun) -> None:
    """Adam on the attention matrices, too."""
    run.optimisers["muon"] = torch.optim.Adam(run.optimisers["muon"].matrices(), betas=(0.9, 0.98), fused=True)


def amplitude(factor: float) -> Callable[[LiveRun], None]:
    """Positions of another size."""
    return lambda run: run.model.pos.weight.data.mul_(factor)


def slow_frequencies(run: LiveRun) -> None:
    """The usual frequencies, from 1 down to 1 / 10,000 radians a token."""
    n_ctx, d_model = run.model.pos.weight.shape
    frequency = torch.logspace(0, -4, d_model // 2)
    angle = torch.arange(n_ctx)[:, None] * frequency
    run.model.pos.weight.data.copy_(torch.stack([angle.sin(), angle.cos()], -1).flatten(1))


def embeddings(factor: float) -> Callable[[LiveRun], None]:
    """Embeddings of another size at the start."""
    return lambda run: run.model.tok_embed.weight.data.mul_(factor)


def small_outputs(run: LiveRun) -> None:
    """Heads that write next to nothing at the start."""
    for block in run.model.layers:
        block.attn.o.weight.data.mul_(0.1)


def keys_like_queries(run: LiveRun) -> None:
    """W_K as W_Q at the start: heads begin by looking at what is like themselves."""
    for block in run.model.layers:
        block.attn.k.weight.data.copy_(block.attn.q.weight.data)


# (choice, value) -> what of the recipe is replaced, and what is done to the run before its first step
CHOICES: dict[tuple[str, str], tuple[dict[str, Any], Callable[[LiveRun], None] | None]] = {
    ("as it is", ""): ({}, None),
    ("vocabulary", "1024"): ({"d_vocab": 1024}, None),
    ("vocabulary", "2048"): ({"d_vocab": 2048}, None),
    ("width", "32"): ({"d_model": 32}, None),
    ("width", "96"): ({"d_model": 96}, None),
    ("width", "128"): ({"d_model": 128}, None),
    ("heads", "2"): ({"n_heads": 2}, None),
    ("heads", "8"): ({"n_heads": 8}, None),
    ("context", "64"): ({"n_ctx": 64, "batch": 8}, None),
    ("context", "256"): ({"n_ctx": 256, "batch": 2}, None),
    ("batch", "1"): ({"batch": 1}, None),
    ("batch", "2"): ({"batch": 2}, None),
    ("batch", "8"): ({"batch": 8}, None),
    ("batch", "16"): ({"batch": 16}, None),
    ("Muon's learning rate", "half"): ({"muon_lr": LIVE.muon_lr / 2}, None),
    ("Muon's learning rate", "double"): ({"muon_lr": LIVE.muon_lr * 2}, None),
    ("Adam's learning rate", "half"): ({"adam_lr": LIVE.adam_lr / 2}, None),
    ("Adam's learning rate", "double"): ({"adam_lr": LIVE.adam_lr * 2}, None),
    ("warm-up", "100 steps"): ({"warmup": 100}, None),
    ("Muon", "per head"): ({}, per_head),
    ("Muon", "none: Adam"): ({"muon_lr": LIVE.adam_lr / 5}, adam_alone),
    ("positions", "in both layers"): ({"network": "paper"}, None),
    ("positions", "amplitude 1/2"): ({}, amplitude(0.5)),
    ("positions", "amplitude 2"): ({}, amplitude(2.0)),
    ("positions", "both layers, amplitude 2"): ({"network": "paper"}, amplitude(2.0)),
    ("positions", "base 10,000"): ({}, slow_frequencies),
    ("positions", "rotary"): ({"network": "rotary positions"}, None),
    ("positions", "learned"): ({"network": "learned positions"}, None),
    ("start", "embeddings × 1/3"): ({}, embeddings(1 / 3)),
    ("start", "embeddings × 3"): ({}, embeddings(3.0)),
    ("start", "outputs × 1/10"): ({}, small_outputs),
    ("start", "keys like queries"): ({}, keys_like_queries),
    ("smeared keys", "two layers"): ({"network": "smeared keys"}, None),
    ("smeared keys", "one layer"): ({"network": "smeared keys", "n_layers": 1}, None),
    ("layers", "one"): ({"n_layers": 1}, None),
}


def changed(overrides: dict[str, Any], seed: int) -> Recipe:
    """The live recipe with some of it replaced, and as many tokens to learn from in all."""
    recipe = dataclasses.replace(LIVE, seed=seed, **overrides)
    return dataclasses.replace(recipe, steps=BUDGET // (recipe.batch * recipe.n_ctx))


def record(choice: tuple[str, str], seed: int, texts: dict) -> dict[str, Any]:
    """One row: tokens and seconds until a head's prefix-matching score is `REACHED`, empty if it never was.

    Seconds are the processor's own, of one thread: what else the machine does meanwhile counts little.
    """
    overrides, prepare = CHOICES[choice]
    recipe = changed(overrides, seed)
    shape = (recipe.d_vocab, recipe.n_ctx)
    if shape not in texts:
        texts[shape] = read_text(recipe)
    run, seconds, best = LiveRun(recipe, texts[shape]), 0.0, 0.0
    if prepare:
        prepare(run)
    while run.step < recipe.steps and best < REACHED:
        start = time.process_time()
        for _ in range(min(EVERY, recipe.steps - run.step)):
            run.advance()
        seconds += time.process_time() - start
        found = run.measure()
        best = max(map(max, found["prefix_matching"]))
        if not math.isfinite(found["text_loss"]):
            break
    reached = best >= REACHED
    previous = [max(scores) for scores in found["previous_token"]] + [math.nan]
    values = (
        *choice, seed, run.tokens if reached else "", round(seconds, 1) if reached else "", round(best, 3),
        round(previous[0], 3), round(previous[1], 3), round(found["text_loss"], 3), run.tokens, round(run.tokens / seconds),
    )  # fmt: skip
    return dict(zip(FIELDS, values))


def read(table: Path = TABLE) -> list[dict[str, Any]]:
    """The table's rows: `tokens` and `seconds` are None where the score was never reached."""
    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        for field in FIELDS[2:]:
            row[field] = float(row[field]) if row[field] else None
    return rows


def main() -> None:
    """The command line: where the table goes."""
    parser = argparse.ArgumentParser(prog="python -m walkthrough.training.records", description=main.__doc__)
    parser.add_argument("table", type=Path)
    table = parser.parse_args().table
    torch.set_num_threads(1)
    done = {(row["choice"], row["value"], row["seed"]) for row in read(table)} if table.exists() else set()
    texts: dict = {}
    for seed in MORE_SEEDS:
        for choice in CHOICES if seed in SEEDS else list(CHOICES)[:1]:
            if (*choice, float(seed)) in done:
                continue
            row, fresh = record(choice, seed, texts), not table.exists()
            with table.open("a", encoding="utf-8", newline="") as stream:
                writer = csv.DictWriter(stream, FIELDS)
                if fresh:
                    writer.writeheader()
                writer.writerow(row)
            print(*row.values(), flush=True)


if __name__ == "__main__":
    main()
