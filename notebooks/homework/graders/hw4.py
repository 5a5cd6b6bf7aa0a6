"""The tasks of homework 4: composition over chance, the norm of a chain, a head that reads backwards, one path cut."""

import torch
from torch import Tensor

from graders import hw4_heads, hw4_runs
from graders.hw4_runs import BROKEN, VIRTUAL, two_layers
from walkthrough.homework.task import Mistake, Task

SCORES, PROGRAMS = "notebook 07, “Three ways to read another head”", "notebook 07, “Two programs for one figure”"
BY_HAND, GAUGE = "notebook 09, “Build one”", "notebook 03, “Only two products matter”"


# hw4-1 what a head reads of a whole layer, over chance


def sized_models(seed: int) -> list[tuple]:
    """Two models, of 5 and of 4 heads."""
    return [(two_layers(seed, 20, 5),), (two_layers(seed + 1, 24, 4),)]


def slow_times_chance(model) -> list[list[Tensor]]:
    """Each head and kind: the stack of all that layer 0 writes, times what reads it, entry by entry squared."""
    stack = torch.cat([W_V.double() @ W_O.double() for W_V, W_O in zip(model.W_V[0], model.W_O[0])])
    rows = []
    for W_Q, W_K, W_V, W_O in zip(model.W_Q[1], model.W_K[1], model.W_V[1], model.W_O[1]):
        W_QK, W_OV = W_Q.double() @ W_K.double().T, W_V.double() @ W_O.double()
        squares = [((stack @ B) ** 2).sum() / (stack**2).sum() / (B**2).sum() for B in (W_QK, W_QK.T, W_OV)]
        rows.append([square * stack.shape[1] for square in squares])
    return torch.tensor(rows)


def squares(model, product=torch.matmul, layers=(0, 1), kinds=(0, 1, 2)) -> tuple[Tensor, Tensor, Tensor]:
    """Squared norms of every product [write read kind], of what is written and of what reads it."""
    writes, OV, QK = model.OV[layers[0]].AB, model.OV[layers[1]].AB, model.QK[layers[1]].AB
    reads = torch.stack([(QK, QK.mT, OV)[kind] for kind in kinds], 1)
    size = lambda x: x.square().sum((-2, -1))
    return size(product(writes[:, None, None], reads)), size(writes), size(reads)


def of_stack(model, **changes) -> Tensor:
    """The squared score of the whole stack, from the squares of its parts."""
    products, writes, reads = squares(model, **changes)
    return products.sum(0) / writes.sum() / reads


def one_matrix(model) -> Tensor:
    """Readers replaced by the one matrix that touches the stream: W_Q, W_K or W_V."""
    inputs = torch.stack([model.W_Q[1], model.W_K[1], model.W_V[1]], 1)
    products = (model.OV[0].AB[:, None, None] @ inputs).square().sum((0, -2, -1))
    return products / squares(model)[1].sum() / inputs.square().sum((-2, -1)) * model.cfg.d_model


def cycled(model) -> Tensor:
    """The paper's slip: W_outᵀ W_V W_O W_in."""
    W_in = torch.stack([model.W_Q[1], model.W_K[1], model.W_V[1]], 1)
    W_out = torch.stack([model.W_K[1], model.W_Q[1], model.W_O[1].mT], 1)
    small = (W_out.mT @ model.W_V[0][:, None, None]) @ (model.W_O[0][:, None, None] @ W_in)
    _, writes, reads = squares(model)
    return small.square().sum((0, -2, -1)) / writes.sum() / reads * model.cfg.d_model


def added(model) -> Tensor:
    """All W_OV of layer 0 added up, as if their heads looked at the same place."""
    total, QK = model.OV[0].AB.sum(0), model.QK[1].AB
    reads = torch.stack([QK, QK.mT, model.OV[1].AB], 1)
    size = lambda x: x.square().sum((-2, -1))
    return size(total @ reads) / size(total) / size(reads) * model.cfg.d_model


