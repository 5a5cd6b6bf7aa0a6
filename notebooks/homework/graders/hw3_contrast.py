"""Task 4 of homework 3: the contrast that a head copies."""

import torch
from torch import Tensor

from graders.hw3_models import CENTRE, COPYING, MIXTURES, seeds

VOCABULARY = 2**19  # its table has a terabyte
OUTWEIGHED, OUTNUMBERED = [-0.85, -0.85, -0.85, 1.0], [1.0, 0.6, 0.6]  # the largest entry by a few in cubes, or by many


def head_with(block: Tensor, large: list[float], n: int, seed: int) -> tuple[Tensor, Tensor, float]:
    """Factors of a table [n n] whose rows, once centred, have the eigenvalues of a block; and how skew its axes are.

    The mixture of the first eigenvalue is nearly a few large entries, and others that are all alike.
    """
    generator, d_head = torch.Generator().manual_seed(seed), len(block)
    axes, A, B, common = (
        torch.randn(shape, generator=generator).double()
        for shape in ((d_head, d_head), (n, d_head), (d_head, n), (d_head, 1))
    )
    axes = torch.eye(d_head) + 0.5 * axes
    wanted_mixture = torch.tensor(large + (n - len(large)) * [-sum(large) / (n - len(large))]).double()
    A = A - torch.outer(wanted_mixture, wanted_mixture @ A) / wanted_mixture.square().sum()
    fixed = torch.cat([A, torch.ones(n, 1)], 1)  # what B does to these is settled: the block, and no constant
    wanted = torch.cat([axes @ block @ axes.inverse(), torch.zeros(d_head, 1)], 1)
    B = wanted @ fixed.pinverse() + 0.2 * B @ (torch.eye(n) - fixed @ fixed.pinverse())
    B = B + torch.outer(
        axes[:, 0], 6 * wanted_mixture / wanted_mixture.norm()
    )  # no other eigenvector has a share of it
    return A.float(), (B + common).float(), torch.linalg.cond(axes).item()


def steady(A: Tensor, B: Tensor) -> bool:
    """Whether single precision is enough for the answer and for each mistake, signs included."""
    steps = [{}, *(row[-1] for row in CONTRAST if isinstance(row[-1], dict))]
    pairs = [(contrast(A, B, **some), contrast(A.double(), B.double(), **some)) for some in steps]
    return all((rough - exact).abs().max() < 1e-5 * exact.abs().max() for rough, exact in pairs)


def spectra(seed: int) -> list[tuple]:
    """OV factors whose centred table has real eigenvalues of both signs and a complex pair, and is far from symmetric.

    Signs by other rules than the largest entry's are wrong in one or the other, and so is whatever eigenvalue of the right
    kind comes first. The last is for a vocabulary whose table no machine can hold, and so enforces that none is written.
    """
    cases = []
    sizes = [(14, (1.6, -3.1), (2.1, 1.2), OUTWEIGHED, (by_cubes, by_first)),
             (17, (2.3, 0.9, -3.9), (2.9, 0.8), OUTNUMBERED, (by_count,)),
             (12, (1.2, 0.5, -3.0), (1.9, 1.5), OUTWEIGHED[::-1], (by_cubes,)),
             (13, (1.4, -2.8), (2.2, 1.1), OUTNUMBERED, (by_count,))]  # fmt: skip
    for s, (n, real, (re, im), large, rules) in zip(seeds(seed, len(sizes)), sizes):
        block = torch.block_diag(torch.tensor(real).diag(), torch.tensor([[re, im], [-im, re]])).double()
        for attempt in seeds(s, 1000):
            *case, skew = head_with(block, large, n, attempt)
            if skew < 20 and telling(*case, rules, several=len(real) > 2) and steady(*case):
                break
        cases.append(tuple(case))
    return [*cases[:-1], wide(*cases[-1])]


def telling(A: Tensor, B: Tensor, rules: tuple, several: bool) -> bool:
    """Whether signs left to chance and by some rules are wrong; and of several eigenvalues, the first of the right kind."""
    right, both = slow_contrast(A, B), ((A, B), (A.double(), B.double()))
    first, second = right.abs().topk(2).values
    if first < 1.02 * second or whole_contrast(A, B) @ right > 0:  # most draws end here
        return False
    wrong = [unscaled(*case) for case in both]
    wrong += [right * rule(right) for rule in rules]
    others = [contrast(*case, rank=first_positive) for case in both] if several else []
    apart = all((other - right).abs().max() > 0.01 for other in others)
    return apart and all(v.double() @ right < 0 for v in wrong)


