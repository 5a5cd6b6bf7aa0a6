"""Homework 1, tasks 3 and 4: tables from text, and tables of low rank."""

import torch
from torch import Tensor

from walkthrough.exercises.part_01 import random_tensor as normal
from walkthrough.homework.task import Mistake

AXES = "notebook 01, “The stream has no special coordinates”"
TABLE = "notebook 02, “The whole model is one table”"
GOOD = "notebook 02, “How good is the table?”"
RANK = "notebook 02, “The rank bottleneck”"
READS = "notebook 00, “What a model predicts”"


# hw1-3 what an earlier token tells


def text_cases(seed: int) -> list[tuple]:
    """Texts of one document and of seven, some shorter than the gap, in which token 1 only ever ends a document.

    Only some tokens are drawn. In the third text the last id is missing, too, in the fourth one between others.
    """
    cases, seven = [], (9, 1, 7, 12, 2, 8, 10)
    sizes = [(6, 1, 0.5, seven, (2, 3, 4, 5)), (5, 2, 0.3, seven, (2, 3, 4)), (7, 3, 1.5, (12,), (2, 3, 5)),
             (6, 4, 0.7, seven, (2, 4, 5))]  # fmt: skip
    for i, (d_vocab, gap, alpha, lengths, drawn) in enumerate(sizes):
        generator = torch.Generator().manual_seed(seed + i)
        text = []
        for length in lengths:
            skewed = torch.rand(length, generator=generator) ** 1.5 * len(drawn)
            text += [0, *(drawn[i] for i in skewed.long()), *[1] * (length == 12)]
        cases.append((torch.tensor(text), d_vocab, gap, alpha))
    return cases


def pairs(text: Tensor, gap: int, apart: bool = True) -> list[tuple[int, int]]:
    """All tokens `gap` places apart; unless not `apart`, only those that lie in one document."""
    text, found = text.tolist(), []
    for i in range(len(text) - gap):
        if not (apart and 0 in text[i + 1 : i + gap + 1]):
            found.append((text[i], text[i + gap]))
    return found


def wrapped(text: Tensor, gap: int) -> list[tuple[int, int]]:
    """The same pairs, in a text whose end is joined to its beginning; documents are told apart by their number."""
    ring = [(text[i - gap].item(), text[i].item()) for i in range(gap) if (text == 0).sum() == 1]
    return pairs(text, gap) + [pair for pair in ring if pair[1]]


def counted(found: list[tuple[int, int]], d_vocab: int) -> Tensor:
    """How often each pair was found, as a table."""
    counts = torch.zeros(d_vocab, d_vocab, dtype=torch.float64)
    for source, following in found:
        counts[source, following] += 1
    return counts


def shares(counts: Tensor, alpha: float) -> Tensor:
    """Each row's counts plus alpha, as probabilities; nothing for `<BOS>`."""
    counts = counts + alpha
    counts[:, 0] = 0
    return counts / counts.sum(1, keepdim=True)


def table_slowly(text: Tensor, d_vocab: int, gap: int, alpha: float) -> Tensor:
    """The table of the pairs that lie in one document."""
    return shares(counted(pairs(text, gap), d_vocab), alpha)


def on_counts(change):
    """A mistake in what is made of the counts."""
    return lambda text, d_vocab, gap, alpha: change(counted(pairs(text, gap), d_vocab), alpha)


def on_pairs(choose):
    """A mistake in which pairs are counted."""
    return lambda text, d_vocab, gap, alpha: shares(counted(choose(text, gap), d_vocab), alpha)


def rows_to_one(table: Tensor) -> Tensor:
    """Each row divided by its sum."""
    return table / table.sum(1, keepdim=True)


def after_division(counts: Tensor, alpha: float) -> Tensor:
    """Alpha added to shares, not to counts."""
    return shares(counts / counts.sum(1, keepdim=True).clamp_min(1), alpha)


def seen_rows(counts: Tensor, alpha: float) -> Tensor:
    """Rows of sources that were never seen hold zeros."""
    return shares(counts, alpha) * (counts.sum(1, keepdim=True) > 0)


def smoothed_for(tokens):
    """A mistake: imaginary counts for some tokens only."""

    def wrong(text: Tensor, d_vocab: int, gap: int, alpha: float) -> Tensor:
        imaginary = torch.zeros(d_vocab)
        imaginary[tokens(text)] = alpha
        return rows_to_one((counted(pairs(text, gap), d_vocab) + imaginary) * (torch.arange(d_vocab) > 0))

    return wrong