def with_centred_rows(model) -> Tensor:
    """Every W_OV with the mean of each row taken out, as one does with a table whose columns go through a softmax."""
    centred = [OV - OV.mean(-1, keepdim=True) for OV in (model.OV[0].AB, model.OV[1].AB)]
    stack, QK = centred[0].flatten(0, 1), model.QK[1].AB
    reads = torch.stack([QK, QK.mT, centred[1]], 1)
    size = lambda x: x.square().sum((-2, -1))
    return size(stack @ reads) / size(stack) / size(reads) * model.cfg.d_model


def averaged(model, power: float) -> Tensor:
    """The mean over writers of the scores to a power, each writer counting the same, over the power of chance."""
    products, writes, reads = squares(model)
    return (products / writes[:, None, None] / reads).pow(power / 2).mean(0) * model.cfg.d_model ** (power / 2)


CHANCE_MISTAKES = (
    Mistake("Q and K are exchanged: in our rows W_QK has queries on its left side, so it is the query that reads a "
            "product W_OV W_QK", SCORES, lambda m: of_stack(m, kinds=(1, 0, 2)) * m.cfg.d_model),
    Mistake("W_OV of layer 0 is transposed: what is written lies on its right side, in our rows", SCORES,
            lambda m: of_stack(m, product=lambda A, B: A.mT @ B) * m.cfg.d_model),
    Mistake("the factors are in the wrong order: the earlier head stands on the left, and a norm notices", PROGRAMS,
            lambda m: of_stack(m, product=lambda A, B: B @ A) * m.cfg.d_model),
    Mistake("V-composition takes the other side of the later head: its W_V reads the stream, its W_O writes there",
            SCORES, lambda m: torch.cat([of_stack(m)[:, :2], of_stack(m, product=lambda A, B: B @ A)[:, 2:]], 1)
            * m.cfg.d_model),
    Mistake("that is the root: the SQUARED score has a known mean under rotations, and was asked", SCORES,
            lambda m: (of_stack(m) * m.cfg.d_model).sqrt()),
    Mistake("each head of layer 0 counts the same in your mean: in the stack, one that writes more counts more", SCORES,
            lambda m: averaged(m, 2)),
    Mistake("scores were averaged, and not their squares: the mean of roots has no simple chance level", SCORES,
            lambda m: averaged(m, 1)),
    Mistake("the W_OV were added up: their heads look at different places, so stack them", SCORES, added),
    Mistake("chance has nothing to do with d_head: the rank of the factors dropped out", SCORES,
            lambda m: of_stack(m) * m.cfg.d_head),
    Mistake("chance for the square is not chance for the score", SCORES, lambda m: of_stack(m) * m.cfg.d_model**0.5),
    Mistake("one factor of your chance does not belong there: go through the argument again with the stack's shape",
            SCORES, lambda m: of_stack(m) * m.cfg.d_model * m.cfg.n_heads),
    Mistake("chance is missing: the squared score itself was returned", SCORES, of_stack),
    Mistake("1 was subtracted: a multiple of chance was asked, not what exceeds it", SCORES,
            lambda m: of_stack(m) * m.cfg.d_model - 1),
    Mistake("that is the root, less 1: the squared score was asked, as a multiple of chance", SCORES,
            lambda m: (of_stack(m) * m.cfg.d_model).sqrt() - 1),
    Mistake("the rows of W_OV were centred: that is for tables whose columns are tokens, where a softmax follows", SCORES,
            with_centred_rows),
    Mistake("V-composition is read through the transpose of the later W_OV: its W_V reads, and stands on the left", SCORES,
            lambda m: torch.cat([of_stack(m)[:, :2], of_stack(m, product=lambda A, B: A @ B.mT)[:, 2:]], 1)
            * m.cfg.d_model),
    Mistake("chance was subtracted: a multiple of it was asked", SCORES, lambda m: of_stack(m) - 1 / m.cfg.d_model),
    Mistake("not divided by the size of what reads: a head with larger weights would seem to read more", SCORES,
            lambda m: of_stack(m) * squares(m)[2] * m.cfg.d_model),
    Mistake("not divided by the size of what is written", SCORES,
            lambda m: of_stack(m) * squares(m)[1].sum() * m.cfg.d_model),
    Mistake("W_Q, W_K or W_V alone was taken for the reader: the score takes the whole W_QK or W_OV", SCORES, one_matrix),
    Mistake("a factor walked round the circle: in a norm it may not", PROGRAMS, cycled),
    Mistake("the layers are exchanged: layer 0 writes, layer 1 reads", SCORES,
            lambda m: of_stack(m, layers=(1, 0)) * m.cfg.d_model),
)  # fmt: skip


