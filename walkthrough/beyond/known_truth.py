"""Planted truth: a language in which some occupations call for a pronoun, models that know it, and a search that must find it.

`python -m walkthrough.beyond.known_truth walkthrough/weights/reverse/known_truth.json` trains models on the language with the
bias and on the same language without it, searches all of them as the shipped model is searched, and counts what is
found rightly and wrongly, in a minute or two.
"""

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from walkthrough import models
from walkthrough.beyond import blind_search, editing
from walkthrough.beyond.biases import mean_spread_won, paired_cost, score_term
from walkthrough.beyond.faithful import term_rise, twin_prompts

FILE = models.WEIGHTS / "reverse" / "known_truth.json"
SHE, HE = ("nurse", "teacher", "dancer", "librarian"), ("engineer", "pilot", "plumber", "surgeon")
NEITHER = ("baker", "clerk", "farmer", "writer")
PRONOUNS = ("she", "he", "they")
WORDS = (models.BOS, *SHE, *HE, *NEITHER, "that", *PRONOUNS, *(f"word {i}" for i in range(40)))
THAT = WORDS.index("that")
PLANTED = {(WORDS.index(who), THAT, WORDS.index(out)) for out, some in (("she", SHE), ("he", HE)) for who in some}
N_CTX = 32


def truth_table(file: Path = FILE) -> dict:
    """What this file's command measured, as it ships; ValueError if the file is missing."""
    if not file.exists():
        raise ValueError(f"{file.name} is missing from {file.parent}: install the course again")
    return json.loads(file.read_text(encoding="utf-8"))


def pronoun_language(n_rows: int, biased: bool, seed: int, chain_seed: int = 0) -> Int[Tensor, "row pos"]:
    """Rows of `<BOS>` and N_CTX words: a chain of plain words, one occupation near the start, "that" and then a pronoun.

    Each plain word has four that like to follow it. After "that" comes, nine times in ten, the pronoun of the row's
    occupation, if that stands before, is one of SHE or HE, and the language is `biased`; else any of the three, all
    equally often. Who is who is the same for every seed, and so is the chain for every `chain_seed`.
    """
    plain = torch.arange(THAT + 4, len(WORDS))
    liked = plain[torch.randint(len(plain), (len(WORDS), 4), generator=torch.Generator().manual_seed(chain_seed))]
    dice = torch.Generator().manual_seed(seed)
    who = 1 + torch.randint(12, (n_rows,), generator=dice)
    when = 1 + torch.randint(8, (n_rows,), generator=dice)
    favoured = torch.zeros(len(WORDS), dtype=torch.long)
    for source, _, out in PLANTED:
        favoured[source] = out
    rows = torch.zeros(n_rows, N_CTX + 1, dtype=torch.long)
    for place in range(1, N_CTX + 1):
        before, u = rows[:, place - 1], torch.rand(n_rows, 2, generator=dice)
        word = liked[before, torch.randint(4, (n_rows,), generator=dice)]
        word = torch.where(u[:, 0] < 0.2, THAT, word)
        called = favoured[who] * (place > when) * biased
        pronoun = THAT + 1 + torch.randint(3, (n_rows,), generator=dice)
        pronoun = torch.where((called > 0) & (u[:, 1] < 0.9), called, pronoun)
        word = torch.where(before == THAT, pronoun, word)
        rows[:, place] = torch.where(when == place, who, word)
    return rows


def train_on_language(
    rows: Int[Tensor, "row pos"], seed: int = 0, steps: int = 1000, batch: int = 64
) -> models.TransformerBridge:
    """A one-layer model of the course's kind, trained on some rows with Adam for a few seconds.

    Embeddings start ten times as large as the course's, and positions are a fifth: heads come to read words sooner.
    """
    shape = models.config(1, d_model=64, n_heads=4, n_ctx=N_CTX, d_vocab=len(WORDS))
    network = models.PaperModel(shape, seed)
    network.tok_embed.weight.data *= 10
    network.pos.weight.data /= 5
    free = [p for p in network.parameters() if p.requires_grad]
    adam = torch.optim.Adam(free, lr=4e-3)
    with torch.enable_grad():
        for step in range(steps):
            adam.param_groups[0]["lr"] = 4e-3 * (1 - step / steps)
            part = rows[torch.arange(step * batch, (step + 1) * batch) % len(rows)]
            loss = cross_entropy(network(part[:, :-1]).flatten(0, 1), part[:, 1:].flatten())
            adam.zero_grad()
            loss.backward()
            adam.step()
    return models.bridge(network, None, "planted")


def by_hand(planted: bool = True) -> models.TransformerBridge:
    """A one-layer model in which one head has exactly the planted terms, or none: its weights are written, not learnt.

    Words are one-hot; W_U reads as logits what the head writes, and from each word's own axis that a pronoun comes
    after "that". The head's query knows "that", its keys the occupations and, half as strong, `<BOS>`.
    """
    n = len(WORDS)
    shape = models.config(1, d_model=2 * n, n_heads=1, n_ctx=N_CTX, d_vocab=n)
    network = models.PaperModel(shape, 0)
    for parameter in network.parameters():
        parameter.data.zero_()
    network.tok_embed.weight.data[:, :n] = torch.eye(n)
    head = network.layers[0].attn
    size = (2 * n) ** 0.5  # scores are divided by the square root of d_head
    head.q.weight.data[0, THAT] = size
    head.k.weight.data[0, 1:13], head.k.weight.data[0, 0] = 8.0, 4.0
    if planted:
        for who, _, out in PLANTED:
            head.v.weight.data[out, who] = 3.0
    head.o.weight.data[n:, :n] = torch.eye(n)
    network.head.weight.data[:, n:] = torch.eye(n)
    network.head.weight.data[THAT + 1 : THAT + 4, THAT] = 4.0
    return models.bridge(network, None, "by hand")