def wide(A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
    """The same head in a vocabulary so large that no table over it can be written out.

    The other tokens have rows and columns of zeros. As the head's own rows are centred here, these change no mean.
    """
    more = VOCABULARY - len(A)
    A_wide = torch.cat([A, torch.zeros(more, A.shape[1])])
    return A_wide, torch.cat([centred_columns(B), torch.zeros(len(B), more)], 1)


def unit(v: Tensor) -> Tensor:
    """Of length 1, the entry that is largest in size positive."""
    return v / v.norm() * v[v.abs().argmax()].sign()


def by_cubes(v: Tensor) -> Tensor:
    """The sign of the sum of cubes."""
    return v.pow(3).sum().sign()


def by_first(v: Tensor) -> Tensor:
    """The sign of the first entry."""
    return v[0].sign()


def by_count(v: Tensor) -> int:
    """The sign that most entries have; an entry of 0 has none."""
    return 1 if (v > 0).sum() >= (v < 0).sum() else -1


def signed(rule):
    """A mistake: of length 1, and then times a sign that makes the rule's positive."""
    return dict(scale=lambda v: v / v.norm() * rule(v / v.norm()))


def first_positive(values: Tensor) -> Tensor:
    """What is largest for the first of the real eigenvalues above 0."""
    return torch.where((values.imag == 0) & (values.real > 0), -torch.arange(len(values)), -torch.inf)


def centred_columns(B: Tensor) -> Tensor:
    """B for a table whose rows have mean 0."""
    return B - B.mean(1, keepdim=True)


def whole_contrast(A: Tensor, B: Tensor) -> Tensor:
    """From the table written out, in double precision: the left eigenvector of its largest real eigenvalue.

    Rows of zeros add nothing to v · table = λ v: only the tokens that have a row are written out.
    """
    A, B = A.double(), centred_columns(B.double())
    some = A.any(1)
    values, vectors = torch.linalg.eig((A[some] @ B[:, some]).T)
    real = values.imag.abs() < 1e-7 * values.abs().max()
    best = torch.where(real, values.real, -torch.inf).argmax()
    v = vectors[:, best].real @ A[some] @ B / values[best].real
    return v / v.norm()


def slow_contrast(A: Tensor, B: Tensor) -> Tensor:
    """The same, with length and sign as asked."""
    return unit(whole_contrast(A, B))


def contrast(A: Tensor, B: Tensor, rank=None, turn=lambda M: M.T, back=lambda y, A, B: y @ B, centre=True, scale=unit):
    """From the small product, with any of the steps changed."""
    B = centred_columns(B) if centre else B
    values, vectors = torch.linalg.eig(turn(B @ A))
    rank = rank or (lambda values: torch.where(values.imag == 0, values.real, -torch.inf))
    return scale(back(vectors[:, rank(values).argmax()].real, A, B))


def unscaled(A: Tensor, B: Tensor) -> Tensor:
    """The mixture as it comes, its length and sign left to chance."""
    return contrast(A, B, scale=lambda v: v)


def with_steps(steps: dict):
    """`contrast` with these steps, in double precision."""
    return lambda A, B: contrast(A.double(), B.double(), **steps)


def symmetric(A: Tensor, B: Tensor) -> Tensor:
    """The highest eigenvector of the table's symmetric part, which lies in what its columns and rows span."""
    A, B = A.double(), centred_columns(B.double())
    axes = torch.linalg.qr(torch.cat([A, B.T], 1)).Q
    small = (axes.T @ A) @ (B @ axes)
    return unit(axes @ torch.linalg.eigh(small + small.T).eigenvectors[:, -1])


def singular(side: int):
    """The first singular vector of the table: on the left (0) or the right (2)."""

    def wrong(A: Tensor, B: Tensor) -> Tensor:
        left, right = torch.linalg.qr(A.double()), torch.linalg.qr(centred_columns(B.double()).T)
        U, _, Vh = torch.linalg.svd(left.R @ right.R.T)
        return unit(left.Q @ U[:, 0] if side == 0 else right.Q @ Vh[0])

    return wrong


CONTRAST = [
    ("the constant in each row was left in, and a softmax ignores it", CENTRE, dict(centre=False)),
    ("the mean row was taken out, not the mean of each row: softmax ignores a constant along a row", CENTRE,
        lambda A, B: contrast((A - A.mean(0)).double(), B.double(), centre=False)),
    ("that eigenvector is for columns: our mixtures are rows and stand left of the table", COPYING,
        dict(turn=lambda M: M, back=lambda y, A, B: A @ y)),
    ("`eig` gives eigenvectors that stand right of a matrix: the small one was to be taken from the left", COPYING,
        dict(turn=lambda M: M)),
    ("A leads back to the wrong side: which factor has a column for each out?", COPYING,
        dict(back=lambda y, A, B: A @ y)),
    ("largest in size is not largest: that eigenvalue is negative, and its mixture lowers itself", MIXTURES,
        dict(rank=lambda values: values.abs())),
    ("that eigenvalue is one of a complex pair, which turns one mixture into another", MIXTURES,
        dict(rank=lambda values: values.real)),
    ("your matrix was made symmetric: a head's table is not", MIXTURES, symmetric),
    ("a singular vector goes in and another comes out: an eigenvector must come back as itself", MIXTURES, singular(0)),
    ("a singular vector of the outs: another comes in for it, and an eigenvector must come back as itself", MIXTURES,
        singular(2)),
    ("not of length 1: divide by the norm", COPYING, dict(scale=lambda v: v * v[v.abs().argmax()].sign())),
    ("neither of length 1 nor with the sign that was asked", COPYING, dict(scale=lambda v: v)),
    ("entries that add up to 1 were not asked: length 1 is the root of the sum of squares", COPYING,
        dict(scale=lambda v: v / v.abs().sum() * v[v.abs().argmax()].sign())),
    ("the sign is left to chance: make the entry that is largest in size positive", COPYING,
        dict(scale=lambda v: v / v.norm())),
    ("the sign is that of a sum of cubes: many entries outweigh the largest there, and it alone decides", COPYING, signed(by_cubes)),
    ("the sign is that of most entries: the one that is largest in size decides", COPYING, signed(by_count)),
    ("the sign makes the first entry positive: the one that is largest in size decides", COPYING, signed(by_first)),
    ("`eig` gives eigenvalues in no order: the first positive one need not be the largest", COPYING, dict(rank=first_positive)),
    ("that is in the head's d_head dimensions: a mixture has one entry for each token", COPYING,
        dict(back=lambda y, A, B: y)),
    ("those are the tokens' own logits, the diagonal", MIXTURES,
        lambda A, B: unit((A * centred_columns(B).T).sum(1).double())),
]  # fmt: skip
