"""Many systems of particles at once: one Runge–Kutta method, with a step of its own for each system.

A loop of `solve_ivp` spends most of its time on small arrays, on more coordinates than needed, and on systems in which
nothing happens any more. Here a few dozen systems step together, in the span of their tokens, until each is one point.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain

import numpy as np
from jaxtyping import Float
from scipy.integrate import RK45

from walkthrough.beyond.particles import Kind, Number, pair_cosines, require_system, velocity

TOGETHER = 2**16  # numbers in the state of the systems that step together: its stages stay in a processor's cache


def in_their_span(x: Float[np.ndarray, "*system token dim"]) -> Float[np.ndarray, "*system token coordinate"]:
    """The same points, turned, in at most as many coordinates as there are tokens: no cosine changes.

    Tokens never leave the span of where they start, and attention does not see a rotation.
    """
    return x if x.shape[-1] <= x.shape[-2] else np.swapaxes(np.linalg.qr(np.swapaxes(x, -1, -2), mode="r"), -1, -2)


def pairs_of(
    cosines: Float[np.ndarray, "*system token token"],
) -> Float[np.ndarray, "*system pair"]:
    """The cosines of all pairs of two different tokens, each pair once."""
    first, second = np.triu_indices(cosines.shape[-1], 1)
    return cosines[..., first, second]


def simulate_many(
    x: Float[np.ndarray, "system token dim"], beta: Float[np.ndarray, " system"] | Number,
    times: Float[np.ndarray, " time"], *, observe: Callable[[np.ndarray], np.ndarray] = pairs_of, kind: Kind = "SA",
    causal: bool = False, tolerance: float = 1e-6, threads: int = 1,
) -> Float[np.ndarray, "time system *seen"]:  # fmt: skip
    """What `observe` sees of the cosines [system, token, token] of many systems at the given times.

    Dormand and Prince's method (scipy's RK45, its coefficients and its interpolation). `tolerance` is how far a token
    may be off after one step, as a root mean square over a system; cosines come out within about three times that. It
    is explicit: for USA it pays up to beta 5 or so. `threads` of them work side by side. Raises
    ValueError for what `require_system` refuses, and for times that do not increase from 0.
    """
    require_system(x, beta, kind)
    times = np.asarray(times, np.float64)
    if x.ndim != 3 or times.ndim != 1 or len(times) < 1 or times[0] != 0 or not (np.diff(times) > 0).all():
        raise ValueError("give points [system, token, dim], and times that increase from 0")
    betas = np.broadcast_to(np.asarray(beta, np.float64), len(x))
    points, seen = in_their_span(x), None
    size = max(1, TOGETHER // points[0].size)
    rate = partial(velocity, kind=kind, causal=causal)

    def follow(some: np.ndarray) -> list[tuple]:
        """What is seen of some systems: at which times, of which of them, and what."""
        cosines = lambda moved: pair_cosines(moved / np.linalg.norm(moved, axis=-1, keepdims=True))
        path = _march(points[some], betas[some], times, rate, tolerance)
        return [(at, some[index], observe(cosines(moved))) for at, index, moved in path]

    # Systems of similar beta need about as many steps.
    parts = np.split(np.argsort(betas, kind="stable"), range(size, len(x), size))
    with ThreadPoolExecutor(threads) as pool:
        for at, index, what in chain.from_iterable(pool.map(follow, parts)):
            seen = np.empty((len(times), len(x), *what.shape[1:])) if seen is None else seen
            seen[at, index] = what
    return seen


def _march(
    x: np.ndarray, beta: np.ndarray, times: np.ndarray, rate: Callable, tolerance: float
) -> Iterator[tuple]:  # fmt: skip
    """Times (by number), systems (by number) and their points then, until every system has had all times."""
    each, ends = np.arange(len(x)), np.append(times, np.inf)
    yield 0, each, x
    now, following, f = np.zeros(len(x)), np.ones(len(x), int), rate(x, beta)
    h = tolerance**0.2 / np.maximum(1, abs(f).max((1, 2)))
    stages = np.empty((7, *x.shape))
    while (going := following < len(times)).any():
        if not going.all():
            each, x, beta, now, h, following, f = (a[going] for a in (each, x, beta, now, h, following, f))
            stages = np.empty((7, *x.shape))
        step = h[:, None, None]
        stages[0] = f
        for i in range(1, 6):
            stages[i] = rate(x + step * _mixed(RK45.A[i, :i], stages), beta)
        new = x + step * _mixed(RK45.B, stages)
        stages[6] = rate(new, beta)
        off = _mixed(RK45.E, stages)
        error = h / tolerance * np.sqrt(np.einsum("std,std->s", off, off) / x.shape[1])
        good = error < 1
        reached = np.where(good, now + h, now)
        while (due := np.flatnonzero(ends[following] <= reached)).size:
            share = ((ends[following[due]] - now[due]) / h[due])[:, None]
            inside = np.einsum("sn,nsij->sij", share ** np.arange(1, 5) @ RK45.P.T, stages[:, due])
            yield following[due], each[due], x[due] + step[due] * inside
            following[due] += 1
        now = reached
        x, f = (a if good.all() else np.where(good[:, None, None], a, b) for a, b in ((new, x), (stages[6], stages[0])))
        h = h * np.clip(0.8 * np.maximum(error, 1e-10) ** -0.2, 0.2, 10)
        together = np.square(x - x[:, :1]).sum(-1).max(1) < tolerance  # one point, and it stays so
        for i in np.flatnonzero(together & (following < len(times))):
            yield slice(following[i], None), each[i : i + 1], x[i : i + 1]
            following[i] = len(times)


def _mixed(weights: np.ndarray, stages: np.ndarray) -> np.ndarray:
    """The weighted sum of the first stages."""
    return (weights @ stages[: len(weights)].reshape(len(weights), -1)).reshape(stages.shape[1:])
