"""Tasks 3 and 4 of homework 3: what one head is forced to say, and the contrast that it copies."""

import copy
import itertools

import torch
from torch import Tensor

from walkthrough.check import as_tensor, likely_mistake, same

COPYING = "notebook 05, “Copying, in d_head numbers”"
CHANCE = "notebook 05, “How sure may we be?”"
SAY = "notebook 05, “What two tables must say”"


def seeds(seed: int, number: int) -> list[int]:
    """As many seeds as wanted, all drawn from one."""
    return torch.randint(2**31, (number,), generator=torch.Generator().manual_seed(seed)).tolist()


# 3 what is forced


def forests(seed: int) -> list[tuple]:
    """One source's raises, a few known: no closed ring, two groups or more that force something, both signs; then chains."""
    cases, sizes = [], [(6, 7), (7, 5), (5, 8)]
    for s, (n_destinations, n_outs) in zip(seeds(seed, len(sizes)), sizes):
        for attempt in seeds(s, 200):
            generator = torch.Generator().manual_seed(attempt)
            shares = 0.15 + 0.8 * torch.rand(n_destinations, generator=generator)
            moved = (0.4 + 2 * torch.rand(n_outs, generator=generator)) * torch.randn(
                n_outs, generator=generator
            ).sign()
            known, group = torch.zeros(n_destinations, n_outs).bool(), torch.arange(n_destinations + n_outs)
            for place in torch.randperm(n_destinations * n_outs, generator=generator).tolist():
                row, column = divmod(place, n_outs)
                ends = group[row].item(), group[n_destinations + column].item()
                if ends[0] != ends[1] and known.sum() < n_destinations + n_outs - 3:
                    known[row, column], group = True, torch.where(group == ends[1], ends[0], group)
            raised = torch.outer(shares, moved) * known
            sides = [side.bincount(minlength=len(group)) for side in group.split([n_destinations, n_outs])]
            rich = (sides[0] > 1) & (sides[1] > 1)  # groups in which something is forced
            first = rich[group[known.any(1).int().argmax()]]
            if rich.sum() < 2 or not first or same(fill(closest)(raised, known), raised.double()):
                continue
            steps = [passes(raised, known, n)[1].sum() for n in (0, 1, 2, 9)]
            if steps[0] < steps[1] < steps[2] <= steps[3] < known.numel():
                break
        cases.append((raised, known))
    return [*cases, staircase(seed, 16, False), staircase(seed + 1, 14, True)]


def staircase(seed: int, n: int, turned: bool) -> tuple[Tensor, Tensor]:
    """Raises known along one long chain, [n n + 1] or turned, rows and columns in no order: all the rest is forced."""
    generator = torch.Generator().manual_seed(seed)
    steps = (torch.eye(n, n + 1) + torch.eye(n, n + 1).roll(1, 1)).bool()
    known = steps[torch.randperm(n, generator=generator)][:, torch.randperm(n + 1, generator=generator)]
    shares, moved = (0.4 + 0.5 * torch.rand(m, generator=generator) for m in known.shape)
    raised = torch.outer(shares, 3 * moved * torch.randn(n + 1, generator=generator).sign()) * known
    return (raised.T.contiguous(), known.T.contiguous()) if turned else (raised, known)


def passes(raised: Tensor, known: Tensor, n: int, add: bool = False) -> tuple[Tensor, Tensor]:
    """The table and what is known of it after at most n passes: a fourth corner of three gets its value from them."""
    table, has = raised.double().tolist(), known.tolist()
    rows, columns = range(len(table)), range(len(table[0]))
    for _ in range(n):
        before, had = copy.deepcopy(table), copy.deepcopy(has)
        for d, o in ((d, o) for d in rows for o in columns if not had[d][o]):
            for e, p in ((e, p) for e in rows if had[e][o] for p in columns if had[d][p] and had[e][p]):
                a, b, c = before[d][p], before[e][o], before[e][p]
                table[d][o], has[d][o] = (a + b - c if add else a * b / c), True
        if has == had:
            break
    return torch.tensor(table).double(), torch.tensor(has)


