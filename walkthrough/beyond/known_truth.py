"""Is what the search finds true? Models that learnt a bias, models that did not, and one written by hand, all searched alike.

`python -m walkthrough.beyond.known_truth walkthrough/weights/reverse/known_truth.json` trains models on the language
with the bias and on the same language without it, searches all of them as the shipped model is searched, and counts
what is found rightly and wrongly, in two minutes on one core.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough import models
from walkthrough.beyond import blind_search, editing
from walkthrough.beyond.bench import mean_spread_won, paired_cost, write_results
from walkthrough.beyond.faithful import Twins, term_rise, twin_prompts
from walkthrough.beyond.known_language import (
    HE,
    N_CTX,
    NEITHER,
    PLAIN,
    PLANTED,
    SHE,
    THAT,
    WORDS,
    by_hand,
    occur_together,
    pronoun_language,
    train_on_language,
    without_occupations,
)
from walkthrough.beyond.removals import removal

LEAST_SCORE, LEAST_RISE, LEAST_WON = 0.05, 0.5, 0.9  # set before any model was trained
Term = tuple[int, int, int]  # source, destination and out


class Verdicts(NamedTuple):
    """What the procedure made of a model.

    `held` are the planted terms that the model has in runs, whatever its weights say. The listed terms, those of a
    high score, are `right` (borne out, and planted), `unplanted` (borne out: the model has them, though nobody planted
    them) or `not_in_runs`; `first` are the first of the list, as many as are planted. `numbers` gives score, mean rise
    and the share of contexts with a rise above zero for each listed term.
    """

    held: list[Term]
    right: list[Term]
    unplanted: list[Term]
    not_in_runs: list[Term]
    first: list[Term]
    numbers: dict[Term, list[float]]


def in_runs(model, term: Term, contexts: Int[Tensor, "row pos"], n_contexts: int) -> list[float]:
    """Mean rise of a term in nats, its spread, and the share above zero, in contexts that hold no occupation else."""
    source, destination, out = term
    return mean_spread_won(term_rise(model, alone(source, destination, contexts, n_contexts), out))


def alone(source: int, destination: int, contexts: Int[Tensor, "row pos"], n_contexts: int = 60) -> Twins:
    """Twins of rows of this language: with the source in them, and with a plain word in its place."""
    return twin_prompts(source, destination, contexts, PLAIN, n_contexts, N_CTX)


def word_share(rows: Int[Tensor, "row pos"]) -> Float[Tensor, " d_vocab"]:
    """How often each word of the language stands in some rows; `<BOS>` counts as never."""
    share = rows.flatten().bincount(minlength=len(WORDS)).float()
    share[0] = 0
    return share


def discover(model, rows: Int[Tensor, "row pos"], n_contexts: int = 60) -> Verdicts:
    """The whole procedure on a model of this language: search its weights, then look whether runs bear each term out.

    A term is listed if its score is LEAST_SCORE nats or more and its two words occur together in `rows`; it is borne
    out if its source raises its out by LEAST_RISE nats or more on average, and at all in LEAST_WON of the contexts.
    These bounds were set before any model was trained. What was changed after a first look: the language and the
    recipe (in the first ones no head learnt the bias), contexts hold no other occupation (it hid a second one's
    effect), and words must occur together (a model may do anything where it was never trained). Words that hardly any
    row lacks cannot be tried in runs, and are no sources.
    """
    contexts, words = without_occupations(rows), torch.arange(1, len(WORDS))
    rare = words[torch.stack([(contexts[:, :N_CTX] != word).all(1).sum() >= n_contexts for word in words])]
    found = blind_search.skip_trigram_search(model, word_share(rows), words, rare, keep=len(words) ** 2, least=0.0)
    together, terms = occur_together(rows), list(zip(*(part.tolist() for part in found[:3])))
    kinds, numbers = {"right": [], "unplanted": [], "not_in_runs": []}, {}
    for term, score in zip(terms, found.score.tolist()):
        if score >= LEAST_SCORE and together[term[:2]]:
            rise, _, won = in_runs(model, term, contexts, n_contexts)
            numbers[term] = [score, rise, won]
            real = "right" if term in PLANTED else "unplanted"
            kinds[real if borne_out(rise, won) else "not_in_runs"].append(term)
    tried = {term: in_runs(model, term, contexts, n_contexts) for term in sorted(PLANTED)}
    held = [term for term, (rise, _, won) in tried.items() if borne_out(rise, won)]
    return Verdicts(held, **kinds, first=list(numbers)[: len(PLANTED)], numbers=numbers)


def borne_out(rise: float, won: float) -> bool:
    """Whether runs show a term."""
    return rise >= LEAST_RISE and won >= LEAST_WON


def one_direction(model, share: Float[Tensor, " d_vocab"], head: int) -> editing.Edit:
    """The smallest edit of a head that takes "she, not he" from all occupations: one direction in, one direction out.

    In: the mean stream of SHE less that of HE. Out: the logit of "she" less that of "he". What the head moves from the
    one to the other is zero afterwards.
    """
    tokens = blind_search.stands(model, share)[0].tokens
    she, he = (tokens[[WORDS.index(who) for who in some]].mean(0) for some in (SHE, HE))
    read = model.W_U[:, WORDS.index("she")] - model.W_U[:, WORDS.index("he")]
    moved = (she - he) @ model.W_V[0, head] @ model.W_O[0, head] @ read
    return editing.ov_edit(model, 0, head, she - he, read, -moved.item())


def pronoun_pulls(model, rows: Int[Tensor, "row pos"]) -> dict[str, float]:
    """The mean of log P(she) - log P(he) that each occupation adds at "that", in nats, where it stands alone."""
    contexts, pulls = without_occupations(rows), {}
    for who in (*SHE, *HE, *NEITHER):
        twins = alone(WORDS.index(who), THAT, contexts)
        she, he = (term_rise(model, twins, WORDS.index(out)).mean().item() for out in ("she", "he"))
        pulls[who] = she - he
    return pulls


def unbiased(model, test: dict[bool, Int[Tensor, "row pos"]]) -> dict:
    """The bias edited away in one model: its pulls before and after, and the cost on biased text and on fair text.

    In one direction, of the head where that changes most, and of every head; and by an edit for each planted term, as
    in the shipped model.
    """
    share, moment = word_share(test[True]), editing.stream_moment(model, 0, test[True][:400, :N_CTX])
    edits = [one_direction(model, share, head) for head in range(model.cfg.n_heads)]
    strongest = max(edits, key=lambda edit: edit.change(model).norm())
    own = [removal(model, share, term, moment) for term in sorted(PLANTED)]
    losses = {biased: editing.losses_by_window(model, test[biased]) for biased in test}
    found = {"before": {"pulls": pronoun_pulls(model, test[True])}}
    for name, some in {"one head": [strongest], "every head": edits, "an edit for each term": own}.items():
        sizes = [edit.size(model) for edit in some]
        with editing.edited(model, *some):
            costs = [paired_cost(editing.losses_by_window(model, test[biased]), losses[biased]) for biased in test]
            found[name] = {
                "pulls": pronoun_pulls(model, test[True]),
                "on biased text": costs[0],
                "on fair text": costs[1],
            }
        found[name]["sizes"] = sizes
    return found


def measured_truths(seeds: tuple[int, ...] = (0, 1, 2)) -> dict:
    """Right and wrong discoveries in every kind of model, with the bias and without; and the bias edited away."""
    test = {biased: pronoun_language(2000, biased, seed=99) for biased in (True, False)}
    kinds = {"by hand": [by_hand()], "by hand, nothing planted": [by_hand(False)]}
    kinds["trained"] = [train_on_language(pronoun_language(32_000, True, seed), seed) for seed in seeds]
    kinds["trained, nothing planted"] = [
        train_on_language(pronoun_language(32_000, False, seed), seed) for seed in seeds
    ]
    shape = models.config(1, d_model=64, n_heads=4, n_ctx=N_CTX, d_vocab=len(WORDS))
    kinds["random weights"] = [models.bridge(models.PaperModel(shape, seed), None, "random") for seed in seeds]
    table = {}
    for name, some in kinds.items():
        verdicts = [discover(model, test["nothing" not in name]) for model in some]
        table[name] = [
            {"held": len(each.held), "right": len(each.right), "missed": len(set(each.held) - set(each.right)),
             "unplanted": [[WORDS[word] for word in term] for term in each.unplanted],
             "not in runs": len(each.not_in_runs), "planted among the first": len(PLANTED & set(each.first)),
             "listed": [[*numbers, term in PLANTED] for term, numbers in each.numbers.items()]}
            for each in verdicts
        ]  # fmt: skip
    defaults = [pronoun_probs(model, test[True]) for model in kinds["trained"]]
    edited = unbiased(kinds["trained"][0], test)
    return {"planted": len(PLANTED), "verdicts": table, "without an occupation": defaults, "edit": edited}


def pronoun_probs(model, rows: Int[Tensor, "row pos"], n_rows: int = 100) -> list[float]:
    """The mean probabilities of "she", "he" and "they" after "that" in rows without an occupation: the model's default."""
    some = without_occupations(rows)[:n_rows, :N_CTX].clone()
    some[:, -1] = THAT
    return model(some)[:, -1].softmax(-1).mean(0)[THAT + 1 : THAT + 4].tolist()


def main() -> None:
    """Train, search and count, and write the file."""
    parser = argparse.ArgumentParser(prog="python -m walkthrough.beyond.known_truth", description=main.__doc__)
    parser.add_argument("file", type=Path)
    file = parser.parse_args().file
    torch.set_num_threads(1)
    write_results(measured_truths(), file)


if __name__ == "__main__":
    main()
