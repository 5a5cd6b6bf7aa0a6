"""Runs followed from beginning to end: what happens when heads are ablated while they learn, and why some choices fail.

`python -m walkthrough.training.histories mine.csv` makes the table, a run at a time, and goes on where it was stopped.
"""

import argparse
import copy
import csv
import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from walkthrough.networks import sinusoids
from walkthrough.training.live import Head, LiveRun, Text, read_text
from walkthrough.training.recipes import LIVE, Recipe
from walkthrough.training.records import REACHED, adam_alone

TABLE = Path(__file__).with_suffix(".csv")
SEEDS = (0, 1, 2)
MORE_SEEDS = range(3, 10)  # of the recipe as it is
LIMIT = 2_048_000  # tokens of runs whose learning rate does not fall
EVERY = 51_200  # tokens between two looks
EARLY, LATE = 512_000, 1_280_000  # tokens after which a head is ablated: before and after the transition
WHOLE, TRIED = 1_792_000, 1_228_800  # tokens of runs that are followed to their end, and of those that try something
HALFWAY = 0.2  # the prefix-matching score at which runs are stopped that ask for the moment only
SHARP = 20.0  # how sure a given head is of its place
HEADS = tuple(itertools.product(range(LIVE.n_layers), range(LIVE.n_heads)))
FIELDS = (
    "history", "seed", "tokens", "silent", "text_loss", "first_copy_loss", "second_copy_loss",
    *(f"previous_{layer}:{head}" for layer, head in HEADS), *(f"prefix_{layer}:{head}" for layer, head in HEADS),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Constant(Recipe):
    """The same recipe, with a learning rate that does not fall after the warm-up."""

    def lr_factor(self, step: int) -> float:
        """Linear warm-up, then 1."""
        return min(1.0, (step + 1) / self.warmup)


def adam_given(run: LiveRun) -> None:
    """Adam on the attention matrices, and a previous-token head given."""
    adam_alone(run)
    given(run)


def given(run: LiveRun, back: int = 1) -> None:
    """Head 0:0 looks one place back (or so many) from the first step on, whatever W_Q and W_K say."""
    frequency = math.pi * torch.logspace(0, -math.log10(run.recipe.n_ctx), run.model.cfg.d_head // 2)
    angle = torch.arange(-back, run.recipe.n_ctx)[:, None] * frequency
    places = torch.cat([angle.cos(), angle.sin()], -1)  # a row for each position, from -back on

    def matched(q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and keys, those of head 0:0 from positions alone."""
        q, k, n_pos = q.clone(), k.clone(), q.shape[2]
        q[:, 0], k[:, 0] = SHARP * places[:n_pos], places[back : n_pos + back]
        return q, k

    run.model.layers[0].attn.matched = matched


def places_of_128(run: LiveRun) -> None:
    """The positions that a context of 128 tokens has, as far as this run's context goes."""
    run.model.pos.weight.data.copy_(sinusoids(LIVE.n_ctx, LIVE.d_model)[: run.recipe.n_ctx])


def weaker_in_layer_1(factor: float) -> Callable[[LiveRun], None]:
    """Positions in both layers, but smaller in layer 1."""

    def prepare(run: LiveRun) -> None:
        """The positions of layer 1, multiplied."""
        attention = run.model.layers[1].attn
        attention.positions = [attention.positions[0].detach() * factor]

    return prepare


def constant(batch: int, n_ctx: int = LIVE.n_ctx) -> Recipe:
    """Half the learning rates, constant after a warm-up of 102,400 tokens, whatever batch and context are."""
    values = dataclasses.asdict(LIVE) | {
        "batch": batch, "n_ctx": n_ctx, "adam_lr": LIVE.adam_lr / 2, "muon_lr": LIVE.muon_lr / 2,
        "steps": LIMIT // (batch * n_ctx), "warmup": 102_400 // (batch * n_ctx),
    }  # fmt: skip
    return Constant(**values)


SHORT, BOTH = dataclasses.replace(LIVE, n_ctx=64, batch=8), dataclasses.replace(LIVE, network="paper")
ADAM = dataclasses.replace(LIVE, muon_lr=LIVE.adam_lr / 5)
BATCHES = {f"constant, batch {batch}": batch for batch in (1, 2, 3, 4, 6, 8)}
CONTEXTS = {f"constant, context {n_ctx}": n_ctx for n_ctx in (32, 64, 256)}  # with 512 tokens for each step
# What is tried: its recipe, what is done before the first step, and for how many tokens at most
TRIALS: dict[str, tuple[Recipe, Callable[[LiveRun], None] | None, int]] = {
    "given": (LIVE, given, TRIED),
    "given, two back": (LIVE, functools.partial(given, back=2), TRIED),
    "context 64, given, two back": (SHORT, functools.partial(given, back=2), TRIED),
    "context 64, given": (SHORT, given, TRIED),
    "context 64, places of 128": (SHORT, places_of_128, LIMIT),
    "Adam, given": (ADAM, adam_given, TRIED),
    "both layers, given": (BOTH, given, TRIED),
    "weaker in layer 1": (BOTH, weaker_in_layer_1(0.3), TRIED),
    "Adam, five times the rate": (dataclasses.replace(LIVE, muon_lr=LIVE.adam_lr), adam_alone, TRIED),
    **{name: (constant(batch), None, LIMIT) for name, batch in BATCHES.items()},
    **{name: (constant(512 // n_ctx, n_ctx), None, LIMIT) for name, n_ctx in CONTEXTS.items()},
}  # fmt: skip


def seen(name: str, run: LiveRun) -> dict[str, Any]:
    """One row: what `measure` finds."""
    found = run.measure()
    row = {"history": name, "seed": run.recipe.seed, "tokens": run.tokens}
    row["silent"] = " ".join(f"{layer}:{head}" for layer, head in sorted(run.silent))
    row |= {key: round(found[key], 3) for key in ("text_loss", "first_copy_loss", "second_copy_loss")}
    for layer, head in HEADS:
        row[f"previous_{layer}:{head}"] = round(found["previous_token"][layer][head], 3)
        row[f"prefix_{layer}:{head}"] = round(found["prefix_matching"][layer][head], 3)
    return row


def leading(row: dict[str, Any], score: str) -> Head:
    """The head of layer 0 that looks back most ("previous"), or that of layer 1 that matches most ("prefix")."""
    layer = 0 if score == "previous" else 1
    return max(((layer, head) for head in range(LIVE.n_heads)), key=lambda at: row[f"{score}_{at[0]}:{at[1]}"])


def follow(name: str, run: LiveRun, tokens: int, stop: float = REACHED) -> Iterator[dict[str, Any]]:
    """Train, and yield a row now and at every look; no further than to a score of `stop`."""
    yield seen(name, run)
    while run.tokens < tokens and not run.finished:
        for _ in range(EVERY // (run.recipe.batch * run.recipe.n_ctx)):
            run.advance()
        row = seen(name, run)
        yield row
        if max(row[f"prefix_{layer}:{head}"] for layer, head in HEADS) >= stop:
            return


def trial(name: str, seed: int, texts: dict[int, Text]) -> list[dict[str, Any]]:
    """One of `TRIALS`, followed until a head matches, or its tokens are used up."""
    recipe, prepare, tokens = TRIALS[name]
    if recipe.n_ctx not in texts:
        texts[recipe.n_ctx] = read_text(recipe)
    run = LiveRun(dataclasses.replace(recipe, seed=seed), texts[recipe.n_ctx])
    if prepare:
        prepare(run)
    return list(follow(name, run, tokens, HALFWAY if name in BATCHES | CONTEXTS else REACHED))


def untouched(seed: int, texts: dict[int, Text]) -> list[dict[str, Any]]:
    """The live recipe as it is, until a head matches."""
    return list(follow("as it is", LiveRun(dataclasses.replace(LIVE, seed=seed), texts[LIVE.n_ctx]), WHOLE))


def ablations(seed: int, texts: dict[int, Text]) -> list[dict[str, Any]]:
    """The live recipe to its end, and six copies of the run, each with one head ablated at one time.

    The previous-token head is the one that has the highest score at that time, and the other head of layer 0 the one
    that has the lowest; the induction head is the one that the untouched run has at its end, so that it is ablated
    `EARLY` before it is one.
    """
    run, kept, rows = LiveRun(dataclasses.replace(LIVE, seed=seed), texts[LIVE.n_ctx]), {}, []
    for until in (EARLY, LATE, WHOLE):
        rows += list(follow("followed", run, until, stop=math.inf))[bool(rows) :]
        kept[until] = copy.deepcopy(run), rows[-1]
    for at, when in ((EARLY, "early"), (LATE, "late")):
        heads = {
            "previous-token head": leading(kept[at][1], "previous"),
            "induction head": leading(kept[WHOLE][1], "prefix"),
            "other head of layer 0": min(
                HEADS[: LIVE.n_heads], key=lambda head: kept[at][1][f"previous_{head[0]}:{head[1]}"]
            ),
        }
        for kind, head in heads.items():
            changed = copy.deepcopy(kept[at][0])
            changed.ablate(head)
            rows += follow(f"{kind} ablated {when}", changed, WHOLE, stop=math.inf)
    return rows


def planned() -> Iterator[tuple[str, int, Callable[[dict[int, Text]], list[dict[str, Any]]]]]:
    """Every part of the table: its first history, its seed, and what makes its rows."""
    for seed in SEEDS:
        yield "followed", seed, functools.partial(ablations, seed)
        for name in TRIALS:
            yield name, seed, functools.partial(trial, name, seed)
    for seed in MORE_SEEDS:
        yield "as it is", seed, functools.partial(untouched, seed)


def read(table: Path = TABLE) -> list[dict[str, Any]]:
    """The table's rows, oldest first within each history and seed; `silent` names the ablated heads; nan where nothing is."""
    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [
        {key: value if key in ("history", "silent") else float(value or "nan") for key, value in row.items()}
        for row in rows
    ]


def by_seed(rows: list[dict[str, Any]], history: str) -> dict[int, list[dict[str, Any]]]:
    """The runs of one history by seed, each as its rows; ValueError if there is no such history."""
    found: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        if row["history"] == history:
            found.setdefault(int(row["seed"]), []).append(row)
    if not found:
        raise ValueError(f"there is no history {history!r}: there are {sorted({row['history'] for row in rows})}")
    return dict(sorted(found.items()))


def best(rows: list[dict[str, Any]], score: str, layer: int) -> tuple[list[float], list[float]]:
    """Tokens, and at each of them the best score of a layer's heads that are not ablated: "previous" or "prefix"."""
    heads = [(f"{layer}:{head}", f"{score}_{layer}:{head}") for at, head in HEADS if at == layer]
    scores = [max(row[key] for name, key in heads if name not in row["silent"].split()) for row in rows]
    return [row["tokens"] for row in rows], scores


def main() -> None:
    """The command line: where the table goes."""
    parser = argparse.ArgumentParser(prog="python -m walkthrough.training.histories", description=main.__doc__)
    parser.add_argument("table", type=Path)
    table = parser.parse_args().table
    torch.set_num_threads(1)
    done = {(row["history"], row["seed"]) for row in read(table)} if table.exists() else set()
    texts = {LIVE.n_ctx: read_text(LIVE)}
    for name, seed, make in planned():
        if (name, float(seed)) in done:
            continue
        rows, fresh = make(texts), not table.exists()
        with table.open("a", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, FIELDS)
            if fresh:
                writer.writeheader()
            writer.writerows(rows)
        print(name, seed, f"{rows[-1]['tokens']:,} tokens", flush=True)


if __name__ == "__main__":
    main()
