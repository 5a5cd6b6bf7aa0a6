"""The bias table: blind searches, behaviour with baselines, removal and its cost, faithfulness, and what weights missed.

`python -m walkthrough.beyond.bias_runs walkthrough/weights/reverse/biases.json` measures all of it in about four
minutes on one core, and writes the file that ships.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough import corpus, models
from walkthrough.beyond import biases, blind_search, editing, fine_tuning, suspicions
from walkthrough.beyond.faithful import faithfulness, refute, term_rise, twin_prompts
from walkthrough.interventions import ablate
from walkthrough.two_layers.induction import induction_heads

FILE = models.WEIGHTS / "reverse" / "biases.json"
REMOVED = 0  # which of `biases.BIASES` is removed in every way


class Bench:
    """The model and the texts on which everything here is measured."""

    def __init__(self, n_cost: int = 391):
        self.model = models.load("two-layer")
        self.share = corpus.load_bigrams().sum(1).float()
        self.share[0] = 0
        self.pool = (self.share >= 5000).nonzero()[:, 0]
        self.letters = biases.with_letters(self.model)
        self.contexts, self.rows = biases.split_windows(self.model, n_cost)

    def text(self, token: int) -> str:
        """A token's text."""
        return self.model.to_string(token)


def bias_table(file: Path = FILE) -> dict:
    """What `bias_runs` measured, as it ships; ValueError if the file is missing."""
    if not file.exists():
        raise ValueError(f"{file.name} is missing from {file.parent}: install the course again")
    return json.loads(file.read_text(encoding="utf-8"))


def searched(bench: Bench, n_kept: int = 150, n_tried: int = 60) -> dict:
    """Both lists of the blind search, and how the first of the second list fare in behaviour, beside random terms."""
    model, share, lists = bench.model, bench.share, {}
    for name, outs, least in (("any out", None, 5000), ("outs with letters", bench.letters, 1000)):
        to, of = (share >= 10_000).nonzero()[:, 0], (share >= least).nonzero()[:, 0]
        found, together = biases.one_each(blind_search.skip_trigram_search(model, share, to, of, outs, 20_000))
        lists[name] = found, together
    columns = [
        [*map(bench.text, row[:3]), *row[3:]] for row in zip(*(part.tolist() for part in lists["outs with letters"][0]))
    ]
    kept = {"outs with letters": with_counts(columns, lists["outs with letters"][1])[:n_kept]}
    first = [[*map(bench.text, row[:3]), *row[3:]] for row in zip(*(part.tolist() for part in lists["any out"][0]))]
    kept["any out"] = with_counts(first, lists["any out"][1])[:n_kept]
    terms = list(zip(*(part.tolist() for part in lists["outs with letters"][0][:3])))[:n_tried]
    random = biases.random_terms(model, share, bench.pool, bench.letters, n_tried)
    rises = {name: [rise_of(bench, term, 40) for term in some] for name, some in (("found", terms), ("random", random))}
    return {"lists": kept, "tried": rises}


def with_counts(rows: list[list], counts: list[int]) -> list[list]:
    """Each row with its count at the end."""
    return [[*row, count] for row, count in zip(rows, counts)]


def rise_of(bench: Bench, term: tuple[int, int, int], n_contexts: int = 200) -> list[float]:
    """Mean, spread and share above zero of a term's rise in held-out contexts."""
    source, destination, out = term
    twins = twin_prompts(source, destination, bench.contexts, bench.pool, n_contexts)
    return biases.mean_spread_won(term_rise(bench.model, twins, out))


