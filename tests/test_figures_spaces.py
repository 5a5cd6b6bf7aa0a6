"""Figures of coordinates and wires show what they were given; the drawing of a subspace shows what is seen."""

import matplotlib.pyplot as plt
import pytest
import torch

from walkthrough import figures


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_shares_of_coordinates_name_the_largest():
    panels = {"own axes": torch.tensor([0.04, 0.93, 0.03]), "rotated": torch.full((25,), 0.04)}
    own, rotated = figures.spaces.coordinate_shares(panels, y="share")
    assert [bar.get_height() for bar in own.patches] == pytest.approx([0.04, 0.93, 0.03])
    assert [[text.get_text() for text in ax.texts] for ax in (own, rotated)] == [
        ["coordinate 1: 93.0%"],
        ["coordinate 0: 4.0%"],
    ]
    assert (own.get_title(), rotated.get_title(), own.get_ylabel()) == ("own axes", "rotated", "share")
    assert own.get_ylim() == rotated.get_ylim()


def test_every_large_share_is_named():
    (ax,) = figures.spaces.coordinate_shares({"axes": torch.tensor([0.6, 0.04, 0.3, 0.06])}, y="share")
    assert {text.get_text() for text in ax.texts} == {
        "coordinate 0: 60.0%",
        "coordinate 2: 30.0%",
        "coordinate 3: 6.0%",
    }


def test_wires_are_drawn_above_chance_with_a_dot_for_those_like_random_ones():
    tables = {"keys": torch.tensor([[0.1, 0.3], [0.2, 0.0]]), "values": torch.tensor([[0.2, 0.2], [0.1, 0.2]])}
    within = {"keys": (0.15, 0.25), "values": (0.05, 0.15)}
    axes = figures.spaces.wire_strengths(tables, chance=0.2, within=within)
    assert [ax.get_title() for ax in axes] == ["keys", "values"]
    for ax, table in zip(axes, tables.values()):
        assert ax.images[0].get_array().tolist() == [pytest.approx(row) for row in (table - 0.2).tolist()]
        assert ax.images[0].get_clim() == pytest.approx((-0.2, 0.2))
    dots = [list(zip(*ax.lines[0].get_data())) for ax in axes]  # across: head that reads; down: head that writes
    assert dots == [[(0, 1)], [(0, 1)]]


def test_the_drawing_of_a_subspace_has_a_plane_that_is_read():
    ax = figures.diagrams.subspaces()
    assert [patch.get_gid() for patch in ax.patches].count("plane") == 1
    words = " ".join(text.get_text() for text in ax.texts)
    assert "not seen" in words
