"""Particles in the plane: an angle for each token; at beta 0, Kuramoto's oscillators (2312.10794, section 7)."""

import numpy as np
from jaxtyping import Float

from walkthrough.beyond.particles import Kind, Number, pull_weights


def on_circle(angles: Float[np.ndarray, "*time token"]) -> Float[np.ndarray, "*time token 2"]:
    """The points of the circle at these angles, in radians."""
    return np.stack([np.cos(angles), np.sin(angles)], -1)


def angles_of(x: Float[np.ndarray, "*time token 2"]) -> Float[np.ndarray, "*time token"]:
    """The angles of points in the plane, in radians, from -pi to pi."""
    return np.arctan2(x[..., 1], x[..., 0])


def angle_velocity(
    angles: Float[np.ndarray, " token"], beta: Number, *, kind: Kind = "SA"
) -> Float[np.ndarray, " token"]:  # fmt: skip
    """How fast each angle turns, in radians: the weighted mean of the sines of the differences to all others.

    USA: d theta_i / dt = -1/n sum_j e^(beta cos(theta_i - theta_j)) sin(theta_i - theta_j); SA has the softmax's
    weights. At beta 0 both are Kuramoto's oscillators, all alike and each coupled to every other one.
    """
    difference = angles[:, None] - angles[None]
    return -(pull_weights(np.cos(difference), beta, kind) * np.sin(difference)).sum(-1)


def order_parameter(angles: Float[np.ndarray, "*time token"]) -> Float[np.ndarray, "*time"] | float:
    """Kuramoto's r: the length of the mean of all points, 0 for evenly spread tokens and 1 for a single point."""
    return np.abs(np.exp(1j * angles).mean(-1))
