"""The bias table: blind search, behaviour with baselines, removal and its cost, faithfulness, and what weights missed.

`python -m walkthrough.beyond.bias_runs walkthrough/weights/reverse/biases.json` measures all of it in about seven
minutes on one core, and writes the file that ships.
"""

import argparse
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from walkthrough.beyond import biases, blind_search, editing
from walkthrough.beyond.bench import Bench, mean_spread_won, paired_cost, write_results
from walkthrough.beyond.biases import Term
from walkthrough.beyond.faithful import Twins, faithfulness, refute, term_rise, twin_prompts
from walkthrough.beyond.misquotes import misquotes
from walkthrough.beyond.removals import removal, ways_to_remove
from walkthrough.beyond.suspicions import missed_by_weights

REMOVED = 0  # which of `biases.BIASES` is removed in every way


def rise_of(bench: Bench, term: Term, n_contexts: int = 200) -> list[float]:
    """Mean, spread and share above zero of a term's rise in held-out contexts."""
    source, destination, out = term
    twins = twin_prompts(source, destination, bench.contexts, bench.pool, n_contexts)
    return mean_spread_won(term_rise(bench.model, twins, out))


def listed_terms(bench: Bench, lettered: bool = True, least: int = 1000) -> tuple[blind_search.Found, list[int]]:
    """The search over frequent tokens (sources seen `least` times, destinations 10,000), and the counts of `one_each`."""
    to, of = (bench.share >= 10_000).nonzero()[:, 0], (bench.share >= least).nonzero()[:, 0]
    outs = bench.letters if lettered else None
    return biases.one_each(blind_search.skip_trigram_search(bench.model, bench.share, to, of, outs, 20_000))


def searched(bench: Bench, n_kept: int = 150, n_tried: int = 60) -> dict:
    """Both lists of the search and a decoy's, and how the first terms fare in runs, beside terms of like frequency.

    A list's row: source, destination, out, score, logits added, layer, head, logits of that head, destinations that
    share source and out. A row that was tried: mean rise in nats, spread over contexts, share above zero.
    """
    lists = {"outs with letters": listed_terms(bench), "any out": listed_terms(bench, False, 5000)}
    with biases.exchanged(bench.model, bench.model.cfg.n_layers - 1):
        lists["decoy"] = listed_terms(bench)
    kept = {}
    for name, (found, together) in lists.items():
        rows = zip(*(part.tolist() for part in found), together)
        kept[name] = [[*map(bench.text, row[:3]), *row[3:]] for row, _ in zip(rows, range(n_kept))]
    terms, decoys = (biases.as_terms(lists[name][0])[:n_tried] for name in ("outs with letters", "decoy"))
    tried = {"found": terms, "decoy": decoys}
    for name, whole in (("all three tokens alike", True), ("source alike", False)):
        tried[name] = biases.matched_terms(bench.share, terms, bench.letters, whole)
    rises = {name: [rise_of(bench, term, 40) for term in some] for name, some in tried.items()}
    scores = {name: lists[name][0].score[:2000].tolist() for name in ("outs with letters", "decoy")}
    return {"lists": kept, "tried": rises, "scores": scores}


def explained_by_heads(bench: Bench, term: Term, twins: Twins) -> dict:
    """The field's tests of an explanation by heads, one head after another in the order of weights, and of another head.

    Each test: mean and standard error over contexts, in nats. Then the adversary: the mean rise before and after, and
    the share of contexts in which nothing is left.
    """
    model, out = bench.model, term[2]
    order = [head for head, _ in biases.heads_by_strength(model, bench.share, term)]
    tests = {str(n): faithfulness(model, twins, out, order[:n]) for n in (1, 2, 3)}
    tests["weakest"] = faithfulness(model, twins, out, order[-1:])
    first, lowest = refute(model, Twins(*(part[:40] for part in twins)), out, bench.pool)
    with_errors = {
        name: {test: [x.mean().item(), (x.std() / len(x) ** 0.5).item()] for test, x in each.items()}
        for name, each in tests.items()
    }
    heads = {name: [list(head) for head in order[: int(name)]] for name in "123"} | {"weakest": [list(order[-1])]}
    adversary = [first.mean().item(), lowest.mean().item(), (lowest <= 0).float().mean().item()]
    return {"heads": heads, "faithful": with_errors, "adversary": adversary}


def one_bias(bench: Bench, number: int, moment: Float[Tensor, "d_model d_model"], before: Float[Tensor, " window"]):
    """A chosen bias: weights, behaviour and its baselines, faithfulness, and the small edit that removes it, with its cost."""
    model, share, named = bench.model, bench.share, biases.BIASES[number]
    source, destination, (out,) = named.ids(model)
    term = source, destination, out
    twins = twin_prompts(source, destination, bench.contexts, bench.pool)
    found = biases.score_term(model, share, term)
    edit = removal(model, share, term, moment)
    others = {
        "other sources": [(alike.item(), destination, out) for alike in biases.alike_tokens(share, source, n=20)],
        "other destinations": [(source, alike.item(), out) for alike in biases.alike_tokens(share, destination, n=20)],
    }
    baselines = {name: [rise_of(bench, each, 40)[0] for each in some] for name, some in others.items()}
    rise = mean_spread_won(term_rise(model, twins, out))
    with editing.edited(model, edit):
        after, left = editing.losses_by_window(model, bench.rows), mean_spread_won(term_rise(model, twins, out))
    return {
        "term": [named.source, named.destination, named.outs[0]], "why": named.origin,
        "score": found.score.item(), "added": found.added.item(), "of head": found.of_head.item(),
        "rise": rise, **baselines, **explained_by_heads(bench, term, twins),
        "edit": {"size": edit.size(model), "left": left, "cost": paired_cost(after, before)},
    }  # fmt: skip


def main() -> None:
    """Measure everything and write the file."""
    parser = argparse.ArgumentParser(prog="python -m walkthrough.beyond.bias_runs", description=main.__doc__)
    parser.add_argument("file", type=Path)
    file = parser.parse_args().file
    torch.set_num_threads(1)
    bench = Bench()
    before = editing.losses_by_window(bench.model, bench.rows)
    moment = editing.stream_moment(bench.model, 1, bench.contexts[:100, :-1])
    source, destination, (out,) = biases.BIASES[REMOVED].ids(bench.model)
    found = {"tokens": bench.rows[:, 1:].numel(), "loss": before.mean().item()}
    found["removed"] = ways_to_remove(bench, (source, destination, out), moment, before)
    found["biases"] = [one_bias(bench, number, moment, before) for number in range(len(biases.BIASES))]
    found |= {"search": searched(bench), "misquotes": misquotes(bench), "missed": missed_by_weights(bench)}
    write_results(found, file)


if __name__ == "__main__":
    main()
