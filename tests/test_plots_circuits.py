"""Figures of circuits show the numbers that they were given, under their names."""

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.colors import to_rgba

from walkthrough import figures


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_stacked_bars_stand_on_one_another():
    shares = torch.tensor([[0.2, 0.3, 0.5], [0.6, 0.1, 0.3]])
    ax = figures.circuits.stacked(shares, ["0:0", "random"], ["a", "b", "c"], above=["1.5", "0.5"])
    height = [[bar.get_height() for bar in part] for part in ax.containers]
    bottom = [[bar.get_y() for bar in part] for part in ax.containers]
    torch.testing.assert_close(torch.tensor(height), shares.T)
    torch.testing.assert_close(torch.tensor(bottom), (shares.cumsum(1) - shares).T)
    assert [text.get_text() for text in ax.texts] == ["1.5", "0.5"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b", "c"]


def test_effects_are_in_their_rows_with_a_colour_for_each_group_and_controls_grey():
    effect, source, destination = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.0]), torch.tensor([0.0, 1.0, 0.5])
    rows = {
        "·one → $": (effect, source, destination),
        "two": (-effect, source, destination),
        "three": (effect / 2, source),
    }
    ax = figures.circuits.effects(rows, ["found", "missed", "found"], x="nats", controls=["wrong", "elsewhere"])
    drawn = [container.lines[0] for container in ax.containers]
    assert [line.get_xdata()[0] for line in drawn] == [2, 0, 0.5, -2, 0, 0.5, 1, 0]
    assert [line.get_ydata()[0] for line in drawn] == pytest.approx([0, 0.22, 0.44, 1, 1.22, 1.44, 2, 2.22])
    colours = [to_rgba(line.get_color()) for line in drawn]
    expected = ("tab:blue", "silver", "dimgrey", "tab:orange", "silver", "dimgrey", "tab:blue", "silver")
    assert colours == [to_rgba(name) for name in expected]
    assert [label.get_text() for label in ax.get_yticklabels()] == list(rows)
    legend = ax.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["found", "missed", "wrong", "elsewhere"]
    shown = [tuple(handle.get_color()[0].tolist()) for handle in legend.legend_handles]
    assert shown == [to_rgba(name) for name in ("tab:blue", "tab:orange", "silver", "dimgrey")]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first row on top


def test_excerpts_say_each_number_in_its_place_on_one_scale():
    panels = {"QK": torch.tensor([[1.0, -2.0], [0.5, 0.0]]), "OV": torch.tensor([[4.0, 0.25, -4.0]])}
    axes = figures.circuits.excerpts(
        panels,
        [[" a", "$"], ["c"]],
        [["x", "\n"], ["u", "v", "w"]],
        axes_names=[("source", "destination"), ("out", "source")],
    )
    for ax, (title, values) in zip(axes, panels.items(), strict=True):
        assert ax.get_title() == title
        assert torch.equal(torch.as_tensor(ax.images[0].get_array()), values)
        assert ax.images[0].get_clim() == (-4, 4)
        said = {tuple(map(int, text.get_position()[::-1])): float(text.get_text()) for text in ax.texts}
        assert said == {(r, c): pytest.approx(values[r, c].item(), abs=0.06) for r, c in said}
        assert len(said) == values.numel()
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["·a", r"\$"]
    assert (axes[1].get_xlabel(), axes[1].get_ylabel()) == ("out", "source")


def test_ranked_bars_keep_their_order_and_say_their_values():
    panels = {"logits": (torch.tensor([2.0, 0.5, -1.0]), [" in", "$", "\n"]), "log-odds": (torch.tensor([]), [])}
    full, empty = figures.circuits.ranked(panels)
    assert [bar.get_width() for bar in full.patches] == [2.0, 0.5, -1.0]
    assert [bar.get_facecolor() for bar in full.patches] == [to_rgba(f"tab:{name}") for name in ("red", "red", "blue")]
    assert [text.get_text() for text in full.texts] == ["2.00", "0.50", "-1.00"]
    assert [label.get_text() for label in full.get_yticklabels()] == ["·in", r"\$", "⏎"]
    assert full.get_ylim() == empty.get_ylim() == (2.5, -0.5)  # the first row on top
    assert (full.get_xlabel(), empty.get_xlabel(), len(empty.patches)) == ("logits", "log-odds", 0)
