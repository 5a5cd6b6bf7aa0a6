"""The checks of notebook 05 accept right answers written in other ways, and name each classic mistake."""

from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
import torch

from walkthrough.exercises.check import verdict
from walkthrough.exercises.counterexample import all_positive, all_real, characteristic
from walkthrough.exercises.kinds import judge_shuffles, kinds_to_shuffle


def right_positivity(circuit):
    values, _ = torch.linalg.eig(circuit.B @ circuit.A)
    return torch.trace(circuit.B @ circuit.A) / torch.hypot(values.real, values.imag).sum()


def right_surprise(circuit, orders):
    A, B = circuit.A, circuit.B - circuit.B.mean(1, keepdim=True)
    small = torch.stack([B @ A, *[B[:, order] @ A for order in orders]])
    values = torch.linalg.eigvals(small)
    score = values.sum(1).real / values.abs().sum(1)
    return (score[0] - score[1:].mean()) / score[1:].std()


def right_shuffles(kinds, n_shuffles):
    """Sorted by kind, ties broken at random, twice."""
    orders = []
    for _ in range(n_shuffles):
        old, new = ((kinds.double() + 0.5 * torch.rand(len(kinds))).argsort() for _ in range(2))
        order = torch.empty_like(old)
        order[old] = new
        orders.append(order)
    return orders


def right_attended(pattern, tokens, own):
    return torch.einsum("bqk,bk->bq", pattern[:, :, 1:], own[tokens[:, 1:]])


RIGHT = {
    "5.1": right_positivity, "5.2": lambda: torch.tensor([[3.0, 2.0], [-1.75, -1.0]]), "5.3": right_surprise,
    "5.4": right_shuffles, "5.5": right_attended,
}  # fmt: skip
GENERIC = [
    ("5.1", lambda c: -right_positivity(c), "the sign is flipped"),
    ("5.1", lambda c: right_positivity(c) * 3, "the values differ"),
    ("5.1", lambda c: c.B @ c.A, "wrong shape"),
    ("5.1", lambda c: right_positivity(c) / 0 * 0, "nan"),
    ("5.3", lambda c, o: -right_surprise(c, o), "the sign is flipped"),
    ("5.3", lambda c, o: right_surprise(c, o) * 0 / 0, "nan"),
    ("5.5", lambda p, t, own: right_attended(p, t, own)[:, None], "an axis of length 1"),
    ("5.5", lambda p, t, own: -right_attended(p, t, own), "the sign is flipped"),
    *((label, lambda *case: None, "returned None") for label in RIGHT),
]


# 5.1: other roads to the eigenvalues, and the table that is not to be made

SMALL_ROADS = {
    "the class's own": lambda c: c.eigenvalues.sum().real / c.eigenvalues.abs().sum(),
    "transposed": lambda c: right_positivity(type(c)(c.B.T, c.A.T)),
    "float64 in NumPy": lambda c: np.linalg.eigvals((c.B @ c.A).double().numpy()),
    "complex": lambda c: c.eigenvalues.sum() / c.eigenvalues.abs().sum(),
}
TABLES = {
    "AB": lambda c: torch.linalg.eigvals(c.AB),
    "float64": lambda c: torch.linalg.eigvals(c.A.double() @ c.B.double()),
    "NumPy": lambda c: torch.from_numpy(np.linalg.eigvals(c.A.numpy() @ c.B.numpy())),
    "einsum": lambda c: torch.linalg.eigvals(torch.einsum("vd,dw->vw", c.A, c.B)),
}


@pytest.mark.filterwarnings("ignore:Casting complex values")
@pytest.mark.parametrize("road", SMALL_ROADS)
def test_other_small_roads_are_right(road):
    def attempt(circuit):
        found = SMALL_ROADS[road](circuit)
        return found.sum().real / np.abs(found).sum() if isinstance(found, np.ndarray) else found

    assert verdict("5.1", attempt).mark == "✓"


@pytest.mark.parametrize("table", TABLES)
def test_the_whole_table_is_refused_however_it_is_made(table):
    def attempt(circuit):
        values = TABLES[table](circuit)
        return values.sum().real / values.abs().sum()

    result = verdict("5.1", attempt)
    assert result.mark == "✗"
    assert "it makes the whole table" in result.sentence


# 5.2: what is judged exactly

