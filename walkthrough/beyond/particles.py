"""Tokens as particles on a sphere that attention pulls together (Geshkovski et al., arXiv 2312.10794).

A layer of attention and a normalisation move every token a little; with the layers as time, the tokens follow an
equation. SA is attention as it is, USA (unnormalised) leaves the softmax's denominator out. W_Q, W_K and W_V are the
identity. All in float64; `batches.py` moves many systems at once, `clusters.py` counts what they end in.
"""

from dataclasses import dataclass
from itertools import count
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.integrate import solve_ivp
from scipy.special import logsumexp

Number = float | int
Kind = Literal["SA", "USA"]
ON_SPHERE = 1e-6  # how far from 1 a length may be
MOST = {
    "SA": 500.0,
    "USA": 50.0,
}  # e^beta is a number of float64, and for USA one over it is a time in which it can step


@dataclass(frozen=True)
class Run:
    """What became of one system of tokens, and what it cost to find out."""

    times: Float[np.ndarray, " time"]
    x: Float[np.ndarray, "time token dim"]
    evaluations: int  # calls of `velocity`, counted: solve_ivp's nfev may leave some out
    jacobians: int  # calls of `velocity_jacobian`
    drift: float  # how far a length was from 1 before the points were put back on the sphere

    @property
    def cosines(self) -> Float[np.ndarray, "time token token"]:
        """Of all pairs of tokens, at every time."""
        return pair_cosines(self.x)


def random_points(*shape: int, seed: int = 0) -> Float[np.ndarray, "*system token dim"]:
    """Points drawn uniformly from the unit sphere, independently; the last number of `shape` is the dimension."""
    if len(shape) < 2 or min(shape) < 1:
        raise ValueError(f"a shape has tokens and dimensions, both at least 1, such as (32, 3); not {shape}")
    x = np.random.default_rng(seed).standard_normal(shape)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def require_system(x: object, beta: object, kind: str = "SA") -> None:
    """Raise ValueError, in one sentence, unless these are points on a sphere and inverse temperatures of this kind."""
    if kind not in MOST:
        raise ValueError(f"{kind!r} is no kind of attention: give 'SA' or 'USA'")
    x, beta = np.asarray(x), np.asarray(beta)
    if x.ndim < 2 or 0 in x.shape or x.dtype != np.float64:
        raise ValueError(f"points are float64 of shape [token, dim]; these are {x.dtype} of shape {list(x.shape)}")
    if not np.isfinite(x).all():
        raise ValueError("some coordinates are NaN or infinite: give points on the unit sphere")
    lengths = np.linalg.norm(x, axis=-1)
    if abs(lengths - 1).max() > ON_SPHERE:
        far = lengths.flat[abs(lengths - 1).argmax()]
        raise ValueError(f"a point has length {far:.4g}, and the sphere has radius 1: divide each point by its length")
    if beta.shape not in ((), x.shape[:-2]):
        raise ValueError(f"there are {x.shape[:-2]} systems: give one beta, or one for each; not {beta.shape}")
    if not (np.isfinite(beta).all() and beta.min() >= 0 and beta.max() <= MOST[kind]):
        raise ValueError(f"beta is a number from 0 to {MOST[kind]:g} for {kind}; not {beta}")


def pair_cosines(x: Float[np.ndarray, "*system token dim"]) -> Float[np.ndarray, "*system token token"]:
    """The dot products of all pairs of points on the sphere."""
    return x.copy() @ np.swapaxes(x, -1, -2)  # of one array with itself, NumPy makes half and mirrors it: slower


def pull_weights(
    cosines: Float[np.ndarray, "*system query key"], beta: Float[np.ndarray, "*system"] | Number, kind: Kind = "SA",
    causal: bool = False,
) -> Float[np.ndarray, "*system query key"]:  # fmt: skip
    """How strongly each token (row) is pulled to each other one: the attention pattern, for SA.

    e^(beta cosine) over its row's sum for SA, over the number of keys for USA. Causal: no token looks at later ones.
    """
    n = cosines.shape[-1]
    # SA: e^beta, a token's own, is taken out of both sides of the fraction. USA: a step that an integrator only tries
    # may leave the sphere by far.
    weights = cosines - 1 if kind == "SA" else np.minimum(cosines, 2)
    weights *= np.asarray(beta)[..., None, None]
    np.exp(weights, out=weights)
    if causal:
        weights *= np.tri(n)
    if kind == "SA":
        weights /= np.einsum("...k->...", weights)[..., None]  # `sum` is slow for short rows
    else:
        weights /= np.arange(1, n + 1)[:, None] if causal else n
    return weights