# hw4-2 the score of a chain of heads, through small matrices


def chains(seed: int) -> list[tuple[Tensor, Tensor]]:
    """W_V and W_O of chains of 3, 4 and 2 heads, each reading part of what the one before wrote.

    The last has a d_model for which no machine can address a d_model × d_model matrix. Its entries are one power of two,
    so that the tensors take no room and float32 sums are exact.
    """
    generator = torch.Generator().manual_seed(seed)
    draw, cases = lambda *shape: torch.randn(*shape, generator=generator), []
    for layers, d_model, d_head in ((3, 12, 3), (4, 9, 2)):
        W_V, W_O = draw(layers, d_model, d_head), draw(layers, d_head, d_model)
        W_V[1:] += 1.5 * W_O[:-1].mT
        cases.append((W_V, W_O))
    wide = 2**24
    W_V, W_O = (2.0 ** torch.randint(-13, -9, (2, 1, 1), generator=generator) for _ in range(2))
    return [*cases, (W_V.expand(2, wide, 1), W_O.expand(2, 1, wide))]


def slow_chain_score(W_V: Tensor, W_O: Tensor) -> Tensor:
    """The whole products; where all rows are alike, of one row, for the width cancels."""
    if W_V.shape[1] > 1000:
        W_V, W_O = W_V[:, :1], W_O[:, :, :1]
    heads = [into.double() @ out.double() for into, out in zip(W_V, W_O)]
    return torch.linalg.multi_dot(heads).norm() / torch.stack([head.norm() for head in heads]).prod()


def middle(W_V: Tensor, W_O: Tensor) -> Tensor:
    """All that stands between the first W_V and the last W_O of a chain: [d_head d_head]."""
    product = torch.eye(W_V.shape[-1], dtype=W_V.dtype)
    for out, into in zip(W_O[:-1], W_V[1:]):
        product = product @ (out @ into)
    return product


def true_square(W_V: Tensor, W_O: Tensor) -> Tensor:
    """The squared norm of a chain, as the trace of four small matrices."""
    M = middle(W_V, W_O)
    return ((W_V[0].T @ W_V[0] @ M) * (M @ (W_O[-1] @ W_O[-1].T))).sum()


def given_norm(W_V: Tensor, W_O: Tensor) -> Tensor:
    """The notebook's given program: the first W_V walked round to the end."""
    return (middle(W_V, W_O) @ (W_O[-1] @ W_V[0])).norm()


def own(norm, W_V: Tensor, W_O: Tensor) -> Tensor:
    """The product of the heads' own norms, each a chain of one."""
    alone = [norm(V[None], O[None]) for V, O in zip(W_V, W_O)]
    return torch.stack(alone).prod()


def true_norm(W_V: Tensor, W_O: Tensor) -> Tensor:
    """The norm of a chain."""
    return true_square(W_V, W_O).sqrt()


def links(W_V: Tensor, W_O: Tensor) -> Tensor:
    """The scores of all neighbours, multiplied."""
    pairs = [slice(i, i + 2) for i in range(len(W_V) - 1)]
    return torch.stack([true_norm(W_V[i], W_O[i]) / own(true_norm, W_V[i], W_O[i]) for i in pairs]).prod()


def grams_exchanged(W_V: Tensor, W_O: Tensor) -> Tensor:
    """The trace with the two outer matrices at each other's place."""
    M = middle(W_V, W_O)
    return (((W_O[-1] @ W_O[-1].T) @ M) * (M @ (W_V[0].T @ W_V[0]))).sum().sqrt()


def greatest(W_V: Tensor, W_O: Tensor) -> Tensor:
    """The spectral norm of a chain: its largest singular value."""
    M = middle(W_V, W_O)
    return torch.linalg.eigvals((M.T @ (W_V[0].T @ W_V[0]) @ M) @ (W_O[-1] @ W_O[-1].T)).real.max().sqrt()


