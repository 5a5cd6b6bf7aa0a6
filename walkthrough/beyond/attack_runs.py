"""The attack table: prompts predicted from weights against random ones and searches, call by call; defences and their cost.

`python -m walkthrough.beyond.attack_runs walkthrough/weights/reverse/attacks.json` measures all of it in about three
minutes on one core, and writes the file that ships.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from walkthrough import behaviour, corpus
from walkthrough.beyond import weaknesses
from walkthrough.beyond.bench import Bench, share_with_interval, write_results
from walkthrough.beyond.bias_runs import listed_terms
from walkthrough.beyond.crossed_pairs import crossed_targets, crossed_terms
from walkthrough.beyond.defences import defended, edited_away
from walkthrough.beyond.weaknesses import Targets
from walkthrough.interventions import Head
from walkthrough.two_layers.induction import induction_heads

CALLS = 120  # of every way that is not predicted
N_TARGETS, N_PRACTICE = 60, 40


def previous_head(model) -> Head:
    """The head of layer 0 that looks most at the previous token, on random tokens."""
    tokens = behaviour.repeated_tokens(model.cfg.d_vocab, 60, 1, 8)
    scores = behaviour.previous_token_score(model.run_with_cache(tokens)[1]["pattern", 0])
    return 0, scores.argmax().item()


def ways_to_attack(
    bench: Bench, targets: Targets, predicted: Sequence[Int[Tensor, "target slot"]],
    hints: Int[Tensor, "target hint"], n_calls: int,
) -> dict[str, list[int]]:  # fmt: skip
    """After how many calls each target is won (0: never), by each way to choose fillings."""
    ways = {
        "predicted": weaknesses.in_order(predicted),
        "same shape": weaknesses.renamed(predicted, targets.wrong, bench.pool),
        "random": weaknesses.random_fillings(bench.pool),
        "search": weaknesses.hill_climb(bench.pool),
        "search with hints": weaknesses.hill_climb(bench.pool, hints),
        "hints at random": weaknesses.hinted(hints),
    }
    n = {"predicted": len(predicted)}
    return {
        name: weaknesses.attack(bench.model, targets, way, n.get(name, n_calls)).tolist() for name, way in ways.items()
    }


def compare_ways(calls: Mapping[str, Sequence[int]], n: int) -> dict[str, dict]:
    """For each way: the share of targets that it wins in `n` calls, with its 95% interval, and the calls that it needs.

    `n` is how many fillings were predicted, and the calls are those for the success that they have; None: not in those
    that were tried.
    """
    won = {name: torch.tensor(each) for name, each in calls.items()}
    success = weaknesses.won_within(won["predicted"], n).float().mean().item()
    return {
        name: {
            "share": share_with_interval(weaknesses.won_within(each, n)),
            "calls": weaknesses.calls_for(each, success),
        }
        for name, each in won.items()
    }


def won_of(calls: Sequence[int], sources: Int[Tensor, " target"], term: tuple[int, int, int]) -> tuple[int, int]:
    """How many of a crossed term's targets are won, and how many it has."""
    own = sources == term[0]
    return int((torch.tensor(calls)[own] > 0).sum()), int(own.sum())


def best_first(model, practice: Targets, fillings: Sequence[Int[Tensor, "target slot"]]) -> list[int]:
    """The order of some fillings by how many other targets each wins by itself: found in practice, not in the test."""
    wins = [(weaknesses.attack(model, practice, weaknesses.in_order([each]), 1) > 0).sum().item() for each in fillings]
    return sorted(range(len(fillings)), key=lambda place: -wins[place])


def sink_shares(bench: Bench, targets: Targets) -> dict[str, list[float]]:
    """How often the right token is lost if every slot holds `<BOS>`, where heads rest, and if it holds random tokens."""
    rest = torch.zeros_like(targets.prompts[:, weaknesses.SLOTS])
    ways = {"predicted": weaknesses.in_order([rest]), "random": weaknesses.random_fillings(bench.pool)}
    calls = {name: weaknesses.attack(bench.model, targets, way, 1, aim="not right") for name, way in ways.items()}
    return {name: share_with_interval(each > 0) for name, each in calls.items()}


def measured_attacks(
    bench: Bench, n_targets: int = N_TARGETS, n_practice: int = N_PRACTICE, n_calls: int = CALLS
) -> dict:
    """All kinds of attack, and what stops them."""
    model, heads = bench.model, list(induction_heads(bench.model))
    both = weaknesses.pick_targets(model, bench.contexts, bench.pool, n_practice + n_targets)
    practice, targets = (
        Targets(*(each[part] for each in both)) for part in (slice(n_practice), slice(n_practice, None))
    )
    alike = weaknesses.look_alikes(model, bench.share, previous_head(model), heads, 4)
    orders, predicted = {}, {}
    for kind, build in (
        ("hijack", weaknesses.hijacks),
        ("look-alike", lambda some: weaknesses.collisions(some, alike)),
    ):
        orders[kind] = best_first(model, practice, build(practice))
        predicted[kind] = [build(targets)[place] for place in orders[kind]]
    hints = torch.cat([targets.wrong[:, None], targets.prompts[:, -6:-1]], 1)
    last = targets.prompts[:, -1:]  # a look-alike never says it
    calls = {
        kind: ways_to_attack(
            bench, targets, fillings, torch.cat([last, hints], 1) if kind == "hijack" else hints, n_calls
        )
        for kind, fillings in predicted.items()
    }
    text = torch.cat([bench.contexts, bench.rows])
    terms = crossed_terms(listed_terms(bench)[0], corpus.load_bigrams(), text, n_targets // 10)
    crossed, sources = crossed_targets(model, terms, bench.contexts, 10)
    filling = [weaknesses.repeated(sources)]
    own = torch.cat([crossed.wrong[:, None], crossed.prompts[:, -6:]], 1)
    calls["crossed pair"] = ways_to_attack(bench, crossed, filling, own, n_calls)
    lengths = {kind: len(each) for kind, each in predicted.items()} | {"crossed pair": 1}
    return {
        "n calls": n_calls, "orders": orders, "predicted calls": lengths, "calls": calls,
        "compared": {kind: compare_ways(each, lengths[kind]) for kind, each in calls.items()},
        "terms": [[*map(bench.text, term), *won_of(calls["crossed pair"]["predicted"], sources, term)] for term in terms],
        "attention sink": sink_shares(bench, targets),
        "defences": defended(bench, targets, predicted, heads),
        "edited": edited_away(bench, terms, crossed, filling),
    }  # fmt: skip


def main() -> None:
    """Measure everything and write the file."""
    parser = argparse.ArgumentParser(prog="python -m walkthrough.beyond.attack_runs", description=main.__doc__)
    parser.add_argument("file", type=Path)
    file = parser.parse_args().file
    torch.set_num_threads(1)
    write_results(measured_attacks(Bench()), file)


if __name__ == "__main__":
    main()