def slow_forced(raised: Tensor, known: Tensor) -> Tensor:
    """Passes until nothing is new."""
    return passes(raised, known, raised.numel())[0]


def any_scale(raised: Tensor, known: Tensor) -> Tensor:
    """A product everywhere: shares found by walking along what is known, from 1 at each group's first destination."""
    shares, moved = torch.zeros(len(raised)).double(), torch.zeros(raised.shape[1]).double()
    for first in range(len(raised)):
        shares[first] = shares[first] or 1.0
        for _, (d, o) in itertools.product(range(raised.numel()), known.nonzero().tolist()):
            moved[o] = moved[o] or (raised[d, o] / shares[d] if shares[d] else 0.0)
            shares[d] = shares[d] or (raised[d, o] / moved[o] if moved[o] else 0.0)
    return torch.outer(shares, moved)


def closest(raised: Tensor, known: Tensor) -> Tensor:
    """The product that is nearest to the table with zeros for what is not known."""
    U, S, Vh = torch.linalg.svd(raised.double())
    return S[0] * torch.outer(U[:, 0], Vh[0])


def margins(raised: Tensor, known: Tensor) -> Tensor:
    """Row's sum times column's sum, over the sum of all."""
    return torch.outer(raised.sum(1), raised.sum(0)).double() / raised.sum()


def mean_of(axis: int):
    """For each unknown entry the mean of the known ones in its row or column."""
    return lambda raised, known: (
        (raised.sum(axis, True) / known.sum(axis, True).clamp_min(1)).double().expand(raised.shape)
    )


def fill(with_what):
    """The known entries, and others where they are not known."""
    return lambda raised, known: torch.where(known, raised.double(), with_what(raised, known))


FORCED = [
    ("the two tables were added: a raise is attention *times* what is moved",
        lambda raised, known: passes(raised, known, raised.numel(), add=True)[0]),
    ("some entries of yours are free: where no chain of known ones leads, attention may be halved and what is moved "
        "doubled", any_scale),
    ("an unknown raise is not a raise of 0: your fit takes it for one", closest),
    ("an unknown raise is not a raise of 0: your fit takes it for one", fill(closest)),
    ("sums of rows and columns count what is unknown as 0, and raises are not counts", fill(margins)),
    ("sums of rows and columns count what is unknown as 0, and raises are not counts", margins),
    ("a mean over destinations: they differ in attention", fill(mean_of(0))),
    ("a mean over outs: they differ in what is moved to them", fill(mean_of(1))),
    ("signs are lost: a head lowers logits too", lambda raised, known: slow_forced(raised, known).abs()),
    ("signs are lost: a head lowers logits too", fill(lambda raised, known: slow_forced(raised, known).abs())),
    ("the known entries are missing from your table",
        lambda raised, known: slow_forced(raised, known).masked_fill(known, 0.0)),
]  # fmt: skip


def what_is_forced(answer, raised: Tensor, known: Tensor) -> str | None:
    """What is wrong with a table said to hold the known entries and all that are forced."""
    try:
        mine = as_tensor(answer)
    except (TypeError, ValueError, RuntimeError):
        return "return one table of numbers, as large as `raised`"
    right = slow_forced(raised, known)
    if same(mine, right):
        return None
    found = next((sentence for sentence, wrong in FORCED if same(mine, wrong(raised, known))), None)
    if not found and same(mine, raised.double()):
        return "your function returned one of its inputs: there are forced entries"
    if found or mine.shape != right.shape or not mine.isfinite().all():
        return found or f"{likely_mistake(mine, right)}: is it hard-coded to the example?"
    has = mine != 0
    if not same(mine[known], right[known]):
        return "a known entry of yours has another value now"
    if same(mine[right != 0], right[right != 0]):
        return "some entries are free, and yours have values: no chain of known ones leads there, and a fit is no proof"
    if same(mine * has, right * has):
        rows = [row for row in (right != 0).unique(dim=0) if row.any()]  # of one group, all destinations have the same
        whole = [bool((has == (right != 0))[((right != 0) == row).all(1)].all()) for row in rows]
        untouched = [bool((has == known)[((right != 0) == row).all(1)].all()) for row in rows]
        if any(whole) and all(a or b for a, b in zip(whole, untouched)):
            return "one group of known entries is complete, another untouched: start again wherever something is known"
        return "it stopped too early: what is forced forces more"
    return likely_mistake(mine, right) or "a forced entry has the wrong value: follow the chain that leads to it"


