"""The tasks of homework 1: who wrote a logit, a head in another basis, tables from text, tables of low rank."""

import torch
from torch import Tensor

from walkthrough import models
from walkthrough.exercises.part_01 import random_tensor as normal
from walkthrough.homework.task import Mistake, Task

SUM = "notebook 01, “The stream is a sum”"
AXES = "notebook 01, “The stream has no special coordinates”"
ROWS = "notebook 00, “Rows, not columns”"
TABLE = "notebook 02, “The whole model is one table”"
GOOD = "notebook 02, “How good is the table?”"
RANK = "notebook 02, “The rank bottleneck”"
GAUGE = "notebook 02, “What training leaves open”"


# hw1-1 who is to thank for the next token


def loud_model(n_layers: int, d_model: int, n_heads: int, d_vocab: int, seed: int):
    """A random model whose heads look somewhere, and whose layers write as loudly as its embedding."""
    network = models.PaperModel(models.config(n_layers, d_model, n_heads, n_ctx=16, d_vocab=d_vocab), seed)
    with torch.no_grad():
        network.tok_embed.weight *= 10
        network.head.weight *= 5
        for block in network.layers:
            block.attn.q.weight *= 1.5
            block.attn.o.weight *= 2
    return models.bridge(network, name="random")


def credit_cases(seed: int) -> list[tuple]:
    """Random models of one, three and two layers, with prompts that begin with `<BOS>`."""
    sizes = [(1, 12, 3, 11, 1, 6), (3, 16, 2, 9, 2, 5), (2, 12, 2, 13, 3, 8)]
    cases = []
    for i, (n_layers, d_model, n_heads, d_vocab, batch, n_pos) in enumerate(sizes):
        tokens = torch.randint(1, d_vocab, (batch, n_pos), generator=torch.Generator().manual_seed(seed + i))
        tokens[:, 0] = 0
        cases.append((loud_model(n_layers, d_model, n_heads, d_vocab, seed + i), tokens))
    return cases


def written(model, tokens: Tensor) -> Tensor:
    """What each writer adds to the stream, from a run: [writer batch pos d_model]."""
    _, cache = model.run_with_cache(tokens)
    layers = [cache[f"blocks.{layer}.hook_attn_out"] for layer in range(model.cfg.n_layers)]
    return torch.stack([cache["hook_embed"], *layers])


def credit_slowly(model, tokens: Tensor) -> Tensor:
    """One writer, prompt and position at a time: all its logits, then the next token's above their mean."""
    answer = []
    for parts in written(model, tokens):
        for part, prompt in zip(parts, tokens):
            logits = [part[i] @ model.W_U for i in range(len(prompt) - 1)]
            answer += [logit[following] - sum(logit) / len(logit) for logit, following in zip(logits, prompt[1:])]
    return torch.stack(answer).view(-1, len(tokens), tokens.shape[1] - 1)


def score(logits: Tensor, following: Tensor) -> Tensor:
    """The number that each position has for its following token: [... batch pos d_vocab] -> [... batch pos]."""
    return logits.gather(-1, following.expand(logits.shape[:-1])[..., None])[..., 0]


def above_mean(logits: Tensor) -> Tensor:
    """Logits measured from their mean over the vocabulary."""
    return logits - logits.mean(-1, keepdim=True)


def logits_of(model, parts: Tensor) -> Tensor:
    """Logits of each part above their mean, at all positions but the last."""
    return above_mean(parts[..., :-1, :] @ model.W_U)


def by_streams(model, tokens: Tensor) -> Tensor:
    """Scores of the whole stream after each writer."""
    return score(logits_of(model, written(model, tokens).cumsum(0)), tokens[:, 1:])


def with_positions(model, tokens: Tensor) -> Tensor:
    """Position vectors counted as part of what the embedding writes."""
    parts = written(model, tokens)
    parts[0] += model.W_pos[: tokens.shape[1]]
    return score(logits_of(model, parts), tokens[:, 1:])


