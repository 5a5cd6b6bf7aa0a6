"""What systems of particles end in: clusters, one point if they start in a hemisphere, equal angles if they start so.

References are to arXiv 2312.10794 (Geshkovski, Letrouit, Polyanskiy, Rigollet).
"""

from math import comb

import numpy as np
from jaxtyping import Float, Int
from scipy.integrate import quad, solve_ivp
from scipy.optimize import linprog
from scipy.sparse.csgraph import connected_components

from walkthrough.beyond.batches import in_their_span, simulate_many
from walkthrough.beyond.particles import Kind, Number, random_points


def count_clusters(
    cosines: Float[np.ndarray, "*system token token"], above: Number = 0.999
) -> Int[np.ndarray, "*system"]:
    """How many groups of tokens there are, chained together by cosines above this one."""
    flat = cosines.reshape(-1, *cosines.shape[-2:])
    return np.array([connected_components(c > above, directed=False)[0] for c in flat]).reshape(cosines.shape[:-2])


def cluster_counts(
    n_tokens: int, dim: int, betas: Float[np.ndarray, " beta"], times: Float[np.ndarray, " time"], *, seeds: int = 10,
    kind: Kind = "SA", above: Number = 0.999,
) -> Int[np.ndarray, "time beta seed"]:  # fmt: skip
    """The number of clusters at each time, from the same random starts for each beta.

    Seed s is `random_points(n_tokens, dim, seed=s)`. Times increase from 0.
    """
    starts = np.stack([random_points(n_tokens, dim, seed=seed) for seed in range(seeds)])
    x, beta = np.tile(starts, (len(betas), 1, 1)), np.repeat(betas, seeds)
    counts = simulate_many(x, beta, times, observe=lambda c: count_clusters(c, above), kind=kind)
    return counts.astype(int).reshape(len(times), len(betas), seeds)


def phase_diagram(
    n_tokens: int, dim: int, betas: Float[np.ndarray, " beta"], times: Float[np.ndarray, " time"], *, seeds: int = 16,
    kind: Kind = "SA", above: Number = 0.999, tolerance: float = 1e-4, threads: int = 1,
) -> Float[np.ndarray, "time beta"]:  # fmt: skip
    """The share of pairs of different tokens whose cosine is above this one, over random starts: P(<x_i, x_j> > 0.999).

    The paper's figure (section 6): n 32, times to 30, beta from 0.1 to 9. Starts as in `cluster_counts`. With
    threads above 1, parts of the batch run side by side.
    """
    starts = np.stack([random_points(n_tokens, dim, seed=seed) for seed in range(seeds)])
    x, beta = np.tile(in_their_span(starts), (len(betas), 1, 1)), np.repeat(betas, seeds)
    near = lambda c: (np.count_nonzero(c > above, axis=(-1, -2)) - n_tokens) / (n_tokens * (n_tokens - 1))
    seen = simulate_many(x, beta, times, observe=near, kind=kind, tolerance=tolerance, threads=threads)
    return seen.reshape(len(times), len(betas), seeds).mean(-1)


def equiangular_rate(
    gamma: Float[np.ndarray, "*time"] | Number, n_tokens: int, beta: Number, kind: Kind = "SA"
) -> Float[np.ndarray, "*time"] | float:
    """How fast the one cosine of tokens at equal angles grows: equations (6.9) for SA and (6.10) for USA."""
    push = 2 * (1 - gamma) * ((n_tokens - 1) * gamma + 1)
    if kind == "USA":
        return push * np.exp(beta * gamma) / n_tokens
    return push / (np.exp(beta * (1 - gamma)) + n_tokens - 1)


def equiangular_cosine(
    n_tokens: int, beta: Number, times: Float[np.ndarray, " time"], *, kind: Kind = "SA", start: Number = 0.0
) -> Float[np.ndarray, " time"]:
    """The cosine of all pairs at each of the times, which increase from 0, for tokens that start at equal angles.

    At start 0 they are orthogonal: in high dimensions, random tokens nearly are. Raises ValueError for a cosine that n
    tokens cannot all have, and for beta below 0.
    """
    _equal_angles(n_tokens, beta, start)
    rate = lambda t, gamma: equiangular_rate(np.minimum(gamma, 1.0), n_tokens, beta, kind)
    how = {"method": "LSODA", "rtol": 1e-10, "atol": 1e-12, "t_eval": times}
    return solve_ivp(rate, (0, max(times[-1], 1e-9)), [float(start)], **how).y[0]


def equiangular_time(
    n_tokens: int, beta: Number, cosine: Number = 0.9, *, kind: Kind = "SA", start: Number = 0.0
) -> float:
    """When tokens at equal angles reach a cosine: the integral of one over `equiangular_rate`."""
    _equal_angles(n_tokens, beta, start)
    if not start <= cosine < 1:
        raise ValueError(f"the cosine grows from {start} towards 1 and does not reach {cosine}: give one between them")
    return quad(lambda gamma: 1 / equiangular_rate(gamma, n_tokens, beta, kind), start, cosine, limit=200)[0]


def _equal_angles(n_tokens: int, beta: Number, start: Number) -> None:
    """Raise ValueError for what no tokens at equal angles can have."""
    if n_tokens < 2 or beta < 0:
        raise ValueError(f"give two tokens or more and a beta of at least 0, not {n_tokens} and {beta}")
    if not -1 / (n_tokens - 1) < start < 1:
        raise ValueError(f"{n_tokens} tokens can all have cosines between {-1 / (n_tokens - 1):.3f} and 1, not {start}")


def hemisphere_probability(n_tokens: int, dim: int) -> float:
    """The probability that random points all lie in one hemisphere, whichever (Wendel 1962)."""
    return sum(comb(n_tokens - 1, k) for k in range(dim)) / 2 ** (n_tokens - 1)


def in_hemisphere(x: Float[np.ndarray, "token dim"]) -> bool:
    """Whether some direction has a positive dot product with every point: a linear programme with a solution or not."""
    return linprog(np.zeros(x.shape[1]), A_ub=-x, b_ub=-np.ones(len(x)), bounds=(None, None)).status == 0


def spread_rate(times: Float[np.ndarray, " time"], x: Float[np.ndarray, "time token dim"]) -> float:
    """How fast tokens come together: minus the slope of the logarithm of their root-mean-square distance from the mean.

    A least-squares line through all times. Lemma 6.4: the distance is at most C e^(-rate t).
    """
    centred = x - x.mean(1, keepdims=True)
    spread = np.sqrt(np.square(centred).sum(-1).mean(-1))
    return -float(np.polyfit(times, np.log(spread), 1)[0])