NOT_A_COUNTEREXAMPLE = [
    (lambda: torch.eye(3), "no token lowers its own logit"),
    (lambda: torch.diag(torch.tensor([3.0, 2.0, -1.0])), "not all eigenvalues are positive: the smallest is -1"),
    (lambda: torch.tensor([[0.0, 1.0], [-1.0, 0.0]]), "some eigenvalues are complex"),
    (lambda: torch.tensor([[1.0, 1.0], [-1.0, -1.0]]), "not all eigenvalues are positive"),
    (lambda: torch.tensor([[3.0, 2.0], [-2.001, -1.0]]), "some eigenvalues are complex"),
    (lambda: [[3.0, 2.0], [-2.000001, -1.0]], "some eigenvalues are complex"),
    (lambda: torch.tensor([[3, 3], [-2, -1]]), "some eigenvalues are complex"),
    (lambda: torch.tensor([[3, 1, 0], [-1, 1, 0], [0, 0, 0]]), "not all eigenvalues are positive"),
    (lambda: torch.tensor([[0.0, 1.0], [-1.0, 2.0]]), "no token lowers its own logit"),
    (lambda: torch.tensor([[-1.0]]), "not all eigenvalues are positive"),
    (lambda: torch.zeros(2, 2), "not all eigenvalues are positive"),
    (lambda: torch.ones(2, 3), "a square matrix was expected: the shape of yours is [2, 3]"),
    (lambda: torch.ones(0, 0), "a square matrix was expected"),
    (lambda: torch.full((2, 2), torch.nan), "nan or infinity"),
    (lambda: torch.ones(2, 2, dtype=torch.complex64), "complex numbers"),
    (lambda: "a matrix", "of type str"),
    (lambda: -torch.eye(20), "not all eigenvalues are positive"),
]


@pytest.mark.parametrize(("attempt", "words"), NOT_A_COUNTEREXAMPLE)
def test_what_is_no_counterexample_is_refused_with_a_reason(attempt, words):
    result = verdict("5.2", attempt)
    assert result.mark == "✗"
    assert words in result.sentence


def jordan(n, shear):
    """A matrix with n times the eigenvalue 1 and one eigenvector, integers all, in a basis that is not its own."""
    block = np.eye(n, dtype=int) + np.eye(n, k=1, dtype=int)
    basis = np.eye(n, dtype=int) + shear * np.eye(n, k=-1, dtype=int)
    return basis @ block @ np.round(np.linalg.inv(basis)).astype(int)


DEFECTIVE = {f"{n}, {shear}": jordan(n, shear) for n in (2, 3, 4, 5, 6) for shear in (2, 3, -4)}


@pytest.mark.parametrize("name", DEFECTIVE)
@pytest.mark.parametrize("kind", [torch.int64, torch.float32, torch.float64])
def test_an_eigenvalue_that_comes_several_times_is_right(name, kind):
    matrix = torch.tensor(DEFECTIVE[name]).to(kind)
    assert matrix.diagonal().min() < 0
    assert verdict("5.2", lambda: matrix).sentence == "right"
    assert verdict("5.2", lambda: matrix.tolist()).sentence == "right"


def test_the_threefold_eigenvalue_of_the_issue():
    matrix = torch.tensor([[3.0, 2.0, 0.0], [-2.0, -1.0, 0.0], [1.0, 0.0, 1.0]])
    assert torch.linalg.eigvals(matrix.double()).imag.abs().max() < 1e-3
    assert verdict("5.2", lambda: matrix).mark == "✓"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("seed", range(8))
def test_a_repeated_eigenvalue_survives_the_rounding_of_a_change_of_basis(seed, dtype):
    """What a reader gets who multiplies P D P⁻¹ out."""
    generator = torch.Generator().manual_seed(seed)
    P = torch.eye(3, dtype=dtype) + 0.5 * torch.randn(3, 3, generator=generator, dtype=dtype)
    D = torch.tensor([[1.0, 40.0, 0.0], [0.0, 1.0, 40.0], [0.0, 0.0, 1.0]], dtype=dtype)
    matrix = P @ D @ torch.linalg.inv(P)
    if matrix.diagonal().min() > -0.5:
        matrix = matrix.mT[[1, 0, 2]][:, [1, 0, 2]]
    expected = "right" if matrix.diagonal().min() < 0 else "no token lowers"
    assert expected in verdict("5.2", lambda: matrix).sentence


@pytest.mark.parametrize("seed", range(40))
def test_exact_arithmetic_agrees_with_eigenvalues_where_these_are_clear(seed):
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-4, 5, (rng.integers(1, 6),) * 2)
    values = np.linalg.eigvals(matrix)
    apart = [abs(a - b) for a, b in permutations(values, 2)]
    if min(apart, default=1) < 1e-2 or np.abs(values).min() < 1e-2:
        return
    polynomial = characteristic([[Fraction(int(x)) for x in row] for row in matrix])
    assert [float(c) for c in polynomial] == pytest.approx(np.poly(matrix).tolist(), abs=1e-6)
    real = bool((np.abs(values.imag) < 1e-6).all())
    assert all_real(polynomial) == real
    if real:
        assert all_positive(polynomial) == bool((values.real > 0).all())