def by_head(model, tokens: Tensor) -> Tensor:
    """The embedding, then each head on its own."""
    _, cache = model.run_with_cache(tokens)
    parts = [cache["hook_embed"]]
    for layer in range(model.cfg.n_layers):
        z = cache[f"blocks.{layer}.attn.hook_z"]
        parts += [z[:, :, head] @ model.W_O[layer, head] for head in range(model.cfg.n_heads)]
    return score(logits_of(model, torch.stack(parts)), tokens[:, 1:])


def by_deletion(model, tokens: Tensor) -> Tensor:
    """What is lost when a writer writes nothing: its direct effect and all that later layers made of it."""
    names = ["hook_embed", *(f"blocks.{layer}.hook_attn_out" for layer in range(model.cfg.n_layers))]
    runs = [model.run_with_hooks(tokens, fwd_hooks=[(name, lambda x, hook: 0 * x)]) for name in names]
    return score(above_mean((model(tokens) - torch.stack(runs))[..., :-1, :]), tokens[:, 1:])


def before_layers(model, tokens: Tensor) -> Tensor:
    """Differences of the embedding and the streams before each layer."""
    parts = written(model, tokens)
    return score(logits_of(model, torch.cat([parts[:1], 0 * parts[:1], parts[1:-1]])), tokens[:, 1:])


CREDIT_MISTAKES = (
    Mistake("those are whole streams, each with all that was written before: keep what each writer adds itself", SUM, by_streams),
    Mistake("the embedding is missing: it is the first to write to the stream", SUM,
            lambda m, t: credit_slowly(m, t)[1:]),
    Mistake("that is the logit itself: measure it from the mean over the vocabulary, which no probability depends on", SUM,
            lambda m, t: score(written(m, t)[..., :-1, :] @ m.W_U, t[:, 1:])),
    Mistake("the mean was taken over the axes of the stream: take it over the vocabulary", SUM,
            lambda m, t: score(written(m, t)[..., :-1, :] @ (m.W_U - m.W_U.mean(0)), t[:, 1:])),
    Mistake("each position is scored on the token it reads: it predicts the one after", "notebook 00, “A model on your disk”",
            lambda m, t: score(logits_of(m, written(m, t)), t[:, :-1])),
    Mistake("one position late: a token is predicted by the stream of the position before it", "notebook 00, “A model on your disk”",
            lambda m, t: score(above_mean(written(m, t)[..., 1:, :] @ m.W_U), t[:, 1:])),
    Mistake("positions were added to the stream: only queries and keys see them", "notebook 00, “Every weight, by name”",
            with_positions),
    Mistake("log-probabilities of single writers do not add up to anything: leave out the softmax", SUM,
            lambda m, t: score(logits_of(m, written(m, t)).log_softmax(-1), t[:, 1:])),
    Mistake("probabilities of single writers do not add up to anything: stay with logits", SUM,
            lambda m, t: score(logits_of(m, written(m, t)).softmax(-1), t[:, 1:])),
    Mistake("one writer for each head: add up the heads of a layer", SUM, by_head),
    Mistake("that is what is lost when a writer is deleted: later layers that read it change too, and only its direct effect "
            "is asked for", SUM, by_deletion),
    Mistake("the streams were taken before each layer instead of after it: the last layer's own part is lost", SUM, before_layers),
    Mistake("the axes are in another order: writers come first, then the batch", SUM,
            lambda m, t: credit_slowly(m, t).transpose(0, 1)),
    Mistake("averaged over positions: give one number for each token to be predicted", SUM,
            lambda m, t: credit_slowly(m, t).mean(-1)),
    Mistake("that holds every token of the vocabulary: keep the one that really comes next", SUM,
            lambda m, t: logits_of(m, written(m, t))),
)  # fmt: skip


# hw1-2 the same head in another basis


