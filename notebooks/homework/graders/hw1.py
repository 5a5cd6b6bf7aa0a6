"""The tasks of homework 1: who wrote a logit, a head in another basis, tables from text, tables of low rank."""

import torch
from torch import Tensor

from graders.hw1_tables import (
    AXES,
    RANK,
    RANK_MISTAKES,
    READS,
    TABLE,
    TABLE_MISTAKES,
    above_mean,
    rank_cases,
    rank_slowly,
    table_slowly,
    text_cases,
)  # fmt: skip
from walkthrough import models
from walkthrough.exercises.part_01 import random_tensor as normal
from walkthrough.homework.task import Mistake, Task

SUM = "notebook 01, “The stream is a sum”"
ROWS = "notebook 00, “Reading the paper's formulas”"
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
    """Random models of one, three and two layers, with prompts that begin with `<BOS>` and end with a token for the second time."""
    sizes = [(1, 12, 3, 11, 1, 6), (3, 16, 2, 9, 2, 5), (2, 12, 2, 13, 3, 8)]
    cases = []
    for i, (n_layers, d_model, n_heads, d_vocab, batch, n_pos) in enumerate(sizes):
        generator = torch.Generator().manual_seed(seed + i)
        tokens = torch.randint(1, d_vocab, (batch, n_pos), generator=generator)
        tokens[:, 0], tokens[:, -1] = 0, tokens[:, 1]
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


def at_first_places(model, tokens: Tensor) -> Tensor:
    """Every token looked up where it stands for the first time in its prompt."""
    logits = above_mean(written(model, tokens) @ model.W_U)
    places = torch.tensor([[row.index(following) - 1 for following in row[1:]] for row in tokens.tolist()])
    return score(logits[:, torch.arange(len(tokens))[:, None], places], tokens[:, 1:])


def half_deleted(model, tokens: Tensor) -> Tensor:
    """The embedding's own credit, then what is lost with each layer."""
    return torch.cat([credit_slowly(model, tokens)[:1], by_deletion(model, tokens)[1:]])


def half_centred(model, tokens: Tensor) -> Tensor:
    """The mean taken out of the embedding's logits, and out of no layer's."""
    raw = score(written(model, tokens)[..., :-1, :] @ model.W_U, tokens[:, 1:])
    return torch.cat([credit_slowly(model, tokens)[:1], raw[1:]])