@pytest.mark.parametrize(("roots", "real"), [
    ([1, 1, 1], True), ([2, 2, -3, -3, 5], True), ([1, 1j, -1j], False), ([2 + 1j, 2 - 1j, 2 + 1j, 2 - 1j], False), ([0], True),
])  # fmt: skip
def test_real_roots_are_counted_with_their_repetitions(roots, real):
    assert all_real([Fraction(int(c.real)) for c in np.poly(roots)]) == real


@pytest.mark.parametrize("matrix", [
    [[7.0, 4.0], [-4.0, -2.0]], torch.tensor([[1.0, 9, 0], [0, 2, 9], [0.05, 0.4, -0.001]]).double() * 1e6,
    torch.tensor([[1.0, 9, 0], [0, 2, 9], [0.05, 0.4, -0.001]]).double() * 1e-9,
])  # fmt: skip
def test_a_counterexample_is_judged_by_what_it_does(matrix):
    """A list will do, whatever the scale, and the judge agrees with eigenvalues worked out again."""
    values = torch.linalg.eigvals(torch.as_tensor(matrix).double())
    good = bool((values.imag == 0).all() and (values.real > 0).all())
    assert (verdict("5.2", lambda: matrix).mark == "✓") == good


# 5.3: symmetric slips


def test_shuffling_rows_and_columns_alike_changes_no_eigenvalue_and_is_refused():
    def both(circuit, orders):
        A, B = circuit.A, circuit.B - circuit.B.mean(1, keepdim=True)
        score = lambda A, B: right_positivity(type(circuit)(A.double(), B.double()))
        null = torch.stack([score(A[order], B[:, order]) for order in orders])
        return (score(A, B) - null.mean()) / null.std()

    assert verdict("5.3", both).mark == "✗"


# 5.4: shuffles of all kinds


def by_kind(kinds, shuffle):
    order = torch.arange(len(kinds))
    for kind in kinds.unique():
        members = (kinds == kind).nonzero()[:, 0]
        order[members] = shuffle(members)
    return order


once = lambda members: members[torch.randperm(len(members))]
WRONG_SHUFFLES = {
    "replaced by one of another kind": lambda kinds: torch.randperm(len(kinds)),
    "nothing was moved": lambda kinds: torch.arange(len(kinds)),
    "the kinds were put one after the other": lambda kinds: torch.cat(
        [once((kinds == kind).nonzero()[:, 0]) for kind in kinds.unique()]
    ),
    "some tokens come twice": lambda kinds: by_kind(kinds, lambda m: m[torch.randint(len(m), m.shape)]),
    "never move": lambda kinds: by_kind(kinds, lambda m: once(m) if len(m) > 2 else m),
    "stays in its place too rarely": lambda kinds: by_kind(
        kinds, lambda m: m.roll(1 + int(torch.randint(max(len(m) - 1, 1), ())))
    ),
    "return whole numbers": lambda kinds: by_kind(kinds, once).double(),
}


@pytest.mark.parametrize("words", WRONG_SHUFFLES)
def test_other_shuffles_are_refused_with_a_reason(words):
    make = WRONG_SHUFFLES[words]
    result = verdict("5.4", lambda kinds, n: torch.stack([make(kinds) for _ in range(n)]))
    assert result.mark == "✗"
    assert words in result.sentence


@pytest.mark.parametrize(("attempt", "words"), [
    (lambda kinds, n: by_kind(kinds, once).expand(n, -1), "all shuffles are the same"),
    (lambda kinds, n: by_kind(kinds, once), "a row for each shuffle"),
    (lambda kinds, n: torch.stack([by_kind(kinds, lambda m: torch.randperm(len(m))) for _ in range(n)]), "numbers the members"),
    (lambda kinds, n: "orders", "of type str"),
])  # fmt: skip
def test_shuffles_of_other_shapes(attempt, words):
    result = verdict("5.4", attempt)
    assert result.mark == "✗"
    assert words in result.sentence


def test_a_right_shuffle_is_hardly_ever_refused():
    cases = kinds_to_shuffle()
    for seed in range(60):
        torch.manual_seed(seed)
        for kinds, n in cases:
            assert judge_shuffles(torch.stack([by_kind(kinds, once) for _ in range(n)]), kinds, n) is None