def basis_cases(seed: int) -> list[tuple]:
    """Embeddings in two bases, with W_QK and W_OV of a head in the first."""
    cases = []
    for i, (d_vocab, d_model, d_head) in enumerate([(23, 5, 2), (31, 7, 3)]):
        first, second = (torch.linalg.qr(normal(d_model, d_model, seed=seed + 10 * i + j)).Q for j in (0, 1))
        M = first * torch.linspace(0.5, 2, d_model) @ second
        W_Q, W_K, W_V = normal(3, d_model, d_head, seed=seed + 10 * i + 2)
        W_O, W_E = normal(d_head, d_model, seed=seed + 10 * i + 3), normal(d_vocab, d_model, seed=seed + 10 * i + 4)
        cases.append((W_E, W_E @ M, W_Q @ W_K.T, W_V @ W_O))
    return cases


def basis_slowly(W_E: Tensor, W_E_new: Tensor, W_QK: Tensor, W_OV: Tensor) -> Tensor:
    """What each unit vector of the new basis is in the old one; then each score, and each output brought back."""
    M = torch.linalg.lstsq(W_E.double(), W_E_new.double()).solution
    old = [torch.linalg.solve(M.T, unit) for unit in torch.eye(len(M), dtype=torch.float64)]
    scores = torch.stack([torch.stack([query @ W_QK.double() @ key for key in old]) for query in old])
    return torch.stack([scores, torch.stack([x @ W_OV.double() @ M for x in old])])


def in_basis(qk, ov):
    """A mistake: what becomes of W_QK and W_OV, given each with M and its inverse."""

    def wrong(W_E: Tensor, W_E_new: Tensor, W_QK: Tensor, W_OV: Tensor) -> Tensor:
        M = torch.linalg.lstsq(W_E.double(), W_E_new.double()).solution
        inverse = torch.linalg.inv(M)
        return torch.stack([qk(W_QK.double(), M, inverse), ov(W_OV.double(), M, inverse)])

    return wrong


def by_rotation(W_E: Tensor, W_E_new: Tensor, W_QK: Tensor, W_OV: Tensor) -> Tensor:
    """The orthogonal matrix that brings one embedding nearest to the other, in place of M."""
    U, _, Vh = torch.linalg.svd(W_E.double().T @ W_E_new.double())
    return torch.stack([(U @ Vh).T @ W.double() @ U @ Vh for W in (W_QK, W_OV)])


def right_qk(W, M, inverse):
    """A form in two stream vectors, each of which has to be turned back."""
    return inverse @ W @ inverse.T


def right_ov(W, M, inverse):
    """A map from stream to stream: turn back, apply, turn forth."""
    return inverse @ W @ M


BASIS_MISTAKES = (
    Mistake("nothing was changed: both matrices read the stream, whose vectors are written differently now", AXES,
            lambda W_E, W_E_new, W_QK, W_OV: torch.stack([W_QK, W_OV])),
    Mistake("transposed where it should be inverted: they are the same for rotations only", AXES,
            in_basis(lambda W, M, i: M.T @ W @ M, lambda W, M, i: M.T @ W @ M)),
    Mistake("that is the nearest rotation between the two embeddings, but the new basis need not be a turned one", GAUGE, by_rotation),
    Mistake("W_QK was changed like W_OV, yet it writes nothing: it reads the stream on both of its sides", ROWS,
            in_basis(right_ov, right_ov)),
    Mistake("W_OV was changed like W_QK, yet it reads on one side only: what comes out is written to the stream", ROWS,
            in_basis(right_qk, right_qk)),
    Mistake("the change of basis is the wrong way round: find what turns old vectors into new ones", GAUGE,
            in_basis(lambda W, M, i: M @ W @ M.T, lambda W, M, i: M @ W @ i)),
    Mistake("W_OV is treated as the paper's matrix, which acts on columns: ours acts on rows, from the right", ROWS,
            in_basis(right_qk, lambda W, M, i: M.T @ W @ i.T)),
    Mistake("W_QK was changed as if it held stream vectors: it reads them, so it must turn them back first", AXES,
            in_basis(lambda W, M, i: M.T @ W @ M, right_ov)),
    Mistake("only one side of each matrix was changed: a d_model × d_model matrix meets the stream on both", AXES,
            in_basis(lambda W, M, i: i @ W, lambda W, M, i: i @ W)),
    Mistake("W_QK is unchanged: queries and keys are read from the stream as values are", AXES,
            in_basis(lambda W, M, i: W, right_ov)),
    Mistake("queries and keys are exchanged: the query's side of W_QK is its first axis", ROWS,
            in_basis(lambda W, M, i: right_qk(W.T, M, i), right_ov)),
    Mistake("the two are in another order: first W_QK, then W_OV", ROWS,
            lambda *case: basis_slowly(*case).flip(0)),
    Mistake("those are tables over tokens, which depend on no basis: give matrices over the new stream", ROWS,
            lambda W_E, W_E_new, W_QK, W_OV: torch.stack([W_E @ W_QK @ W_E.T, W_E @ W_OV @ W_E.T])),
)  # fmt: skip


