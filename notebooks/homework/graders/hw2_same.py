"""Task 4 of homework 2: when two heads are one."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from graders.hw2_wires import SPLIT, STEPS
from walkthrough import paths
from walkthrough.homework.task import Mistake

Head = tuple[Tensor, Tensor, Tensor, Tensor]  # W_Q, W_K, W_V, W_O


def pairs_of_heads(seed: int) -> list[tuple]:
    """Pairs of heads, in float64 and in an order that the seed decides: some the same, some nearly so."""
    d_model, d_head, generator = 9, 3, torch.Generator().manual_seed(seed)
    draw = lambda *size: torch.randn(size, dtype=torch.float64, generator=generator)
    q, k, v = (0.6 * draw(3, d_model, d_head)).unbind()
    o, (other_q, other_k, other_v, other_o) = 0.6 * draw(d_head, d_model), 0.6 * draw(4, d_model, d_head)
    q = q * 0.4 / (q @ k.T / math.sqrt(d_head)).abs().max()  # so small that a percent of it is less than a hundredth
    o = o * 0.13 / (v @ o).abs().max()
    turn = lambda size: torch.linalg.qr(draw(size, size)).Q
    mix = lambda: turn(d_head) @ torch.diag(torch.tensor([0.5, 1.2, 2.0]).double()) @ turn(d_head)
    (M, N, P), R, axes, flip = (mix(), mix(), mix()), turn(d_head), turn(d_model), draw(1).item() < 0
    beside = lambda W, column: torch.cat([W, column], 1)
    wider, noisy, stretch = (
        (lambda W: beside(W, 0 * W[:, :1])),
        (lambda W: beside(W, draw(d_model, 1))),
        (4 / 3) ** 0.25,
    )
    o_wider = torch.cat([o, draw(1, d_model)])  # read by nothing: the fourth value is always zero
    at_end = lambda W: torch.cat([W[:-1], draw(1, d_head)])  # all rows but the last are the same
    into_all = lambda W: torch.cat([W, W.new_zeros(d_model, d_model - d_head)], 1)  # as many numbers as the stream has
    q_all, k_all, all_read = 3**0.25 * into_all(q), 3**0.25 * into_all(k), torch.eye(d_model).double()
    two_ways, silent = (stretch * noisy(q), stretch * wider(k), noisy(v), wider(o.T).T), 0 * o
    seconds = [
        (q.clone(), k.clone(), v.clone(), o.clone()), (-q, -k, v, o), (q @ M, k @ M.inverse().T, v, o),
        (q, k, v @ N, N.inverse() @ o), (q @ R, k @ R, v @ R, R.T @ o), (2 * q, k / 2, 3 * v, o / 3),
        (q @ M, k @ M.inverse().T, v @ N, N.inverse() @ o),
        (stretch * wider(q), stretch * wider(k), wider(v), o_wider), two_ways,
        (stretch * wider(q), stretch * wider(k), wider(v), wider(o.T).T),
        (stretch * wider(q), stretch * noisy(k), v, o),  # the same so far; from here on, not
        (q, k + draw(1, d_head), v, o), (q + draw(1, d_head), k, v, o), (q, k, v, o + draw(d_head, 1)), (q, k, v + draw(1, d_head), o),
        (1.01 * q, k, v, o), (q, 1.01 * k, v, o), (q, k, 1.01 * v, o), (q, k, v, 1.01 * o), (q, k, 1.03 * v, o),
        (q_all, k_all, same_sums(v @ o), all_read), (3**0.5 * same_sums(q @ k.T), all_read, into_all(v), into_all(o.T).T),
        (at_end(q), k, v, o), (q, at_end(k), v, o), (q, k, at_end(v), o), (q, k, v, at_end(o.T).T),
        (wider(q), wider(k), wider(v), o_wider), (q, k, other_v, other_o.T), (other_q, other_k, v, o), (k, q, v, o),
        (q, k, o.T, v.T), (q @ P, k @ P, v, o), (q, k, v @ P, P @ o), (2 * q, k, v, o), (q / 2, k, 2 * v, o),
        (q, -k, v, -o) if flip else (-q, k, -v, o), (q, -k, v, o), (q, k, v, -o), (axes @ q, axes @ k, axes @ v, o @ axes.T),
    ]  # fmt: skip
    pairs = [((q, k, v, o), second) for second in seconds] + [(two_ways, (q @ M, k @ M.inverse().T, v, o)),
             ((q, k, v, silent), (other_q, other_k, v, silent)), ((q, k, v, silent), (q @ M, k @ M.inverse().T, v, silent))]  # fmt: skip
    return [pairs[i] for i in torch.randperm(len(pairs), generator=generator)]


def same_sums(W: Tensor) -> Tensor:
    """Another matrix with the same diagonal, and the same sum of each row and of each column."""
    centre = torch.eye(len(W)).double() - 1 / len(W)
    return W - centre @ (W - W.T) @ centre / 2


def tried_out(first: Head, second: Head, looks: bool = True) -> bool:
    """Both heads on the same random streams: do they look alike (unless only their outputs count), and write alike?"""
    generator = torch.Generator().manual_seed(0)
    streams = torch.randn(20, 7, len(first[0]), generator=generator, dtype=torch.float64)
    no_positions, results = torch.zeros(7, len(first[0])).double(), []
    for q, k, v, o in ([W.double() for W in head] for head in (first, second)):
        pattern = paths.attention_pattern(streams, no_positions, q, k)
        results.append((pattern, paths.head_output(pattern, streams, v, o)))
    return all(torch.allclose(a, b, atol=1e-7) for a, b in list(zip(*results))[not looks :])


def near(a: Tensor, b: Tensor) -> bool:
    """Equal shapes, and values equal to rounding in float32."""
    return a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=1e-4, atol=1e-4)


def scores_of(head: Head) -> Tensor:
    """W_Q W_Kᵀ / √d_head."""
    return head[0] @ head[1].T / math.sqrt(head[0].shape[1])


def moves_of(head: Head) -> Tensor:
    """W_V W_O."""
    return head[2] @ head[3]


def compared(*summaries: Callable) -> Callable:
    """A wrong answer to hw2-4: two heads are the same if these summaries of them are."""
    return lambda first, second: all(near(summary(first), summary(second)) for summary in summaries)


def spread(columns: Tensor) -> Tensor:
    """The projection on what the columns span."""
    return columns @ torch.linalg.pinv(columns)


def one_factor(of: Callable) -> Callable:
    """The matrix up to a factor, but for its sign."""
    return lambda head: (of(head) / of(head).norm()) * of(head).flatten()[0].sign()


def centred(of: Callable) -> Callable:
    """The matrix, each row measured from its mean."""
    return lambda head: of(head) - of(head).mean(1, keepdim=True)


def within(share: float, *exactly: Callable) -> Callable:
    """A wrong answer: both circuits are as near to each other as this share of their size, or equal if they are named."""
    apart = lambda a, b: (a - b).norm() <= share * a.norm()
    near_enough = lambda first, second: all(bool(apart(of(first), of(second))) for of in (scores_of, moves_of))
    return lambda first, second: near_enough(first, second) and compared(*exactly)(first, second)


def sums(of: Callable) -> Callable:
    """The diagonal of a matrix, and the sums of its rows and of its columns."""
    return lambda head: torch.cat([of(head).diagonal(), of(head).sum(0), of(head).sum(1)])


def one_basis(first: Head, second: Head) -> bool:
    """The same circuits, and W_Q and W_V of the second lie in what those of the first span."""
    rank = torch.linalg.matrix_rank
    spanned = all(rank(torch.cat([first[i], second[i]], 1)) == rank(first[i]) for i in (0, 2))
    return spanned and compared(scores_of, moves_of)(first, second)


def ranks(head: Head) -> Tensor:
    """The rank of each of the four matrices."""
    return torch.stack([torch.linalg.matrix_rank(W) for W in head])


def entries(first: Head, second: Head) -> Tensor:
    """Which entries of the two circuits agree."""
    return torch.stack([torch.isclose(of(first), of(second)) for of in (scores_of, moves_of)])


ONE = "return one True or False"
SAME = (
    Mistake("the four matrices were compared one by one: a head can be written with many others", SPLIT,
            compared(*(lambda head, i=i: head[i] for i in range(4)))),
    Mistake("only where they look was compared: what they move may differ", SPLIT,
            compared(scores_of)),
    Mistake("only what they move was compared: where they look may differ", SPLIT,
            compared(moves_of)),
    Mistake("one circuit in common is not enough: both must agree", SPLIT,
            lambda a, b: compared(scores_of)(a, b) or compared(moves_of)(a, b)),
    Mistake("scores are divided by √d_head, and these two heads may differ in it", STEPS,
            compared(lambda head: head[0] @ head[1].T, moves_of)),
    Mistake("same heads of different d_head were called different: either d_head itself is compared, or scores are not divided as "
            "each head's own d_head demands", STEPS,
            lambda a, b: a[0].shape == b[0].shape and compared(scores_of, moves_of)(a, b)),
    Mistake("sizes or spectra were compared: other directions can have the same strengths", SPLIT,
            compared(*(lambda head, f=f: torch.linalg.svdvals(f(head))[:3] for f in (scores_of, moves_of)))),
    Mistake("the small products, d_head × d_head, were compared: d_head numbers have no meaning of their own", SPLIT,
            compared(lambda head: head[3] @ head[2], lambda head: head[1].T @ head[0])),
    Mistake("the circuits were compared up to a factor: larger scores sharpen a pattern", STEPS,
            compared(one_factor(scores_of), one_factor(moves_of))),
    Mistake("the sign of the scores was lost: what one of these heads looks at, the other looks away from", STEPS,
            compared(lambda head: scores_of(head).abs(), moves_of)),
    Mistake("the sign of what is written was lost: what one of these heads adds, the other takes away", SPLIT,
            compared(scores_of, lambda head: moves_of(head).abs())),
    Mistake("only a change of scale was allowed for: d_head axes can be turned and mixed as well", SPLIT,
            compared(*(one_factor(lambda head, i=i: head[i]) for i in range(4)))),
    Mistake("the spaces that a head reads and writes were compared: what goes where inside of them counts, too", SPLIT,
            compared(*(lambda head, i=i: spread(head[i].T if i == 3 else head[i]) for i in range(4)))),
    Mistake("a constant along the rows of W_QK was taken out, by a mean or a softmax: its rows are no queries, its columns no keys",
            STEPS, compared(centred(scores_of), moves_of)),
    Mistake("a constant along the rows of W_OV was taken out: it is written to the stream like the rest", SPLIT,
            compared(scores_of, centred(moves_of))),
    Mistake("a constant along the rows of both circuits was taken out: it changes scores and outputs", SPLIT,
            compared(centred(scores_of), centred(moves_of))),
    Mistake("only outputs were compared: a head that writes nothing still looks somewhere", SPLIT,
            lambda a, b: tried_out(a, b, looks=False)),
    Mistake("same heads were called different as no change of basis leads from one to the other: a column that meets only zeros in "
            "its partner reaches nothing", SPLIT, one_basis),
    Mistake("ranks of single matrices were compared: a column that meets only zeros in its partner reaches nothing", SPLIT,
            compared(ranks, scores_of, moves_of)),
    Mistake("too tolerant: a head that is one percent off is another head", SPLIT, within(0.02)),
    Mistake("too tolerant with what is written: a head that writes one percent more is another head", SPLIT, within(0.02, scores_of)),
    Mistake("too tolerant with where it looks: a head whose scores are one percent larger is another head", SPLIT,
            within(0.02, moves_of)),
    Mistake("only diagonals and sums of rows and columns were compared: other matrices have the same", SPLIT,
            compared(sums(scores_of), sums(moves_of))),
    Mistake("too tolerant: a head that is a few percent off is another head", SPLIT, within(0.05)),
    Mistake("only the first row of each circuit was compared: the rest may differ", SPLIT,
            compared(lambda head: scores_of(head)[0], lambda head: moves_of(head)[0])),
    Mistake(f"one answer for each circuit: {ONE}", SPLIT,
            lambda a, b: [float(compared(scores_of)(a, b)), float(compared(moves_of)(a, b))]),
    Mistake(f"one answer for each entry of the circuits: {ONE}", SPLIT, entries),
    Mistake(f"one answer for each entry, though for both circuits at once: {ONE}", SPLIT, lambda a, b: entries(a, b).all(0)),
    Mistake("one product of all four matrices was compared: a head is two maps that share nothing", SPLIT,
            compared(lambda head: scores_of(head) @ moves_of(head))),
    Mistake("True and False have changed places", SPLIT,
            lambda a, b: not tried_out(a, b)),
)  # fmt: skip