def rows_that_occur(text: Tensor, d_vocab: int, gap: int, alpha: float) -> Tensor:
    """Zeros in the rows of tokens that stand nowhere in the text."""
    return table_slowly(text, d_vocab, gap, alpha) * (text.bincount(minlength=d_vocab) > 0)[:, None]


def of_all_places(text: Tensor, d_vocab: int, gap: int, alpha: float) -> Tensor:
    """Divided by how often the source stands in the text at all."""
    stands = text.bincount(minlength=d_vocab)[:, None] + alpha * (d_vocab - 1)
    return (counted(pairs(text, gap), d_vocab) + alpha) * (torch.arange(d_vocab) > 0) / stands


TABLE_MISTAKES = (
    Mistake("documents run into each other and <BOS> is predicted: it begins a new document, and never comes next in one", TABLE,
            lambda text, n, gap, alpha: rows_to_one(counted(pairs(text, gap, False), n) + alpha)),
    Mistake("pairs that reach back into the document before were counted: look for a <BOS> between the two tokens", TABLE,
            on_pairs(lambda text, gap: [p for p in pairs(text, gap, False) if p[1]])),
    Mistake("the text was wrapped round: its end does not come before its beginning", TABLE, on_pairs(wrapped)),
    Mistake("each pair was counted once at most: where one index comes up many times, c[s, d] += 1 adds only once", TABLE,
            on_counts(lambda c, alpha: shares(c.clamp_max(1), alpha))),
    Mistake("a source that was never seen has an empty row: its imaginary counts are there all the same", GOOD, on_counts(seen_rows)),
    Mistake("a source that does not occur in the text has an empty row: its imaginary counts are there all the same", GOOD, rows_that_occur),
    Mistake("only tokens that occur in the text were smoothed: every token of the vocabulary may come next", GOOD,
            smoothed_for(lambda text: text.unique())),
    Mistake("the vocabulary was taken to end at the largest id of the text: `d_vocab` says how many tokens there are", GOOD,
            smoothed_for(lambda text: torch.arange(text.max() + 1))),
    Mistake("pairs of one token with itself were left out: a token may well come again", TABLE,
            on_pairs(lambda text, gap: [p for p in pairs(text, gap) if p[0] != p[1]])),
    Mistake("the last pair of the text is missing: where does your loop end?", TABLE,
            on_pairs(lambda text, gap: pairs(text, gap)[:-1])),
    Mistake("divided by how often the source stands in the text: near the end of a document it has nothing to predict", TABLE,
            of_all_places),
    Mistake("alpha was shared out over the row: every possible pair gets all of it", GOOD,
            on_counts(lambda c, alpha: shares(c, alpha / (len(c) - 1)))),
    Mistake("alpha was shared out over the vocabulary: every possible pair gets all of it", GOOD,
            on_counts(lambda c, alpha: shares(c, alpha / len(c)))),
    Mistake("those are log-probabilities: here probabilities are asked for, and each row sums to 1", TABLE,
            on_counts(lambda c, alpha: shares(c, alpha).log())),
    Mistake("<BOS> was taken out of the text, which joins the documents: it marks where they part", TABLE,
            on_pairs(lambda text, gap: pairs(text[text != 0], gap, False))),
    Mistake("one place too far: a gap of 1 is the token just before", READS,
            on_pairs(lambda text, gap: pairs(text, gap + 1))),
    Mistake("one place too near: with a gap of 1 your tokens predict themselves", READS,
            on_pairs(lambda text, gap: [p for p in pairs(text, gap - 1) if p[1]])),
    Mistake("nearer tokens were counted as well: use the one that is exactly `gap` places back", TABLE,
            on_pairs(lambda text, gap: [p for near in range(1, gap + 1) for p in pairs(text, near)])),
    Mistake("<BOS> was left out as a source: how documents begin is a row like any other", TABLE,
            on_pairs(lambda text, gap: [p for p in pairs(text, gap) if p[0]])),
    Mistake("the <BOS> column was emptied after the division, so the rows no longer sum to 1", GOOD,
            on_counts(lambda c, alpha: rows_to_one(c + alpha) * (torch.arange(len(c)) > 0))),
    Mistake("<BOS> was smoothed too: it never comes next, so it gets no imaginary count", GOOD,
            on_counts(lambda c, alpha: rows_to_one(c + alpha))),
    Mistake("transposed: rows are the source and columns what comes next", TABLE,
            on_counts(lambda c, alpha: shares(c, alpha).T)),
    Mistake("backwards: the later token was used to predict the earlier one", TABLE,
            on_counts(lambda c, alpha: shares(c.T, alpha))),
    Mistake("wrong axis: each source's row must sum to 1, not each column", TABLE,
            on_counts(lambda c, alpha: shares(c, alpha) * 0 + (c + alpha) * (torch.arange(len(c)) > 0) / (c + alpha).sum(0))),
    Mistake("divided by the number of all pairs: that is how common the pair is, not one token given the other", TABLE,
            on_counts(lambda c, alpha: (c + alpha) * (torch.arange(len(c)) > 0) / (c + alpha)[:, 1:].sum())),
    Mistake("the imaginary counts are missing from what you divide by: each row got alpha once for every token", GOOD,
            on_counts(lambda c, alpha: (c + alpha) * (torch.arange(len(c)) > 0) / (c.sum(1, keepdim=True) + alpha))),
    Mistake("smoothed after the division: alpha is a number of imaginary occurrences, to be added to the counts", GOOD,
            on_counts(after_division)),
    Mistake("not smoothed: alpha has to be added to every count but those of <BOS>", GOOD,
            on_counts(lambda c, alpha: c / c.sum(1, keepdim=True).clamp_min(1))),
)  # fmt: skip