CREDIT_MISTAKES = (
    Mistake("those are whole streams, each with all that was written before: keep what each writer adds itself", SUM, by_streams),
    Mistake("the embedding is missing: it is the first to write to the stream", SUM,
            lambda m, t: credit_slowly(m, t)[1:]),
    Mistake("that is the logit itself: measure it from the mean over the vocabulary, which no probability depends on", SUM,
            lambda m, t: score(written(m, t)[..., :-1, :] @ m.W_U, t[:, 1:])),
    Mistake("the mean was taken over the axes of the stream: take it over the vocabulary", SUM,
            lambda m, t: score(written(m, t)[..., :-1, :] @ (m.W_U - m.W_U.mean(0)), t[:, 1:])),
    Mistake("each position is scored on the token it reads: it predicts the one after", READS,
            lambda m, t: score(logits_of(m, written(m, t)), t[:, :-1])),
    Mistake("one position late: a token is predicted by the stream of the position before it", READS,
            lambda m, t: score(above_mean(written(m, t)[..., 1:, :] @ m.W_U), t[:, 1:])),
    Mistake("a token that stands in several places was looked up at the first: each place is predicted by the one before it", READS,
            at_first_places),
    Mistake("positions were added to the stream: only queries and keys see them", "notebook 00, “The weights, by name”",
            with_positions),
    Mistake("log-probabilities of single writers do not add up to anything: leave out the softmax", SUM,
            lambda m, t: score(logits_of(m, written(m, t)).log_softmax(-1), t[:, 1:])),
    Mistake("probabilities of single writers do not add up to anything: stay with logits", SUM,
            lambda m, t: score(logits_of(m, written(m, t)).softmax(-1), t[:, 1:])),
    Mistake("one writer for each head: add up the heads of a layer", SUM, by_head),
    Mistake("that is what is lost when a writer is deleted: later layers that read it change too, and only its direct effect "
            "is asked for", SUM, by_deletion),
    Mistake("the embedding's credit is direct, but a layer's is what is lost when it is deleted, with all that later layers "
            "made of it", SUM, half_deleted),
    Mistake("the mean was taken out of the embedding's part only: every writer moves it, so take it out of each", SUM, half_centred),
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
    """Embeddings in two bases, with W_QK and W_OV of a head in the first; the last basis is far from a turned one.

    Its vectors have lengths of powers of two, from sixteen down to a sixteenth: in this order, and no farther apart, all
    that is right stays so in float32.
    """
    cases = []
    stretches = (torch.linspace(0.5, 2, 5), torch.linspace(0.5, 2, 7), torch.tensor([16, 1, 1 / 2, 1 / 16]))
    for i, (d_vocab, d_head, stretch) in enumerate(zip((23, 31, 19), (2, 3, 2), stretches)):
        d_model, far = len(stretch), len(stretch) == 4
        first, second = (torch.linalg.qr(normal(d_model, d_model, seed=seed + 10 * i + j)).Q for j in (0, 1))
        M = first * stretch if far else first * stretch @ second
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


def truncated(W_E: Tensor, W_E_new: Tensor, W_QK: Tensor, W_OV: Tensor) -> Tensor:
    """The pseudo-inverse in place of the inverse, without directions that are stretched less than a fiftieth of the most."""
    M = torch.linalg.lstsq(W_E.double(), W_E_new.double()).solution
    inverse = torch.linalg.pinv(M, rtol=0.02)
    return torch.stack([inverse @ W_QK.double() @ inverse.T, inverse @ W_OV.double() @ M])


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
    Mistake("a direction in which the new basis is short was left out, as if it were noise: M has an inverse, so no pseudo-inverse "
            "with a tolerance is needed", GAUGE, truncated),
    Mistake("that is the nearest rotation between the two embeddings, but the new basis need not be a turned one", GAUGE, by_rotation),
    Mistake("W_QK was changed like W_OV, yet it writes nothing: it reads the stream on both of its sides", ROWS,
            in_basis(right_ov, right_ov)),
    Mistake("W_OV was changed like W_QK, yet it reads on one side only: what comes out is written to the stream", ROWS,
            in_basis(right_qk, right_qk)),
    Mistake("the change of basis is the wrong way round: find what turns old vectors into new ones", GAUGE,
            in_basis(lambda W, M, i: M @ W @ M.T, lambda W, M, i: M @ W @ i)),
    Mistake("W_OV got the change of basis the wrong way round: before the old matrix can read, a new vector must be turned back",
            ROWS, in_basis(right_qk, lambda W, M, i: M @ W @ i)),
    Mistake("W_QK got the change of basis the wrong way round: what it reads now are new vectors", AXES,
            in_basis(lambda W, M, i: M @ W @ M.T, right_ov)),
    Mistake("W_OV reads new vectors, but still writes old ones: what comes out must be in the new basis, too", AXES,
            in_basis(right_qk, lambda W, M, i: i @ W)),
    Mistake("W_QK alone came back: both matrices are asked for, W_QK and then W_OV", ROWS,
            lambda *case: basis_slowly(*case)[0]),
    Mistake("W_OV alone came back: both matrices are asked for, W_QK and then W_OV", ROWS,
            lambda *case: basis_slowly(*case)[1]),
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


TASKS: dict[str, Task] = {
    "hw1-1": Task("credit", 4, SUM, credit_cases, credit_slowly, CREDIT_MISTAKES),
    "hw1-2": Task("in_new_basis", 4, GAUGE, basis_cases, basis_slowly, BASIS_MISTAKES),
    "hw1-3": Task("skip_table", 4, TABLE, text_cases, table_slowly, TABLE_MISTAKES),
    "hw1-4": Task("log_probs_of_rank", 4, RANK, rank_cases, rank_slowly, RANK_MISTAKES),
}
