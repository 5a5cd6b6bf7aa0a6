"""Skip-trigram bugs as weaknesses: pairs of tokens that text knows, and an out that the model expects there, but text never has."""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from walkthrough.beyond.blind_search import Found
from walkthrough.beyond.faithful import end_log_probs
from walkthrough.beyond.weaknesses import LENGTH, Targets
from walkthrough.one_layer.bugs import Triples, count_together


def crossed_terms(
    found: Found, counts: Int[Tensor, "first second"], rows: Int[Tensor, "row pos"], n: int, least: int = 5
) -> list[tuple[int, int, int]]:
    """The first `n` terms of a search that text does not know, no two with one source or one out.

    The out follows the destination in `counts` (100 times or more), the source stands within 20 tokens before the
    destination in `rows` (`least` times or more), and yet never with that out: a skip-trigram bug (Elhage et al. 2021,
    "Skip-Trigram Bugs"). Terms that repeat their own source are left out: to say the wrong token is no prediction.
    """
    common = ((counts[found.destination, found.out] >= 100) & (found.source != found.out)).nonzero()[:, 0].tolist()
    kept: list[tuple[int, int, int]] = []
    for place in common:
        term = found.source[place].item(), found.destination[place].item(), found.out[place].item()
        if len(kept) < n and not any(term[0] == s or term[2] == o for s, _, o in kept):
            one = torch.tensor([place])
            triple = Triples(found.source[one], found.destination[one], found.out[one], torch.zeros(1), one)
            seen, together = count_together(rows, triple)
            if seen == 0 and together >= least:
                kept.append(term)
    return kept


def crossed_targets(
    model, terms: Sequence[tuple[int, int, int]], rows: Int[Tensor, "row pos"], n_each: int
) -> tuple[Targets, Int[Tensor, " target"]]:
    """For each term places of the text that end in its destination, without its source, as targets; and the sources.

    The wrong token is the term's out, and right is whatever the model has first, if that is another one.
    """
    prompts, wrong, sources = [], [], []
    for source, destination, out in terms:
        row, pos = (rows[:, LENGTH - 1 : -1] == destination).nonzero(as_tuple=True)
        ends = rows[row[:, None], pos[:, None] + torch.arange(LENGTH)].long()
        ends[:, 0] = 0
        ends = ends[(ends[:, 1:] != source).all(1)][: 3 * n_each]
        ends = ends[end_log_probs(model, ends).argmax(1) != out][:n_each]
        prompts.append(ends)
        wrong += [out] * len(ends)
        sources += [source] * len(ends)
    prompts = torch.cat(prompts)
    right = end_log_probs(model, prompts).argmax(1)
    return Targets(prompts, right, torch.tensor(wrong)), torch.tensor(sources)
