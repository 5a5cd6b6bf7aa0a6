"""How a mean cosine moves from step to step, beside the equation of tokens that stand at equal angles."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import least_squares
from torch import Tensor

from walkthrough.behaviour import loss_per_position
from walkthrough.beyond.clusters import equiangular_cosine
from walkthrough.beyond.cosines import mean_cosine
from walkthrough.training.shared import SharedWeights


def equiangular_steps(
    start: float, n_tokens: int, beta: float, step: float, n_steps: int
) -> Float[np.ndarray, " time"]:  # fmt: skip
    """The cosine of tokens at equal angles after 0, 1, 2, ... steps of so much time each (arXiv 2312.10794, equation
    6.9).
    """
    return equiangular_cosine(n_tokens, beta, np.arange(n_steps + 1) * step, start=start)


def fit_equiangular(cosines: Float[np.ndarray, " time"], n_tokens: int) -> tuple[float, float]:
    """Beta, from 0 to 20, and the time of a step, from 0 to 10, whose equation comes closest to these cosines."""
    cosines = np.asarray(cosines, dtype=np.float64)
    miss = lambda found: equiangular_steps(float(cosines[0]), n_tokens, *found, len(cosines) - 1) - cosines
    starts = [(beta, step) for beta in (0.5, 5.0) for step in (0.03, 0.5)]
    tries = [least_squares(miss, start, bounds=([0, 1e-6], [20, 10]), diff_step=1e-4) for start in starts]
    beta, step = min(tries, key=lambda found: found.cost).x
    return float(beta), float(step)


def equiangular_error(cosines: Float[np.ndarray, " time"], n_tokens: int, fitted: int) -> float:
    """The largest error, in the steps after the first `fitted` numbers, of the equation that was fitted to those."""
    beta, step = fit_equiangular(cosines[:fitted], n_tokens)
    expected = equiangular_steps(float(cosines[0]), n_tokens, beta, step, len(cosines) - 1)
    return float(np.abs(expected - cosines)[fitted:].max())


@torch.no_grad()
def streams_further(
    network: SharedWeights, tokens: Int[Tensor, "text pos"], times: Sequence[int]
) -> Float[Tensor, "time text pos d_model"]:
    """The stream when the layer is applied so many times, fewer or more than in training; `times` increase."""
    x, done, streams = network.entered(network.tok_embed(tokens)), 0, []
    for time in times:
        for _ in range(time - done):
            x = network.between(network.layers[0](x)[0])
        done = time
        streams.append(x)
    return torch.stack(streams)


@torch.no_grad()
def applied_further(
    network: SharedWeights, tokens: Int[Tensor, "text pos"], times: Sequence[int]
) -> tuple[Float[Tensor, "time text"], Float[Tensor, " time"]]:
    """Mean cosines, and the mean loss in nats, when the layer is applied so many times, fewer or more than in training.

    `times` increase. `<BOS>` is left out of the cosines.
    """
    streams = streams_further(network, tokens, times)
    losses = [loss_per_position(network.head(x[:, :-1]), tokens).mean() for x in streams]
    return mean_cosine(streams[:, :, 1:]), torch.stack(losses)
