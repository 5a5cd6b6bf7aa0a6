"""Particles without a normalisation: they run away, and from afar form shapes (Geshkovski et al., arXiv 2305.05465).

dx_i/dt = sum_j P_ij V x_j, P the softmax of <Q x_i, K x_j>. Since x grows or shrinks like e^(tV), one looks at
z_i = e^(-tV) x_i, and that is what is integrated here, so that no number becomes too large.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.integrate import solve_ivp
from scipy.linalg import expm
from scipy.spatial import ConvexHull
from scipy.special import softmax

Square = Float[np.ndarray, "dim dim"]


@dataclass(frozen=True)
class FreeRun:
    """What became of tokens without normalisation: rescaled, as they are, and their attention."""

    times: Float[np.ndarray, " time"]
    z: Float[np.ndarray, "time token dim"]
    x: Float[np.ndarray, "time token dim"]
    pattern: Float[np.ndarray, "time query key"]


def simulate_free(
    x: Float[np.ndarray, "token dim"], times: Float[np.ndarray, " time"], *, V: Square | None = None,
    QK: Square | None = None,
) -> FreeRun:  # fmt: skip
    """Tokens that start at x at time 0, at the given times (which increase from 0), for a value matrix and a Q^T K.

    Both are the identity where they are not given; they act on columns, as in the paper. The equation of z is
    dz_i/dt = V sum_j P_ij (z_j - z_i). Raises ValueError for NaN, other shapes, or if the integrator gives up.
    """
    n, d = x.shape
    V, QK = np.eye(d) if V is None else V, np.eye(d) if QK is None else QK
    if not (np.isfinite(x).all() and np.isfinite(V).all() and np.isfinite(QK).all()):
        raise ValueError("some numbers are NaN or infinite: give finite points and matrices")
    if V.shape != (d, d) or QK.shape != (d, d):
        raise ValueError(f"for points in {d} dimensions V and QK are [{d}, {d}], not {V.shape} and {QK.shape}")
    if times[0] != 0 or (np.diff(times) <= 0).any():
        raise ValueError("give times that increase from 0")

    def attend(t: float, z: np.ndarray) -> np.ndarray:
        """P at time t."""
        grown = z @ expm(t * V).T
        return softmax(grown @ QK @ grown.T, axis=1)

    def rate(t: float, state: np.ndarray) -> np.ndarray:
        """dz/dt."""
        z = state.reshape(n, d)
        return ((attend(t, z) @ z - z) @ V.T).ravel()

    solution = solve_ivp(rate, (0, times[-1]), x.ravel(), method="LSODA", t_eval=times, rtol=1e-8, atol=1e-10)
    if not solution.success:
        raise ValueError(f"the integrator gave up: {solution.message}")
    z = solution.y.T.reshape(len(times), n, d)
    grown = np.stack([at @ expm(t * V).T for t, at in zip(times, z)])
    return FreeRun(times, z, grown, np.stack([attend(t, at) for t, at in zip(times, z)]))


def corners(z: Float[np.ndarray, "token dim"]) -> Bool[np.ndarray, " token"]:
    """Which tokens are corners of the smallest convex shape around all, in two dimensions or more."""
    found = np.zeros(len(z), bool)
    found[ConvexHull(z).vertices] = True
    return found


def distinct(values: Float[np.ndarray, "token dim"], within: float = 0.01) -> Float[np.ndarray, "place dim"]:
    """The places where tokens are, each once: tokens no farther than this from the first token of a place are in it."""
    places: list[np.ndarray] = []
    for value in values:
        if all(np.linalg.norm(value - place) > within for place in places):
            places.append(value)
    return np.stack(places)


def leading_coordinate(z: Float[np.ndarray, "*time token dim"], V: Square) -> Float[np.ndarray, "*time token"]:
    """Each token's coordinate along V's leading eigenvector: its product with the left eigenvector.

    Raises ValueError unless the eigenvalue with the largest real part is real and positive, and the only one.
    """
    values, left = np.linalg.eig(V.T)
    order = np.argsort(values.real)[::-1]
    top = values[order[0]]
    if abs(top.imag) > 1e-12 or top.real <= 0 or (len(V) > 1 and values[order[1]].real > top.real - 1e-9):
        raise ValueError(
            f"V's largest eigenvalue must be simple, real and positive; its eigenvalues are {values.round(3)}"
        )
    return z @ left[:, order[0]].real


def boolean_rows(pattern: Float[np.ndarray, "query key"], within: float = 0.01) -> Bool[np.ndarray, " query"]:
    """Which rows of a pattern are one 1 among zeros, up to so much."""
    return pattern.max(-1) > 1 - within