# hw1-4 the best table of a lower rank


def above_mean(logits: Tensor) -> Tensor:
    """Logits measured from their mean over the vocabulary."""
    return logits - logits.mean(-1, keepdim=True)


def rank_cases(seed: int) -> list[tuple]:
    """Weights, how common each token is, and a rank at which the singular values leave a gap."""
    cases = []
    for d_vocab, d_model, rank in [(9, 5, 2), (13, 6, 3), (11, 4, 1)]:
        for attempt in range(1000):
            draw = 1000 * seed + 10_000 * len(cases) + attempt
            W_E = normal(d_vocab, d_model, seed=draw) * torch.linspace(0.4, 1.2, d_model) + 0.3
            W_U = normal(d_model, d_vocab, seed=draw + 1) + 0.4
            share = (0.1 + normal(d_vocab, seed=draw + 2).abs()) ** 2
            S = torch.linalg.svdvals(share.sqrt()[:, None] * above_mean(W_E @ W_U))
            if S[rank] < 0.75 * S[rank - 1]:
                break
        cases.append((W_E, W_U, share / share.sum(), rank))
    return cases


def nearest(table: Tensor, rank: int) -> Tensor:
    """The nearest table of this rank, taken apart one direction at a time."""
    U, S, Vh = torch.linalg.svd(table.double())
    return sum((S[i] * torch.outer(U[:, i], Vh[i]) for i in range(rank)), torch.zeros_like(table, dtype=torch.float64))


def rank_slowly(W_E: Tensor, W_U: Tensor, share: Tensor, rank: int) -> Tensor:
    """Each row repeated in proportion to its share, as a sum of squares sees it; then the nearest table."""
    logits = above_mean(W_E.double() @ W_U.double())
    size = share.double().sqrt()[:, None]
    return (nearest(size * logits, rank) / size).log_softmax(-1)


def with_size(size, before=above_mean, after=lambda logits: logits.log_softmax(-1), more: int = 0):
    """A mistake: other weights of rows or columns, another mean taken out, another last step, or another rank."""

    def wrong(W_E: Tensor, W_U: Tensor, share: Tensor, rank: int) -> Tensor:
        weight = size(share.double())
        return after(nearest(weight * before(W_E.double() @ W_U.double()), rank + more) / weight)

    return wrong


def by_root(share: Tensor) -> Tensor:
    """What a row has to be multiplied by, for its squares to be weighted by its share."""
    return share.sqrt()[:, None]


def first_axes(W_E: Tensor, W_U: Tensor, share: Tensor, rank: int) -> Tensor:
    """The first coordinates of the stream."""
    return (W_E[:, :rank] @ W_U[:rank]).log_softmax(-1)


