"""The attack table: prompts predicted from weights against random ones and a search, call by call; defences and their cost.

`python -m walkthrough.beyond.attack_runs walkthrough/weights/reverse/attacks.json` measures all of it in about three
minutes on one core, and writes the file that ships.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough import behaviour, corpus, models
from walkthrough.beyond import biases, blind_search, editing, weaknesses
from walkthrough.beyond.bias_runs import Bench, four_digits
from walkthrough.interventions import Head, Hooks, ablate, on_head
from walkthrough.two_layers.induction import induction_heads

FILE = models.WEIGHTS / "reverse" / "attacks.json"
CALLS = 200  # of random prompts and of each search
N_TARGETS = 60


def attack_table(file: Path = FILE) -> dict:
    """What `attack_runs` measured, as it ships; ValueError if the file is missing."""
    if not file.exists():
        raise ValueError(f"{file.name} is missing from {file.parent}: install the course again")
    return json.loads(file.read_text(encoding="utf-8"))


def previous_head(model) -> Head:
    """The head of layer 0 that looks most at the previous token, on random tokens."""
    tokens = behaviour.repeated_tokens(model.cfg.d_vocab, 60, 1, 8)
    scores = behaviour.previous_token_score(model.run_with_cache(tokens)[1]["pattern", 0])
    return 0, scores.argmax().item()


def ways_to_attack(
    bench: Bench, targets: weaknesses.Targets, predicted: list[Tensor], hints: Tensor, n_calls: int
) -> dict[str, list[int]]:
    """After how many calls each target is won (0: never), by each way to choose fillings."""
    ways = {
        "predicted": (weaknesses.in_order(predicted), len(predicted)),
        "random": (weaknesses.random_fillings(bench.pool), n_calls),
        "search": (weaknesses.hill_climb(bench.pool), n_calls),
        "search with hints": (weaknesses.hill_climb(bench.pool, hints), n_calls),
    }
    return {name: weaknesses.attack(bench.model, targets, *way).tolist() for name, way in ways.items()}


def compared(calls: dict[str, list[int]]) -> dict:
    """How many calls each way needs for the success that predicted prompts have at their last; None: not in those tried."""
    won = {name: torch.tensor(each) for name, each in calls.items()}
    success = weaknesses.success_after(won["predicted"], int(won["predicted"].max()))
    return {"success": success} | {name: weaknesses.calls_for(each, success) for name, each in won.items()}


def with_cost(
    model,
    rows: Int[Tensor, "window pos_and_one"],
    hooks_for: Callable[[Tensor], Hooks],
    before: Float[Tensor, " window"],
) -> list[float]:
    """What a defence costs on text that nobody attacks, in nats a token, and its standard error."""
    losses = []
    for part in rows.split(8):
        with model.hooks(fwd_hooks=hooks_for(part[:, :-1])):
            losses.append(editing.losses_by_window(model, part))
    return biases.paired_cost(torch.cat(losses), before)


def halved(model, heads: list[Head]) -> Hooks:
    """Hooks that halve what some heads write."""
    return [on_head(model, head, "z", lambda z: z / 2) for head in heads]


def defended(bench: Bench, targets, predicted: dict[str, list[Tensor]], heads: list[Head], n_rows: int = 196) -> dict:
    """For each defence against hijacks: the success of each predicted filling by itself, and the cost elsewhere."""
    model, rows = bench.model, bench.rows[:n_rows]
    before = editing.losses_by_window(model, rows)
    guards = {f"{n} tokens must match": weaknesses.matched_only(model, heads, n) for n in (1, 2, 3)}
    ways = {"none": lambda prompts: []} | guards
    ways |= {
        "heads halved": lambda prompts: halved(model, heads),
        "heads deleted": lambda prompts: ablate(model, heads),
    }
    found = {}
    for name, hooks_for in ways.items():
        success = {}
        for kind, fillings in predicted.items():
            calls = [weaknesses.attack(model, targets, weaknesses.in_order([each]), 1, hooks_for) for each in fillings]
            success[kind] = [weaknesses.success_after(each, 1) for each in calls]
        found[name] = {"success": success, "cost": with_cost(model, rows, hooks_for, before)}
    return found


def edited_away(bench: Bench, terms: list[tuple[int, int, int]], targets, fillings: list[Tensor]) -> dict:
    """Every crossed term removed by its own rank-one edit, all at once: what the attack still wins, and the cost."""
    model = bench.model
    moments = [editing.stream_moment(model, layer, bench.contexts[:60, :-1]) for layer in range(model.cfg.n_layers)]
    edits = []
    for term in terms:
        layer = biases.score_term(model, bench.share, term).layer.item()
        edits.append(biases.removal(model, bench.share, term, moments[layer]))
    before = editing.losses_by_window(model, bench.rows)
    with editing.edited(model, *edits):
        calls = weaknesses.attack(model, targets, weaknesses.in_order(fillings), len(fillings))
        cost = biases.paired_cost(editing.losses_by_window(model, bench.rows), before)
    return {"success": weaknesses.success_after(calls, len(fillings)), "cost": cost, "edits": len(edits)}


def measured_attacks(bench: Bench, n_targets: int, n_calls: int) -> dict:
    """All kinds of attack, and what stops them."""
    model, heads = bench.model, list(induction_heads(bench.model))
    targets = weaknesses.pick_targets(model, bench.contexts, bench.pool, n_targets)
    alike = weaknesses.look_alikes(model, bench.share, previous_head(model), heads, 4)
    predicted = {"hijack": weaknesses.hijacks(targets)[1:], "look-alike": weaknesses.collisions(targets, alike)}
    hints = torch.cat([targets.wrong[:, None], targets.prompts[:, -6:-1]], 1)
    found = {}
    for kind, fillings in predicted.items():
        allowed = torch.cat([targets.prompts[:, -1:], hints], 1) if kind == "hijack" else hints
        found[kind] = ways_to_attack(bench, targets, fillings, allowed, n_calls)
    outs, of = bench.letters, (bench.share >= 1000).nonzero()[:, 0]
    to = (bench.share >= 10_000).nonzero()[:, 0]
    listed = blind_search.skip_trigram_search(model, bench.share, to, of, outs, 20_000)
    text = torch.cat([bench.contexts, bench.rows])
    terms = weaknesses.crossed_terms(listed, corpus.load_bigrams(), text, n_targets // 10)
    crossed, sources = weaknesses.crossed_targets(model, terms, bench.contexts, 10)
    own = torch.cat([crossed.wrong[:, None], crossed.prompts[:, -6:]], 1)
    found["crossed pair"] = ways_to_attack(bench, crossed, [weaknesses.repeated(sources)], own, n_calls)
    sink = {
        "predicted": weaknesses.in_order([torch.zeros_like(fillings[0])]),
        "random": weaknesses.random_fillings(bench.pool),
    }
    lost = {
        name: weaknesses.success_after(weaknesses.attack(model, targets, fill, 1, aim="not right"), 1)
        for name, fill in sink.items()
    }
    return {
        "calls": found, "compared": {kind: compared(each) for kind, each in found.items()},
        "terms": [[bench.text(token) for token in term] for term in terms], "attention sink": lost,
        "defences": defended(bench, targets, {"hijack": weaknesses.hijacks(targets), "look-alike": predicted["look-alike"][:1]}, heads),
        "edited": edited_away(bench, terms, crossed, [weaknesses.repeated(sources)]),
    }  # fmt: skip


def main() -> None:
    """Measure everything and write the file."""
    parser = argparse.ArgumentParser(prog="python -m walkthrough.beyond.attack_runs", description=main.__doc__)
    parser.add_argument("file", type=Path)
    file = parser.parse_args().file
    torch.set_num_threads(1)
    found = measured_attacks(Bench(), N_TARGETS, CALLS)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(four_digits(found | {"n calls": CALLS}), ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