# hw1-3 what an earlier token tells


def text_cases(seed: int) -> list[tuple]:
    """Texts of seven documents, some shorter than the gap, in which token 1 only ever ends a document."""
    cases = []
    for i, (d_vocab, gap, alpha) in enumerate([(6, 1, 0.5), (5, 2, 0.3), (7, 3, 1.5)]):
        generator = torch.Generator().manual_seed(seed + i)
        text = []
        for length in (9, 1, 7, 12, 2, 8, 10):
            skewed = torch.rand(length, generator=generator) ** 1.5 * (d_vocab - 2)
            text += [0, *(2 + skewed.long()).tolist(), *[1] * (length == 12)]
        cases.append((torch.tensor(text), d_vocab, gap, alpha))
    return cases


def pairs(text: Tensor, gap: int, apart: bool = True) -> list[tuple[int, int]]:
    """All tokens `gap` places apart; unless not `apart`, only those that lie in one document."""
    text, found = text.tolist(), []
    for i in range(len(text) - gap):
        if not (apart and 0 in text[i + 1 : i + gap + 1]):
            found.append((text[i], text[i + gap]))
    return found


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


TABLE_MISTAKES = (
    Mistake("documents run into each other and <BOS> is predicted: it begins a new document, and never comes next in one", TABLE,
            lambda text, n, gap, alpha: rows_to_one(counted(pairs(text, gap, False), n) + alpha)),
    Mistake("pairs that reach back into the document before were counted: look for a <BOS> between the two tokens", TABLE,
            on_pairs(lambda text, gap: [p for p in pairs(text, gap, False) if p[1]])),
    Mistake("<BOS> was taken out of the text, which joins the documents: it marks where they part", TABLE,
            on_pairs(lambda text, gap: pairs(text[text != 0], gap, False))),
    Mistake("one place too far: a gap of 1 is the token just before", "notebook 00, “A model on your disk”",
            on_pairs(lambda text, gap: pairs(text, gap + 1))),
    Mistake("one place too near: with a gap of 1 your tokens predict themselves", "notebook 00, “A model on your disk”",
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


RANK_MISTAKES = (
    Mistake("those are the first coordinates of the stream, and coordinates mean nothing: find the directions that count", AXES, first_axes),
    Mistake("those are the coordinates in which the embedding is largest, and coordinates mean nothing: a turn of the stream "
            "would choose others", AXES, largest_axes),
    Mistake("only the embedding was approximated: what matters is the table, and that depends on W_U as well", RANK, embedding_only),
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

TASKS: dict[str, Task] = {
    "hw1-1": Task("credit", 4, SUM, credit_cases, credit_slowly, CREDIT_MISTAKES),
    "hw1-2": Task("in_new_basis", 4, GAUGE, basis_cases, basis_slowly, BASIS_MISTAKES),
    "hw1-3": Task("skip_table", 4, TABLE, text_cases, table_slowly, TABLE_MISTAKES),
    "hw1-4": Task("log_probs_of_rank", 4, RANK, rank_cases, rank_slowly, RANK_MISTAKES),
}