def largest_axes(W_E: Tensor, W_U: Tensor, share: Tensor, rank: int) -> Tensor:
    """The coordinates in which the embedding varies most."""
    axes = W_E.var(0).topk(rank).indices
    return (W_E[:, axes] @ W_U[axes]).log_softmax(-1)


def embedding_only(W_E: Tensor, W_U: Tensor, share: Tensor, rank: int) -> Tensor:
    """The nearest embedding of this rank, with the unembedding as it was."""
    return (nearest(W_E, rank) @ W_U.double()).log_softmax(-1)


def common_row_free(W_E: Tensor, W_U: Tensor, share: Tensor, rank: int) -> Tensor:
    """The mean row taken out and put back, as PCA does."""
    logits, size = above_mean(W_E.double() @ W_U.double()), by_root(share.double())
    return (logits.mean(0) + nearest(size * (logits - logits.mean(0)), rank) / size).log_softmax(-1)


def smallest(W_E: Tensor, W_U: Tensor, share: Tensor, rank: int) -> Tensor:
    """The last directions instead of the first."""
    table = by_root(share.double()) * above_mean(W_E.double() @ W_U.double())
    return ((nearest(table, W_E.shape[1]) - nearest(table, W_E.shape[1] - rank)) / by_root(share)).log_softmax(-1)


def undivided(W_E: Tensor, W_U: Tensor, share: Tensor, rank: int) -> Tensor:
    """Rows left at the size that the weights gave them."""
    return nearest(by_root(share.double()) * above_mean(W_E @ W_U), rank).log_softmax(-1)


def weighted_embedding(W_E: Tensor, W_U: Tensor, share: Tensor, rank: int) -> Tensor:
    """The nearest embedding of this rank, its rows weighted by share."""
    size = by_root(share.double())
    return (nearest(size * W_E, rank) / size @ W_U.double()).log_softmax(-1)


RANK_MISTAKES = (
    Mistake("those are the first coordinates of the stream, and coordinates mean nothing: find the directions that count", AXES, first_axes),
    Mistake("those are the coordinates in which the embedding is largest, and coordinates mean nothing: a turn of the stream "
            "would choose others", AXES, largest_axes),
    Mistake("only the embedding was approximated: what matters is the table, and that depends on W_U as well", RANK, embedding_only),
    Mistake("the shares are right, but W_E was approximated: how much an error in it matters is up to W_U", RANK, weighted_embedding),
    Mistake("log-probabilities were approximated: the table that is asked for is nearest in logits, each row from its mean", RANK,
            with_size(by_root, before=lambda logits: logits.log_softmax(-1))),
    Mistake("all tokens count alike: errors in a row are weighted by the share of its token", GOOD, with_size(lambda s: 1)),
    Mistake("the share itself went into the rows, and the sum of squares squares it again", GOOD, with_size(lambda s: s[:, None])),
    Mistake("the weights are still in the table: what every row was multiplied by must be divided out at the end", GOOD, undivided),
    Mistake("the columns are weighted by how common the next token is: it is the present token's row that counts by its share", GOOD,
            with_size(lambda s: s.sqrt())),
    Mistake("rank was spent on a constant in each row, which softmax ignores: measure each row from its mean first", RANK,
            with_size(by_root, before=lambda logits: logits)),
    Mistake("the mean row was taken out, not the mean of each row: softmax ignores a constant along a row", RANK,
            with_size(by_root, before=lambda logits: logits - logits.mean(0))),
    Mistake("the mean row was taken out and put back, as PCA does: that is a rank more than allowed", RANK, common_row_free),
    Mistake("one direction too many: that table's rank is higher than asked for", RANK, with_size(by_root, more=1)),
    Mistake("the smallest singular values were kept: the largest belong to the directions that count", RANK, smallest),
    Mistake("no softmax: those are logits, not log-probabilities", TABLE, with_size(by_root, after=lambda logits: logits)),
    Mistake("those are probabilities: log-probabilities are asked for", TABLE, with_size(by_root, after=lambda x: x.softmax(-1))),
    Mistake("softmax over the wrong axis: each row holds what may follow one token", TABLE,
            with_size(by_root, after=lambda logits: logits.log_softmax(0))),
    Mistake("that is the whole table: its rank is still d_model", RANK, lambda W_E, W_U, share, rank: (W_E @ W_U).log_softmax(-1)),
)  # fmt: skip