def misquotes(bench: Bench, n_kept: int = 60, n_tried: int = 15) -> dict:
    """The list of tokens that induction heads misquote, and how its first fare in behaviour, beside random ones."""
    often = (bench.share >= 1000).nonzero()[:, 0]
    found = blind_search.misquote_search(bench.model, bench.share, list(induction_heads(bench.model)), often)
    pairs = list(zip(*(part.tolist() for part in found)))
    some = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(0))[:n_tried].tolist()
    tried = {}
    for name, chosen in (("found", pairs[:n_tried]), ("random", [pairs[place] for place in some])):
        tried[name] = [
            [
                bench.text(token),
                bench.text(instead),
                margin,
                *biases.mean_spread_won(quoted[0]),
                quoted[1].mean().item(),
            ]
            for token, instead, margin in chosen
            for quoted in [biases.misquoted(bench.model, token, instead, bench.contexts, bench.pool)]
        ]
    listed = [[bench.text(token), bench.text(instead), margin] for token, instead, margin in pairs[:n_kept]]
    return {"list": listed, "share misquoted": (found.margin > 0).float().mean().item(), "tried": tried}


def one_bias(bench: Bench, number: int, moment: Float[Tensor, "d_model d_model"], before: Float[Tensor, " window"]):
    """A chosen bias: weights, behaviour, faithfulness, an adversary, and the small edit that removes it, with its cost."""
    model, share, term = bench.model, bench.share, biases.BIASES[number]
    source, destination, (out,) = term.ids(model)
    ids = source, destination, out
    twins = twin_prompts(source, destination, bench.contexts, bench.pool)
    found = biases.score_term(model, share, ids)
    head = found.layer.item(), found.head.item()
    edit = biases.removal(model, share, ids, moment)
    elsewhere = [rise_of(bench, (source, other, out), 40)[0] for other in bench.pool[:: len(bench.pool) // 20].tolist()]
    faithful = faithfulness(model, twins, out, [head])
    other = faithfulness(model, twins, out, [(head[0], (head[1] + 1) % model.cfg.n_heads)])
    first, lowest = refute(model, type(twins)(*(part[:40] for part in twins)), out, bench.pool)
    with editing.edited(model, edit):
        after, left = editing.losses_by_window(model, bench.rows), biases.mean_spread_won(term_rise(model, twins, out))
    return {
        "term": [term.source, term.destination, term.outs[0]], "why": term.origin, "head": list(head),
        "score": found.score.item(), "added": found.added.item(), "of head": found.of_head.item(),
        "rise": biases.mean_spread_won(term_rise(model, twins, out)), "at other destinations": elsewhere,
        "faithful": {name: [x.mean().item(), (x.std() / len(x) ** 0.5).item()] for name, x in faithful.items()},
        "another head": {name: x.mean().item() for name, x in other.items()},
        "adversary": [first.mean().item(), lowest.mean().item(), (lowest <= 0).float().mean().item()],
        "edit": {"size": edit.size(model), "left": left, "cost": biases.paired_cost(after, before)},
    }  # fmt: skip


def ways_to_remove(bench: Bench, moment: Float[Tensor, "d_model d_model"], before: Float[Tensor, " window"]) -> dict:
    """One bias removed in other ways: its rise afterwards and the cost of each, with how much of the head is changed."""
    model, share = bench.model, bench.share
    source, destination, (out,) = biases.BIASES[REMOVED].ids(model)
    ids, twins = (source, destination, out), twin_prompts(source, destination, bench.contexts, bench.pool)
    weighted, plain = (biases.removal(model, share, ids, each) for each in (moment, None))
    placed = editing.stream_moment(model, weighted.layer, bench.contexts[:100, :-1], placed=True)
    ways = {"rank one, least expected change": weighted, "rank one, least norm": plain}
    ways |= {f"random direction, seed {seed}": editing.random_edit(model, weighted, seed) for seed in range(3)}
    ways["rank one in W_QK"] = biases.looking_away(model, share, ids, placed)
    goal, found = 0.0, {}
    for name, edit in ways.items():
        with editing.edited(model, edit):
            found[name] = after_removal(bench, twins, out, before) | {"size": edit.size(model)}
        goal = goal or found[name]["left"][0]
    with model.hooks(fwd_hooks=ablate(model, [(weighted.layer, weighted.head)])):
        found["head deleted"] = after_removal(bench, twins, out, before)
    tuning = twin_prompts(source, destination, bench.contexts.flip(0), bench.pool, seed=1)
    for name, text in (("fine-tuned", None), ("fine-tuned, text kept", bench.contexts[-32:, :-1])):
        with fine_tuning.trainable(model) as weights:
            tuned = fine_tuning.fine_tune(model, weights, tuning, out, goal, text)
            found[name] = after_removal(bench, twins, out, before) | tuned._asdict()
    return found


def after_removal(bench: Bench, twins, out: int, before: Float[Tensor, " window"]) -> dict:
    """What is left of a term's rise, and the cost elsewhere, in the model as it is at the moment."""
    left = biases.mean_spread_won(term_rise(bench.model, twins, out))
    return {"left": left, "cost": biases.paired_cost(editing.losses_by_window(bench.model, bench.rows), before)}


def missed_by_weights(bench: Bench, n: int = 28) -> dict:
    """The score of random pairs from weights and from runs; and suspicions, in behaviour and in weights."""
    model, share = bench.model, bench.share
    generator = torch.Generator().manual_seed(2)
    to, of = bench.pool[torch.randint(len(bench.pool), (2, n), generator=generator)].unique(dim=1)
    in_runs, out = biases.behaviour_grid(model, to, of, bench.letters, bench.contexts, bench.pool)
    found = blind_search.skip_trigram_search(model, share, to, of, bench.letters, len(to) * len(of), least=0.0)
    in_weights, said = torch.zeros_like(in_runs), torch.zeros_like(out)
    places = places_among(found.destination, to), places_among(found.source, of)
    in_weights[places], said[places] = found.score, found.out
    rows = [
        [bench.text(source), bench.text(destination), bench.text(out[i, j].item()), in_runs[i, j].item(),
         bench.text(said[i, j].item()), in_weights[i, j].item()]
        for i, destination in enumerate(to.tolist()) for j, source in enumerate(of.tolist())
    ]  # fmt: skip
    felt = [
        [*pair, biases.mean_spread_won(suspicions.preference(model, *pair, bench.contexts)), said[0], said[1], bench.text(said[2])]
        for pair in suspicions.PAIRS for said in [suspicions.weights_preference(model, share, *pair)]
    ]  # fmt: skip
    return {"pairs": sorted(rows, key=lambda row: -row[3])[:300], "suspicions": felt,
            "all": [in_runs.flatten().tolist(), in_weights.flatten().tolist()]}  # fmt: skip


def places_among(tokens: Int[Tensor, " term"], among: Int[Tensor, " choice"]) -> Int[Tensor, " term"]:
    """Where each token stands in a list (the last place, if it stands there twice)."""
    places = torch.zeros(int(among.max()) + 1, dtype=torch.long)
    places[among] = torch.arange(len(among))
    return places[tokens]


def four_digits(value):
    """The same with every float to four significant digits."""
    if isinstance(value, dict):
        return {key: four_digits(each) for key, each in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [four_digits(each) for each in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main() -> None:
    """Measure everything and write the file."""
    parser = argparse.ArgumentParser(prog="python -m walkthrough.beyond.bias_runs", description=main.__doc__)
    parser.add_argument("file", type=Path)
    file = parser.parse_args().file
    torch.set_num_threads(1)
    bench = Bench()
    before = editing.losses_by_window(bench.model, bench.rows)
    moment = editing.stream_moment(bench.model, 1, bench.contexts[:100, :-1])
    found = {"tokens": bench.rows[:, 1:].numel(), "loss": before.mean().item()}
    found |= {"search": searched(bench), "misquotes": misquotes(bench), "missed": missed_by_weights(bench)}
    found["biases"] = [one_bias(bench, number, moment, before) for number in range(len(biases.BIASES))]
    found["removed"] = ways_to_remove(bench, moment, before)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(four_digits(found), ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