# 4 the copied contrast


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
    """OV factors whose centred table has real eigenvalues of both signs and a complex pair, and is far from symmetric."""
    cases = []
    sizes = [(14, (1.6, -3.1), (2.1, 1.2)), (17, (2.3, 0.9, -3.9), (2.9, 0.8)), (12, (1.2, 0.5, -3.0), (1.9, 1.5))]
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
    return cases


def unit(v: Tensor) -> Tensor:
    """Of length 1, the entry that is largest in size positive."""
    return v / v.norm() * v[v.abs().argmax()].sign()


def centred_columns(B: Tensor) -> Tensor:
    """B for a table whose rows have mean 0."""
    return B - B.mean(1, keepdim=True)


def whole_contrast(A: Tensor, B: Tensor) -> Tensor:
    """From the whole table written out, in double precision: the left eigenvector of its largest real eigenvalue."""
    values, vectors = torch.linalg.eig((A.double() @ centred_columns(B.double())).T)
    real = values.imag.abs() < 1e-7 * values.abs().max()
    return vectors[:, torch.where(real, values.real, -torch.inf).argmax()].real


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
    """The highest eigenvector of the table's symmetric part."""
    table = A.double() @ centred_columns(B.double())
    return unit(torch.linalg.eigh(table + table.T).eigenvectors[:, -1])


def singular(side: int):
    """The first singular vector of the table: on the left (0) or the right (2)."""

    def wrong(A: Tensor, B: Tensor) -> Tensor:
        U, _, Vh = torch.linalg.svd(A.double() @ centred_columns(B.double()))
        return unit(U[:, 0] if side == 0 else Vh[0])

    return wrong


CONTRAST = [
    ("the constant in each row was left in, and a softmax ignores it", CHANCE, dict(centre=False)),
    ("that eigenvector is for columns: our mixtures are rows and stand left of the table", COPYING,
        dict(turn=lambda M: M, back=lambda y, A, B: A @ y)),
    ("`eig` gives eigenvectors that stand right of a matrix: the small one was to be taken from the left", COPYING,
        dict(turn=lambda M: M)),
    ("A leads back to the wrong side: which factor has a column for each out?", COPYING,
        dict(back=lambda y, A, B: A @ y)),
    ("largest in size is not largest: that eigenvalue is negative, and its mixture lowers itself", COPYING,
        dict(rank=lambda values: values.abs())),
    ("that eigenvalue is one of a complex pair, which turns one mixture into another", COPYING,
        dict(rank=lambda values: values.real)),
    ("your matrix was made symmetric: a head's table is not", CHANCE, symmetric),
    ("a singular vector goes in and another comes out: an eigenvector must come back as itself", COPYING, singular(0)),
    ("a singular vector of the outs: another comes in for it, and an eigenvector must come back as itself", COPYING,
        singular(2)),
    ("not of length 1: divide by the norm", COPYING, dict(scale=lambda v: v * v[v.abs().argmax()].sign())),
    ("neither of length 1 nor with the sign that was asked", COPYING, dict(scale=lambda v: v)),
    ("entries that add up to 1 were not asked: length 1 is the root of the sum of squares", COPYING,
        dict(scale=lambda v: v / v.abs().sum() * v[v.abs().argmax()].sign())),
    ("the sign is left to chance: make the entry that is largest in size positive", COPYING,
        dict(scale=lambda v: v / v.norm())),
    ("that is in the head's d_head dimensions: a mixture has one entry for each token", COPYING,
        dict(back=lambda y, A, B: y)),
    ("those are the tokens' own logits, the diagonal", COPYING,
        lambda A, B: unit((A * centred_columns(B).T).sum(1).double())),
]  # fmt: skip
