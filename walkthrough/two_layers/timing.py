"""When something comes along a training run, in which order, and on which tokens it pays."""

from jaxtyping import Bool, Float, Int
from torch import Tensor


def fastest(x: Float[Tensor, " time"], values: Float[Tensor, " time"]) -> float:
    """Where a curve changes most for each unit of x: the middle of its steepest interval.

    Up or down. `x` rises, by steps that may differ, for example tokens or their logarithm.
    """
    slope = values.diff() / x.diff()
    steepest = slope.abs().argmax()
    return ((x[steepest] + x[steepest + 1]) / 2).item()


def arrival(
    tokens: Float[Tensor, " time"], values: Float[Tensor, " time"], share: float = 0.5
) -> float:  # fmt: skip
    """Tokens after which a curve has gone `share` of its way, and never falls behind again.

    Its way leads from the first value to the end, the mean of the last tenth of all values (at
    least one). Infinite if the last value of all is behind.
    """
    end = values[-max(1, len(values) // 10) :].mean()
    way = (values - values[0]) / (end - values[0])
    last_behind = (way < share).nonzero().max()  # the first value of all is always behind
    return tokens[last_behind + 1].item() if last_behind + 1 < len(tokens) else float("inf")


def always_before(
    arrivals: Float[Tensor, "seed quantity"],
) -> Bool[Tensor, "quantity quantity"]:
    """Whether one quantity (row) came before another (column) in every seed.

    Two that came at the same time are in no order.
    """
    earlier = arrivals[:, :, None] < arrivals[:, None, :]  # [seed row column]
    return earlier.all(0)


def matched_difference(
    change: Float[Tensor, "window pos"],
    kind: Bool[Tensor, "window pos"],
    came: Int[Tensor, "window pos"],
) -> float:
    """Mean change where a kind of position is, minus that elsewhere, with the same tokens on both.

    `came` is the token that came at each position. A token that came on only one side is left out;
    the others count as often as they came on positions of the kind. Raises ValueError if none is
    left.
    """
    total, weight = 0.0, 0
    for token in came[kind].unique():
        here = came == token
        inside, outside = change[here & kind], change[here & ~kind]
        if len(outside) > 0:
            total += len(inside) * (inside.mean() - outside.mean()).item()
            weight += len(inside)
    if weight == 0:
        raise ValueError("no token came both on positions of this kind and on others")
    return total / weight
