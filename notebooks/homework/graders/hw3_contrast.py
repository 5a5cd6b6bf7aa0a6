"""Task 4 of homework 3: the contrast that a head copies."""

import torch
from torch import Tensor

from graders.hw3_models import CENTRE, COPYING, MIXTURES, seeds

VOCABULARY = 2**19  # its table has a terabyte


def head_with(block: Tensor, n: int, seed: int) -> tuple[Tensor, Tensor, float]:
    """Factors of a table [n n] whose rows, once centred, have the eigenvalues of a block; and how skew its axes are."""
    generator, d_head = torch.Generator().manual_seed(seed), len(block)
    axes, A, B, common = (
        torch.randn(shape, generator=generator).double()
        for shape in ((d_head, d_head), (n, d_head), (d_head, n), (d_head, 1))
    )
    axes = torch.eye(d_head) + 0.5 * axes
    fixed = torch.cat([A, torch.ones(n, 1)], 1)  # what B does to these is settled: the block, and no constant
    wanted = torch.cat([axes @ block @ axes.inverse(), torch.zeros(d_head, 1)], 1)
    B = wanted @ fixed.pinverse() + 0.2 * B @ (torch.eye(n) - fixed @ fixed.pinverse())
    return A.float(), (B + common).float(), torch.linalg.cond(axes).item()


def steady(A: Tensor, B: Tensor) -> bool:
    """Whether single precision is enough for the answer and for each mistake, signs included."""
    steps = [{}, *(row[-1] for row in CONTRAST if isinstance(row[-1], dict))]
    pairs = [(contrast(A, B, **some), contrast(A.double(), B.double(), **some)) for some in steps]
    return all((rough - exact).abs().max() < 1e-5 * exact.abs().max() for rough, exact in pairs)


def spectra(seed: int) -> list[tuple]:
    """OV factors whose centred table has real eigenvalues of both signs and a complex pair, and is far from symmetric.

    The last is for a vocabulary whose table no machine can hold, and so enforces that none is written.
    """
    cases = []
    sizes = [(14, (1.6, -3.1), (2.1, 1.2)), (17, (2.3, 0.9, -3.9), (2.9, 0.8)), (12, (1.2, 0.5, -3.0), (1.9, 1.5)),
             (13, (1.4, -2.8), (2.2, 1.1))]  # fmt: skip
    for s, (n, real, (re, im)) in zip(seeds(seed, len(sizes)), sizes):
        block = torch.block_diag(torch.tensor(real).diag(), torch.tensor([[re, im], [-im, re]])).double()
        for attempt in seeds(s, 300):
            *case, skew = head_with(block, n, attempt)
            right, both = slow_contrast(*case), (case, [x.double() for x in case])
            by_chance = [way(*x) for x in both for way in (whole_contrast, unscaled)]
            first, second = right.abs().topk(2).values
            if skew < 20 and first > 1.02 * second and all(v.double() @ right < 0 for v in by_chance) and steady(*case):
                break
        cases.append(tuple(case))
    return [*cases[:-1], wide(*cases[-1])]


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
    ("that is in the head's d_head dimensions: a mixture has one entry for each token", COPYING,
        dict(back=lambda y, A, B: y)),
    ("those are the tokens' own logits, the diagonal", MIXTURES,
        lambda A, B: unit((A * centred_columns(B).T).sum(1).double())),
]  # fmt: skip