def velocity(
    x: Float[np.ndarray, "*system token dim"], beta: Float[np.ndarray, "*system"] | Number, *, kind: Kind = "SA",
    causal: bool = False,
) -> Float[np.ndarray, "*system token dim"]:  # fmt: skip
    """Where every token goes: the weighted mean of the tokens, without its part along the token itself.

    arXiv 2312.10794, equations of SA and USA: dx_i/dt = P_x_i(sum_j weight_ij x_j), P_x y = y - <x, y> x.
    """
    y = pull_weights(pair_cosines(x), beta, kind, causal) @ x
    y -= np.einsum("...td,...td->...t", x, y)[..., None] * x
    return y


def velocity_jacobian(
    x: Float[np.ndarray, "token dim"], beta: Number, *, kind: Kind = "SA", causal: bool = False
) -> Float[np.ndarray, "state state"]:
    """The derivative of `velocity` with respect to all coordinates, rows and columns as in `x.ravel()`."""
    n, d = x.shape
    each, one = np.arange(n), np.eye(d)
    weights = pull_weights(pair_cosines(x), beta, kind, causal)
    y = weights @ x
    of = x[None] - y[:, None] if kind == "SA" else np.broadcast_to(x, (n, n, d))  # the softmax's denominator gives - y
    # [query key write read]
    dy = weights[..., None, None] * (one + beta * of[..., :, None] * x[:, None, None, :])
    dy[each, each] += beta * np.einsum("qk,kw,kr->qwr", weights, x, x)
    if kind == "SA":
        dy[each, each] -= beta * y[:, :, None] * y[:, None, :]
    dv = dy - x[:, None, :, None] * np.einsum("qw,qkwr->qkr", x, dy)[:, :, None, :]
    dv[each, each] -= (x * y).sum(-1)[:, None, None] * one + x[:, :, None] * y[:, None, :]
    return dv.transpose(0, 2, 1, 3).reshape(n * d, n * d)


def interaction_energy(
    x: Float[np.ndarray, "*system token dim"], beta: Float[np.ndarray, "*system"] | Number
) -> Float[np.ndarray, "*system"]:
    """E_beta: the mean of e^(beta cosine) over all pairs, a token with itself included, over 2 beta.

    It never decreases along SA and USA (causal ones apart), and is largest, e^beta / (2 beta), where all tokens are one
    point. At beta 0, where that is infinite, it is half the mean cosine, which is what changes (2312.10794, section 3).
    """
    beta, cosines = np.asarray(beta, np.float64), pair_cosines(x)
    mean = cosines.mean((-1, -2))
    safe = np.where(beta > 0, beta, 1.0)
    log_mean = logsumexp(safe[..., None, None] * cosines, axis=(-1, -2)) - 2 * np.log(x.shape[-2])
    return np.where(beta > 0, np.exp(log_mean) / (2 * safe), mean / 2)


def simulate(
    x: Float[np.ndarray, "token dim"], beta: Number, times: Float[np.ndarray, " time"], *, kind: Kind = "SA",
    causal: bool = False, method: str = "LSODA", rtol: float = 1e-8, atol: float = 1e-10,
) -> Run:  # fmt: skip
    """One system at the given times; at the first of them the tokens are at x. By scipy's integrators, calls counted.

    LSODA changes to an implicit method, with `velocity_jacobian`, where the system is stiff, as USA is for large beta:
    an explicit method (RK45, DOP853) needs hundreds of times as many evaluations for beta 9. Raises ValueError for what
    `require_system` refuses, for times that do not increase, and if the integrator gives up.
    """
    require_system(x, beta, kind)
    if x.ndim != 2:
        raise ValueError(f"one system is [token, dim], not {list(x.shape)}: `simulate_many` takes several")
    times = np.asarray(times, np.float64)
    if times.ndim != 1 or len(times) < 1 or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise ValueError("times are one or more numbers, each above the one before")
    velocities, jacobians = count(), count()

    def rate(_: float, state: np.ndarray) -> np.ndarray:
        """The velocity of all coordinates."""
        next(velocities)
        return velocity(state.reshape(x.shape), beta, kind=kind, causal=causal).ravel()

    def rate_jacobian(_: float, state: np.ndarray) -> np.ndarray:
        """Its derivative."""
        next(jacobians)
        return velocity_jacobian(state.reshape(x.shape), beta, kind=kind, causal=causal)

    implicit = {"jac": rate_jacobian} if method in ("LSODA", "BDF", "Radau") else {}
    how = {"method": method, "rtol": rtol, "atol": atol, "t_eval": times} | implicit
    if len(times) == 1 or x.shape[1] == 1:  # on a line there are two points of the sphere, and no way between them
        return Run(times, np.repeat(x[None], len(times), 0), 0, 0, 0.0)
    solution = solve_ivp(rate, (times[0], times[-1]), x.ravel(), **how)
    if not solution.success:
        raise ValueError(f"{method} gave up at beta {beta}: {solution.message}")
    path = solution.y.T.reshape(len(times), *x.shape)
    lengths = np.linalg.norm(path, axis=-1, keepdims=True)
    return Run(times, path / lengths, next(velocities), next(jacobians), float(abs(lengths - 1).max()))