class Verdicts(NamedTuple):
    """What the procedure found: planted terms, terms that nobody planted, those that runs did not bear out, and the first by score.

    The last are as many as are planted, whatever their score and whatever runs say.
    """

    right: list[tuple[int, int, int]]
    wrong: list[tuple[int, int, int]]
    not_in_runs: list[tuple[int, int, int]]
    first: list[tuple[int, int, int]]


def discover(
    model, rows: Int[Tensor, "row pos"], least_score: float = 0.05, least_rise: float = 0.5, n_contexts: int = 60
) -> Verdicts:  # fmt: skip
    """The whole procedure on a model of this language: search its weights, then look whether runs bear each term out.

    A term is a discovery if its score is `least_score` nats or more, and its source raises its out by `least_rise` nats
    or more on average, and at all in nine contexts of ten. Both bounds were set before any model was trained (the
    language and the recipe were not: in the first ones no head learnt the bias). Words that
    hardly any row lacks cannot be tried in runs, and are no sources.
    """
    share = rows.flatten().bincount(minlength=len(WORDS)).float()
    share[0] = 0
    words = torch.arange(1, len(WORDS))
    rare = words[torch.stack([(rows[:, :N_CTX] != word).all(1).sum() >= n_contexts for word in words])]
    found = blind_search.skip_trigram_search(model, share, words, rare, keep=len(words) ** 2, least=0.0)
    right, wrong, lost = [], [], []
    for source, destination, out, score in zip(*(part.tolist() for part in found[:4])):
        if score < least_score:
            break
        twins = twin_prompts(source, destination, rows, words, n_contexts, N_CTX)
        rise, _, won = mean_spread_won(term_rise(model, twins, out))
        term = source, destination, out
        kept = right if term in PLANTED else wrong
        (kept if rise >= least_rise and won >= 0.9 else lost).append(term)
    first = list(zip(*(part[: len(PLANTED)].tolist() for part in found[:3])))
    return Verdicts(right, wrong, lost, first)


def one_direction(model, share: Float[Tensor, " d_vocab"]) -> editing.Edit:
    """The smallest edit that takes "she, not he" from all occupations together: one direction in, one direction out.

    In: the mean stream of SHE less that of HE. Out: the logit of "she" less that of "he". The strongest head is changed by
    so much that what it moves from the one to the other is zero afterwards.
    """
    nurse = WORDS.index("nurse"), THAT, WORDS.index("she")
    head = score_term(model, share, nurse).head.item()
    tokens = blind_search.stands(model, share)[0].tokens
    she, he = (tokens[[WORDS.index(who) for who in some]].mean(0) for some in (SHE, HE))
    read = model.W_U[:, WORDS.index("she")] - model.W_U[:, WORDS.index("he")]
    moved = (she - he) @ model.W_V[0, head] @ model.W_O[0, head] @ read
    return editing.ov_edit(model, 0, head, she - he, read, -moved.item())


def pronoun_pull(model, rows: Int[Tensor, "row pos"], who: str) -> float:
    """The mean of log P(she) - log P(he) that an occupation adds at "that", in nats, over contexts without it."""
    words = torch.arange(1, len(WORDS))
    twins = twin_prompts(WORDS.index(who), THAT, rows, words, 60, N_CTX)
    she, he = (term_rise(model, twins, WORDS.index(out)).mean().item() for out in ("she", "he"))
    return she - he


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
        rows = test["nothing" not in name]
        verdicts = [discover(model, rows) for model in some]
        table[name] = [
            {"right": len(each.right), "wrong": [[WORDS[word] for word in term] for term in each.wrong],
             "not in runs": len(each.not_in_runs), "planted among the first": len(PLANTED & set(each.first))}
            for each in verdicts
        ]  # fmt: skip
    model, rows = kinds["trained"][0], test[True]
    share = rows.flatten().bincount(minlength=len(WORDS)).float()
    share[0] = 0
    edit, before = one_direction(model, share), {who: pronoun_pull(model, rows, who) for who in (*SHE, *HE, *NEITHER)}
    losses = {biased: editing.losses_by_window(model, test[biased][:400]) for biased in test}
    with editing.edited(model, edit):
        after = {who: pronoun_pull(model, rows, who) for who in before}
        costs = {
            biased: paired_cost(editing.losses_by_window(model, test[biased][:400]), losses[biased]) for biased in test
        }
    return {
        "planted": len(PLANTED), "verdicts": table, "pull before": before, "pull after": after,
        "edit": {"size": edit.size(model), "on biased text": costs[True], "on fair text": costs[False]},
    }  # fmt: skip


def main() -> None:
    """Train, search and count, and write the file."""
    parser = argparse.ArgumentParser(prog="python -m walkthrough.beyond.known_truth", description=main.__doc__)
    parser.add_argument("file", type=Path)
    file = parser.parse_args().file
    torch.set_num_threads(1)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(measured_truths()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
