"""Exercise 5.2: a matrix with positive eigenvalues and a negative entry on its diagonal, judged in exact arithmetic."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

Polynomial = list[Fraction]  # the highest power first
MOST = 12  # rows; exact arithmetic gets slow with larger matrices


def judge_positive_but_not_copying(answer, *_) -> str | None:
    """Square, all eigenvalues real and positive, and a token that lowers its own logit; or what is missing."""
    try:
        given = torch.as_tensor(np.asarray(answer)) if isinstance(answer, (list, tuple)) else torch.as_tensor(answer)
        given = given.detach()
        rounding = torch.finfo(given.dtype).eps if given.is_floating_point() else 0.0
        matrix = given.double() if not given.is_complex() else None
    except (TypeError, ValueError, RuntimeError):
        return f"a matrix was expected, and your answer is of type {type(answer).__name__}"
    if matrix is None:
        return "your matrix holds complex numbers: logits are real"
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        return f"a square matrix was expected: the shape of yours is {list(matrix.shape)}"
    if not matrix.isfinite().all():
        return "your matrix holds nan or infinity"
    values = torch.linalg.eigvals(matrix)
    real, positive = exactly(matrix, rounding) if len(matrix) <= MOST else roughly(values)
    if not real:
        return f"some eigenvalues are complex, {values[values.imag.abs().argmax()].item():.3g} among them"
    if not positive:
        return f"not all eigenvalues are positive: the smallest is {values.real.min().item():.3g}"
    if (matrix.diagonal() >= -4 * rounding * matrix.abs().max()).all():
        lowest = matrix.diagonal().min().item()
        return f"no token lowers its own logit: the lowest entry of your diagonal is {lowest:.3g}, make one negative"
    return None


def roughly(values: Tensor) -> tuple[bool, bool]:
    """Whether eigenvalues are real, and positive, as far as their numbers tell."""
    tolerance = 1e-6 * values.abs().max()
    return bool((values.imag.abs() <= tolerance).all()), bool((values.real > tolerance).all())


def exactly(matrix: Tensor, rounding: float) -> tuple[bool, bool]:
    """Whether all eigenvalues are real, and whether all are positive, from the characteristic polynomial.

    Numbers would not do: an eigenvalue that comes k times is only found to the k-th root of the rounding error, and then
    often as a complex pair. A matrix whose entries had to be rounded counts as the right one that it is next to.
    """
    entries = [[Fraction(x) for x in row] for row in matrix.tolist()]
    polynomial = characteristic(entries)
    if all_real(polynomial):
        return True, all_positive(polynomial)
    values, scale = torch.linalg.eigvals(matrix), matrix.norm().item()
    for power in range(2, len(entries) + 1):  # eigenvalues that may be one, which comes up to so many times
        nearby = merged(values, 4 * scale * rounding ** (1 / power))
        if nearby is not None and close(nearby, polynomial, 2 * rounding, scale):
            return True, min(nearby) > 0
    return False, False


def characteristic(matrix: list[list[Fraction]]) -> Polynomial:
    """The coefficients of det(x - M), by the method of Faddeev and LeVerrier."""
    n = len(matrix)
    coefficients, M = [Fraction(1)], [[Fraction(0)] * n for _ in range(n)]
    for k in range(1, n + 1):
        for i in range(n):
            M[i][i] += coefficients[-1]
        M = [[sum(matrix[i][m] * M[m][j] for m in range(n)) for j in range(n)] for i in range(n)]
        coefficients.append(-sum(M[i][i] for i in range(n)) / k)
    return coefficients


def all_real(polynomial: Polynomial) -> bool:
    """Whether all roots are real, by Sturm's theorem: as many different real ones as different ones in all."""
    degree = len(polynomial) - 1
    slope = [c * (degree - i) for i, c in enumerate(polynomial[:-1])]
    chain = [polynomial, slope]
    while len(chain[-1]) > 1 and (rest := remainder(chain[-2], chain[-1])):
        chain.append([-c for c in rest])
    at_plus = [p[0] > 0 for p in chain]
    at_minus = [(p[0] > 0) == (len(p) % 2 == 1) for p in chain]  # odd powers change their sign
    changes = lambda signs: sum(a != b for a, b in pairwise(signs))
    different = degree - (len(chain[-1]) - 1)  # the chain ends with what repeated roots share
    return changes(at_minus) - changes(at_plus) == different


def remainder(dividend: Polynomial, divisor: Polynomial) -> Polynomial:
    """What is left of a division of polynomials, without leading zeros; empty if nothing is."""
    left = list(dividend)
    while len(left) >= len(divisor):
        factor = left[0] / divisor[0]
        left = [a - factor * b for a, b in zip(left, divisor + [Fraction(0)] * (len(left) - len(divisor)))][1:]
    while left and left[0] == 0:
        left = left[1:]
    return left


def all_positive(polynomial: Polynomial) -> bool:
    """Whether all roots, known to be real, are above zero: then, and only then, the signs alternate."""
    return all(c * (-1) ** i > 0 for i, c in enumerate(polynomial))


def merged(values: Tensor, reach: float) -> list[float] | None:
    """Eigenvalues with each cluster, of those within reach of one another, put at its mean; None if one is not real."""
    left, means = values.tolist(), []
    while left:
        cluster = [left.pop()]
        while near := [x for x in left if min(abs(x - y) for y in cluster) <= 2 * reach]:
            cluster += near
            left = [x for x in left if x not in near]
        mean = sum(cluster) / len(cluster)
        if abs(mean.imag) > reach * 1e-3:
            return None
        means += [mean.real] * len(cluster)
    return means


def close(roots: list[float], polynomial: Polynomial, rounding: float, scale: float) -> bool:
    """Whether the polynomial with these roots is this one, up to rounding of a matrix of this Frobenius norm."""
    mine = np.poly(roots)
    n = len(roots)
    allowed = [rounding * n * scale**k for k in range(n + 1)]
    return all(abs(float(a) - b) <= most for a, b, most in zip(polynomial[1:], mine[1:], allowed[1:]))
