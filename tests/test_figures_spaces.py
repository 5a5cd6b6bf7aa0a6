"""Figures of coordinates and subspaces show what they were given; the drawing of subspaces keeps its angle."""

import math

import matplotlib.pyplot as plt
import pytest
import torch

from walkthrough import figures


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_shares_of_coordinates_name_the_largest():
    panels = {"own axes": torch.tensor([0.1, 0.7, 0.2]), "rotated": torch.tensor([0.4, 0.3, 0.3])}
    own, rotated = figures.spaces.coordinate_shares(panels, y="share")
    assert [bar.get_height() for bar in own.patches] == pytest.approx([0.1, 0.7, 0.2])
    assert [text.get_text() for ax in (own, rotated) for text in ax.texts] == [
        "coordinate 1: 70.0%",
        "coordinate 0: 40.0%",
    ]
    assert (own.get_title(), rotated.get_title(), own.get_ylabel()) == ("own axes", "rotated", "share")
    assert own.get_ylim() == rotated.get_ylim()


def test_shared_directions_lie_over_their_band():
    lines = {"most": torch.tensor([0.9, 0.8, 0.7]), "least": torch.tensor([0.3, 0.2, 0.1])}
    ax = figures.spaces.shared_directions(lines, (torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.6, 0.5, 0.4])))
    assert [line.get_ydata().tolist() for line in ax.get_lines()] == [pytest.approx(x.tolist()) for x in lines.values()]
    assert [line.get_xdata()[0] for line in ax.get_lines()] == [1, 1]
    assert [text.get_text() for text in ax.get_legend().get_texts()][1:] == ["most", "least"]


def test_two_shares_has_a_point_for_each_direction():
    clouds = {
        "random": (torch.ones(3), torch.ones(3)),
        "W_E and W_U": (torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])),
    }
    ax = figures.spaces.two_shares(clouds, x="first", y="second")
    assert [len(points.get_offsets()) for points in ax.collections] == [3, 2]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


@pytest.mark.parametrize("degrees", [20.0, 55.0, 80.0])
def test_the_drawing_of_subspaces_has_a_plane_that_is_read_and_two_that_meet(degrees):
    ax = figures.diagrams.subspaces(degrees=degrees)
    planes = [patch for patch in ax.patches if patch.get_gid() == "plane"]
    assert len(planes) == 3
    wall = planes[2].get_xy()
    angle = math.radians(degrees)
    assert wall[2][1] - wall[1][1] == pytest.approx(1.35 * math.sin(angle) + 0.42 * 1.35 * math.cos(angle))
    words = " ".join(text.get_text() for text in ax.texts)
    assert "not seen" in words
    assert "second angle" in words


def test_a_drawing_of_planes_that_nearly_coincide_is_refused():
    with pytest.raises(ValueError, match="degrees would be hard to see"):
        figures.diagrams.subspaces(degrees=5.0)
