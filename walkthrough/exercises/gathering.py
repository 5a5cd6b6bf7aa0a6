"""Exercises of notebook 17 on forces: that on one token, and how fast it closes equal angles."""

import math

import numpy as np


def points(*shape: int, seed: int) -> np.ndarray:
    """Random points of the sphere."""
    x = np.random.default_rng(seed).standard_normal(shape)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


# 17.1 the force on one token


def forced() -> list[tuple]:
    """Which token, all tokens, and beta."""
    return [(2, points(5, 3, seed=1), 1.7), (0, points(4, 2, seed=2), 3.0), (3, points(6, 4, seed=3), 0.4)]


def slow_force(i: int, x: np.ndarray, beta: float) -> np.ndarray:
    """Token by token, number by number."""
    weights = [math.exp(beta * sum(a * b for a, b in zip(x[i], other))) for other in x]
    mean = [sum(w * other[k] for w, other in zip(weights, x)) / sum(weights) for k in range(x.shape[1])]
    along = sum(a * b for a, b in zip(mean, x[i]))
    return np.array([m - along * a for m, a in zip(mean, x[i])])


def shares(i: int, x: np.ndarray, beta: float) -> np.ndarray:
    """The token's row of the attention pattern."""
    weights = np.exp(beta * x @ x[i])
    return weights / weights.sum()


def on_sphere(y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Without its part along the token."""
    return y - (y @ at) * at


def without_itself(i: int, x: np.ndarray, beta: float) -> np.ndarray:
    """The force of a token that does not attend to itself."""
    others = np.delete(x, i, 0)
    weights = np.exp(beta * others @ x[i])
    return on_sphere(weights @ others / weights.sum(), x[i])


FORCE_MISTAKES = {
    "that is the weighted mean of the tokens: take away its part along the token, or the token leaves the sphere":
        lambda i, x, b: shares(i, x, b) @ x,
    "that is the straight line to the weighted mean: it leaves the sphere; take away the mean's part along the token":
        lambda i, x, b: shares(i, x, b) @ x - x[i],
    "that is the part ALONG the token: it is what has to be taken away":
        lambda i, x, b: (shares(i, x, b) @ x @ x[i]) * x[i],
    "the weights do not sum to 1: divide them by their sum, as a softmax does":
        lambda i, x, b: on_sphere(np.exp(b * x @ x[i]) @ x, x[i]),
    "the weights were divided by the number of tokens: that is USA; SA divides them by their sum":
        lambda i, x, b: on_sphere(np.exp(b * x @ x[i]) @ x / len(x), x[i]),
    "the softmax is over ALL tokens: a token attends to itself as well":
        without_itself,
    "beta is missing: the scores are beta times the dot products":
        lambda i, x, b: on_sphere(shares(i, x, 1.0) @ x, x[i]),
    "the scores are not divided by the root of the dimension here: beta takes that place":
        lambda i, x, b: on_sphere(shares(i, x, b / math.sqrt(x.shape[1])) @ x, x[i]),
    "all weights are the same: they are e^(beta times the dot product), divided by their sum":
        lambda i, x, b: on_sphere(x.mean(0), x[i]),
    "the force must not be brought to length 1: near other tokens it is weak":
        lambda i, x, b: (f := on_sphere(shares(i, x, b) @ x, x[i])) / np.linalg.norm(f),
    "that is the force on all tokens: only token i is asked for":
        lambda i, x, b: np.stack([on_sphere(shares(j, x, b) @ x, x[j]) for j in range(len(x))]),
    "the part that was taken away lies along another token: it is x[i] along which nothing may be left":
        lambda i, x, b: on_sphere(shares(i, x, b) @ x, x[i - 1]),
}  # fmt: skip


# 17.3 how fast equal angles close


def angles() -> list[tuple]:
    """A cosine, a number of tokens, beta."""
    return [(0.0, 5, 1.0), (0.4, 7, 2.5), (0.9, 3, 0.5)]


def slow_rate(gamma: float, n_tokens: int, beta: float) -> float:
    """Twice the force on token 0, dotted with token 1, for tokens that really stand so."""
    x = np.linalg.cholesky(np.full((n_tokens, n_tokens), gamma) + (1 - gamma) * np.eye(n_tokens))
    return 2 * float(slow_force(0, x, beta) @ x[1])


def row_sum(gamma: float, n_tokens: int, beta: float) -> float:
    """The softmax's denominator."""
    return math.exp(beta) + (n_tokens - 1) * math.exp(beta * gamma)


def closing(gamma: float, n_tokens: int, beta: float) -> float:
    """The rate without the softmax's denominator."""
    return 2 * math.exp(beta * gamma) * (1 - gamma) * ((n_tokens - 1) * gamma + 1)


RATE_MISTAKES = {
    "only one of the two tokens moves in this: BOTH do, which gives a factor of 2":
        lambda g, n, b: closing(g, n, b) / row_sum(g, n, b) / 2,
    "the weights are not divided by their sum, e^beta + (n - 1) e^(beta gamma)":
        lambda g, n, b: closing(g, n, b),
    "divided by n, which is the rate of USA: SA divides by the sum of the weights, e^beta + (n - 1) e^(beta gamma)":
        lambda g, n, b: closing(g, n, b) / n,
    "the sum of the weights has n - 1 terms for the others, and the token's own, e^beta":
        lambda g, n, b: closing(g, n, b) / (math.exp(b) + n * math.exp(b * g)),
    "the token's own weight, e^beta, is missing in the sum of the weights":
        lambda g, n, b: closing(g, n, b) / ((n - 1) * math.exp(b * g)),
    "the force has lost its part along the token: take gamma times the mean's product with x_i away":
        lambda g, n, b: 2 * (math.exp(b) * g + math.exp(b * g) * (1 + (n - 2) * g)) / row_sum(g, n, b),
    "of the n - 1 other tokens, n - 2 have a cosine of gamma with x_j, and one is x_j itself, with a cosine of 1":
        lambda g, n, b: 2 * math.exp(b * g) * (1 - g) * (n - 1) * g / row_sum(g, n, b),
    "only x_j pulls in this: the n - 2 other tokens pull, too":
        lambda g, n, b: 2 * math.exp(b * g) * (1 - g**2) / row_sum(g, n, b),
}  # fmt: skip