def from_eigenvalues(W_V: Tensor, W_O: Tensor) -> Tensor:
    """What would be the norm if the singular values were the sizes of the eigenvalues."""
    return torch.linalg.eigvals(middle(W_V, W_O) @ (W_O[-1] @ W_V[0])).abs().square().sum().sqrt()


CHAIN_MISTAKES = (
    Mistake("that is the largest singular value, a spectral norm: ‖·‖ takes all of them", PROGRAMS,
            lambda v, o: greatest(v, o) / own(greatest, v, o)),
    Mistake("a norm comes from singular values, not from eigenvalues", PROGRAMS,
            lambda v, o: from_eigenvalues(v, o) / own(true_norm, v, o)),
    Mistake("norms come from singular values, not from eigenvalues, a single head's too", PROGRAMS,
            lambda v, o: from_eigenvalues(v, o) / own(from_eigenvalues, v, o)),
    Mistake("only the first two heads: a chain may have more", VIRTUAL,
            lambda v, o: true_norm(v[:2], o[:2]) / own(true_norm, v[:2], o[:2])),
    Mistake("the first W_V still walks round the circle, in the chain and in the heads' own norms: that is allowed in a "
            "trace, not in a norm", PROGRAMS, lambda v, o: given_norm(v, o) / own(given_norm, v, o)),
    Mistake("the chain is mended, the norms you divide by are not: a head alone is a chain of one, and the slip is there "
            "too", PROGRAMS, lambda v, o: true_norm(v, o) / own(given_norm, v, o)),
    Mistake("the norms you divide by are right, but in the chain a factor still walks round the circle", PROGRAMS,
            lambda v, o: given_norm(v, o) / own(true_norm, v, o)),
    Mistake("a root is missing: the trace gives the norm squared", PROGRAMS,
            lambda v, o: true_square(v, o) / own(true_square, v, o)),
    Mistake("the root is missing above the line only", PROGRAMS, lambda v, o: true_square(v, o) / own(true_norm, v, o)),
    Mistake("that is made of the product's own trace: ‖X‖² is the trace of X times its transpose", PROGRAMS,
            lambda v, o: (middle(v, o) @ (o[-1] @ v[0])).trace().abs().sqrt() / own(true_norm, v, o)),
    Mistake("only the middle of the chain: the first W_V and the last W_O stretch it too", PROGRAMS,
            lambda v, o: middle(v, o).norm() / own(true_norm, v, o)),
    Mistake("not divided by the heads' own norms", SCORES, true_norm),
    Mistake("the scores of neighbours were multiplied: what passes through a chain is not told by its links", VIRTUAL,
            links),
    Mistake("the norms were multiplied: the norm of a product is not the product of its factors' norms", PROGRAMS,
            lambda v, o: v[0].norm() * middle(v, o).norm() * o[-1].norm() / own(true_norm, v, o)),
    Mistake("the two outer matrices stand at each other's place in the trace", PROGRAMS,
            lambda v, o: grams_exchanged(v, o) / own(true_norm, v, o)),
    Mistake("divided by the norms of W_V and W_O one by one: a head's size is that of W_V W_O", SCORES,
            lambda v, o: true_norm(v, o) / (v.norm(dim=(1, 2)) * o.norm(dim=(1, 2))).prod()),
    Mistake("the heads come in reverse: in our rows the earliest stands on the left", VIRTUAL,
            lambda v, o: true_norm(v.flip(0), o.flip(0)) / own(true_norm, v, o)),
)  # fmt: skip


TASKS: dict[str, Task] = {
    "hw4-1": Task("times_chance", 3, SCORES, sized_models, slow_times_chance, CHANCE_MISTAKES),
    "hw4-2": Task("chain_score", 3, PROGRAMS, chains, slow_chain_score, CHAIN_MISTAKES),
    "hw4-3": Task("written_otherwise", 3, GAUGE, hw4_heads.chains_and_factors, judge=hw4_heads.written_otherwise),
    "hw4-4": Task("backward_heads", 4, BY_HAND, hw4_heads.benches, judge=hw4_heads.reads_backwards),
    "hw4-5": Task("path_costs", 3, BROKEN, hw4_runs.prompts, hw4_runs.costs, hw4_runs.COST_MISTAKES),
}
