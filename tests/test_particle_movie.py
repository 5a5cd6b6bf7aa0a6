"""What the film of particles holds for its page, its picture and its tables, and what it refuses."""

import base64

import numpy as np
import pytest

from walkthrough import widgets
from walkthrough.beyond import particles

TIMES = np.linspace(0, 3, 7)


def test_the_stored_points_are_those_of_the_film_to_one_part_in_255():
    run = particles.simulate(particles.random_points(4, 3), 2.0, TIMES)
    film = widgets.ParticleMovie(
        TIMES, {"a": run.x}, curves={"a": {"clusters": np.arange(7), "energy": TIMES / 7}}, at=3
    )
    stored = np.frombuffer(base64.b64decode(film.data["films"]["a"]["points"]), np.uint8) / 127.5 - 1
    np.testing.assert_allclose(stored.reshape(7, 4, 3), run.x, atol=0.0041)
    assert film.data["curves"]["a"] == {"clusters": list(range(7)), "energy": [float(f"{t / 7:.4g}") for t in TIMES]}
    assert [ax.get_title() for ax in film.still()] == ["time 0", "time 0.5", "time 1", "time 1.5"]
    assert film.described().startswith(
        "4 tokens (a) on their sphere at the times 0, 0.5, 1, 1.5. clusters: 0 at first, 3"
    )
    assert film.tables().count("<tr>") == 1 + 7


@pytest.mark.parametrize(
    ("films", "curves", "sentence"),
    [
        ({}, {}, "no film"),
        ({"a": np.zeros((2, 3, 2))}, {}, "7 times"),
        ({"a": np.full((7, 3, 2), 1.5)}, {}, "divide each by its length"),
        ({"a": np.zeros((7, 3, 2))}, {"a": {"b": [1]}}, "a number a time"),
    ],
)
def test_what_does_not_fit_is_said_in_its_place(films, curves, sentence):
    made = widgets.ParticleMovie(TIMES, films, curves=curves)
    assert sentence in made.page()
    assert sentence in repr(made)
