"""Drawings say the sizes they were given, draw as many parts as there are, and can be read: nothing overlaps, nothing is cut."""

import math
import re
from itertools import combinations

import matplotlib.pyplot as plt
import pytest
from matplotlib.patches import FancyArrowPatch
from matplotlib.path import Path

from walkthrough import figures

LINE = ["<BOS>", "first", " =", " load", "_", "table", "(", "name", ")", "\n", "second", " =", " load", "_"]
WORDS = ["with", " open", "(", "path", ","]
CASES = {
    "stream-0": ("residual_stream", {"n_layers": 0, "n_heads": 8}),
    "stream-1": ("residual_stream", {"n_layers": 1, "n_heads": 8}),
    "stream-2": ("residual_stream", {"n_layers": 2, "n_heads": 8}),
    "stream-virtual": ("residual_stream", {"n_layers": 2, "n_heads": 8, "writes": [(0, 3)], "reads": [(1, 5)]}),
    "stream-4": ("residual_stream", {"n_layers": 2, "n_heads": 4, "writes": [(0, 3)]}),
    "stream-12": ("residual_stream", {"n_layers": 12, "n_heads": 12, "writes": [(4, 7)], "reads": [(5, 1)]}),
    "head": ("head", {"d_model": 256, "d_head": 32}),
    "head-vocab": ("head", {"d_model": 256, "d_head": 32, "d_vocab": 4096}),
    "head-gpt2": ("head", {"d_model": 768, "d_head": 64, "d_vocab": 50257}),
    "Q": ("composition", {"kind": "Q"}),
    "K": ("composition", {"kind": "K"}),
    "V": ("composition", {"kind": "V"}),
    "direct": ("direct_path", {"d_vocab": 4096, "d_model": 256}),
    "direct-gpt2": ("direct_path", {"d_vocab": 50257, "d_model": 768}),
    "rank": ("low_rank", {"rows": 256, "columns": 256, "rank": 32, "names": ("$W_{OV}$", "$W_V$", "$W_O$")}),
    "rank-flat": ("low_rank", {"rows": 300, "columns": 1000, "rank": 3}),
    "rank-upright": ("low_rank", {"rows": 4096, "columns": 512, "rank": 256, "names": ("$W$", "$a$", "$b$")}),
    "two": ("two_by_two", {"source": "keep", "destinations": ("in", "at"), "outs": ("mind", "bay"),
                           "looks": (0.8, 0.5), "moved": (3, 2)}),
    "frozen-1": ("freezing", {"n_layers": 1}),
    "frozen-2": ("freezing", {"n_layers": 2}),
    "paths-1": ("path_expansion", {"n_layers": 1, "n_heads": 8}),
    "paths-1-4": ("path_expansion", {"n_layers": 1, "n_heads": 4}),
    "paths-2": ("path_expansion", {"n_layers": 2, "n_heads": 8}),
    "paths-2-4": ("path_expansion", {"n_layers": 2, "n_heads": 4}),
    "paths-2-1": ("path_expansion", {"n_layers": 2, "n_heads": 1}),
    "paths-2-12": ("path_expansion", {"n_layers": 2, "n_heads": 12}),
    "paths-3": ("path_expansion", {"n_layers": 3, "n_heads": 4}),
    "orders": ("ordered_runs", {}),
    "tangent": ("tangent_force", {}),
    "layers": ("layers_as_time", {}),
    "layers-1": ("layers_as_time", {"n_layers": 1}),
    "transition": ("transition", {}),
    "routes": ("two_routes", {"names": ("a", "b"), "losses": (1.74, 0.92, 0.63, 0.36)}),
    "routes-worse": ("two_routes", {"names": ("0:7", "1:6"), "losses": (0.5, 12.25, 10.0, 3.0)}),
    "blocks-3": ("kronecker", {"n_pos": 3, "d_model": 256}),
    "blocks-4": ("kronecker", {"n_pos": 4, "d_model": 128, "name": "W"}),
    "blocks-6": ("kronecker", {"n_pos": 6, "d_model": 256}),
    "arcs": ("arcs", {"tokens": LINE, "arcs": [(13, 5, "looks back"), (5, 14, "says it")], "predicted": "table"}),
    "arcs-shares": ("arcs", {"tokens": LINE, "arcs": [(13, 5, "0.84"), (13, 0, "0.08")], "colours": ["QK", "QK"]}),
    "arcs-skip": ("arcs", {"tokens": WORDS, "arcs": [(4, 1, "attends"), (1, 5, "moves")], "predicted": ' "r'}),
    "arcs-none": ("arcs", {"tokens": ["$x", "\t"], "arcs": []}),
    "arcs-long": ("arcs", {"tokens": ["a", "b"], "arcs": [(1, 0, "a label that is longer than all the text " * 2)]}),
    "tokens": ("tokens_to_logits", {"pieces": WORDS[:4], "d_model": 256, "d_vocab": 4096, "ids": [7, 64, 4095, 0],
                                    "likely": {",": 0.6, " collections": 0.25, "\n": 0.03, ")": 0.01}}),
    "tokens-bare": ("tokens_to_logits", {"pieces": ["def"], "d_model": 256, "d_vocab": 4096}),
    "tokens-many": ("tokens_to_logits", {"pieces": [*WORDS, " collections", "\n", "x"], "d_model": 64, "d_vocab": 512}),
    "rotation": ("rotation", {}),
    "rotation-20": ("rotation", {"degrees": 20}),
    "subspaces": ("subspaces", {}),
    "mixtures": ("mixtures", {"panels": {"longer": (((3, 1), (1, 3)), [(0.7, 0.7), (0.7, -0.7)]), "turned": (((1, 3), (-3, 1)),
                              [(1, 0), (0, 1)])}, "names": ("if", "else")}),
    "force": ("force_on_sphere", {"towards": 0.45, "radial": 0.3, "sideways": 0.9}),
    "force-away": ("force_on_sphere", {"towards": -0.5, "radial": 0, "sideways": 0.2}),
    "today": ("todays_layer", {}),
    "planes": ("turning_planes", {}),
    "planes-2": ("turning_planes", {"base": 10_000, "d_head": 32, "planes": (0, 15)}),
    "groups": ("shared_keys", {}),
    "groups-4": ("shared_keys", {"n_heads": 4, "n_groups": 2}),
    "edit": ("smallest_edit", {}),
    "used": ("used_directions", {}),
    "swapped": ("swapped_heads", {}),
    "swapped-3": ("swapped_heads", {"n_heads": 3}),
    "bench": ("bench", {"d_vocab": 50, "n_ctx": 61}),
    "bench-large": ("bench", {"d_vocab": 50257, "n_ctx": 1024}),
}  # fmt: skip


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def draw(name, /, **how):
    given = [how.pop(key) for key in ("tokens", "arcs", "kind", "pieces") if key in how]
    ax = getattr(figures.diagrams, name)(*given, **how)
    ax.figure.draw_without_rendering()
    return ax


def texts(ax):
    return [text for text in ax.texts if text.get_text()]


def words(ax):
    return "\n".join(text.get_text() for text in texts(ax))


def numbers(ax):
    """Every whole number that stands in a drawing."""
    return {int(found.replace(",", "")) for found in re.findall(r"\d[\d,]*", words(ax))}


def kind(ax, name):
    return [patch for patch in ax.patches if patch.get_gid() == name]


def line(arrow):
    """The points of an arrow's line, without those of its tip."""
    path = arrow.get_path()
    starts = [i for i, code in enumerate(path.codes) if code == path.MOVETO]
    return path.vertices[: starts[1]] if len(starts) > 1 else path.vertices


def extent(artist):
    return artist.get_window_extent(artist.figure.canvas.get_renderer())


def inside(box, around):
    return box.x0 > around.x0 - 1 and box.x1 < around.x1 + 1 and box.y0 > around.y0 - 1 and box.y1 < around.y1 + 1


@pytest.mark.parametrize("case", CASES)
def test_everything_can_be_read(case):
    name, how = CASES[case]
    ax = draw(name, **how)
    boxes = {text: extent(text) for text in texts(ax)}
    assert min(text.get_fontsize() for text in boxes) >= 8
    for one, other in combinations(boxes, 2):
        assert not boxes[one].overlaps(boxes[other]), (one.get_text(), other.get_text())
    for artist in [*boxes, *ax.patches]:
        assert artist.get_clip_path() or inside(extent(artist), ax.figure.bbox), artist
    shapes = [(patch, extent(patch)) for patch in ax.patches if not isinstance(patch, FancyArrowPatch)]
    drawn = [(Path(ax.transData.transform(one.get_xydata())), one.zorder) for one in ax.lines]
    arrows = [one for one in ax.patches if isinstance(one, FancyArrowPatch) and not one.get_clip_path()]
    drawn += [(Path(ax.transData.transform(line(arrow))), arrow.zorder) for arrow in arrows]
    for text, box in boxes.items():
        centre = ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
        around = [(b.width * b.height, patch.zorder, b) for patch, b in shapes if b.contains(*centre)]
        around = min(around, key=lambda found: found[0], default=(0, 0, ax.figure.bbox))
        assert inside(box, around[2]), f"{text.get_text()} is larger than what it stands in"
        if text.get_bbox_patch() is None:  # a label on its own ground may lie on a line
            crossed = [
                points
                for points, level in drawn
                if level >= around[1]
                and (points.intersects_bbox(box, filled=False) or box.contains(*points.vertices[0]))
            ]
            assert not crossed, f"{text.get_text()} is crossed"


def widths(ax):
    return [one.get_linewidth() for one in [*ax.lines, *ax.patches] if one.get_linestyle() != "None"]


@pytest.mark.parametrize("case", ["head-vocab", "paths-2", "arcs", "Q"])
def test_a_drawing_goes_into_given_axes_and_looks_the_same_whatever_the_settings(case):
    name, how = CASES[case]
    with plt.rc_context({"font.size": 20, "font.family": "serif", "lines.linewidth": 7, "axes.facecolor": "black"}):
        alone = draw(name, **how)
        given = plt.subplots(1, 2)[1][1]
        assert draw(name, **how, ax=given) is given
    plain = draw(name, **how)
    look = [(text.get_text(), text.get_position(), text.get_fontsize(), text.get_family()) for text in plain.texts]
    for ax in (alone, given):
        assert [(t.get_text(), t.get_position(), t.get_fontsize(), t.get_family()) for t in ax.texts] == look
        assert widths(ax) == widths(plain)


WRONG = {
    "n_heads is 0": ("residual_stream", {"n_layers": 2, "n_heads": 0}),
    "no head 1:8": ("residual_stream", {"n_layers": 2, "n_heads": 8, "reads": [(1, 8)]}),
    "no head 2:0": ("residual_stream", {"n_layers": 2, "n_heads": 8, "writes": [(2, 0)]}),
    "d_head is 0": ("head", {"d_model": 256, "d_head": 0}),
    "d_vocab is 0": ("head", {"d_model": 256, "d_head": 32, "d_vocab": 0}),
    "not 'O'": ("composition", {"kind": "O"}),
    "d_model is -1": ("direct_path", {"d_vocab": 4096, "d_model": -1}),
    "no rank of 5": ("low_rank", {"rows": 4, "columns": 9, "rank": 5}),
    "rows is 0": ("low_rank", {"rows": 0, "columns": 9, "rank": 5}),
    "n_layers is 0": ("freezing", {"n_layers": 0}),
    "n_heads is -8": ("path_expansion", {"n_layers": 2, "n_heads": -8}),
    "4 layers": ("path_expansion", {"n_layers": 4, "n_heads": 2}),
    "n_pos is 0": ("kronecker", {"n_pos": 0, "d_model": 2}),
    "9 positions": ("kronecker", {"n_pos": 9, "d_model": 2}),
    "from 0 to 3": ("arcs", {"tokens": ["a", "b", "c"], "arcs": [(0, 3, "")]}),
    "from -1 to 2": ("arcs", {"tokens": ["a", "b", "c"], "arcs": [(-1, 2, "")]}),
    "1 colours do not fit 2": ("arcs", {"tokens": ["a", "b"], "arcs": [(0, 1, "")] * 2, "colours": ["QK"]}),
    "no tokens": ("arcs", {"tokens": [], "arcs": []}),
    "pieces is 0": ("tokens_to_logits", {"pieces": [], "d_model": 2, "d_vocab": 9}),
    "2 ids do not fit 1": ("tokens_to_logits", {"pieces": ["a"], "d_model": 2, "d_vocab": 9, "ids": [1, 2]}),
    "n_heads is 1": ("swapped_heads", {"n_heads": 1}),
    "among the 9": ("tokens_to_logits", {"pieces": ["a"], "d_model": 2, "d_vocab": 9, "ids": [9]}),
}


@pytest.mark.parametrize("problem", WRONG)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(problem):
    name, how = WRONG[problem]
    with pytest.raises(ValueError, match=re.escape(problem)) as error:
        draw(name, **how)
    assert len(str(error.value).split()) > 5
    assert not plt.get_fignums()  # and nothing half drawn is left


def test_the_stream_has_every_head_by_its_name():
    ax = draw("residual_stream", n_layers=2, n_heads=3)
    assert re.findall(r"\d:\d", words(ax)) == ["0:0", "0:1", "0:2", "1:0", "1:1", "1:2"]
    assert (len(kind(ax, "head")), len(kind(ax, "sign +")), len(kind(ax, "matrix"))) == (6, 2, 2)
    assert kind(ax, "picked") == kind(ax, "between") == []


def test_a_head_that_writes_and_a_later_one_that_reads_are_joined_along_the_stream():
    ax = draw("residual_stream", n_layers=2, n_heads=4, writes=[(0, 1)], reads=[(1, 2), (0, 2)])
    assert (len(kind(ax, "picked")), len(kind(ax, "between"))) == (3, 1)
    ups = [text.get_position()[1] for text in texts(ax) if text.get_text() in ("0:1", "1:2")]
    (low, high) = line(kind(ax, "between")[0])[:, 1]
    assert ups[0] < low < high < ups[1]
    assert kind(draw("residual_stream", n_layers=2, n_heads=4, writes=[(1, 1)], reads=[(0, 2)]), "between") == []


def test_a_large_model_is_shortened_and_says_its_size():
    ax = draw(*CASES["stream-12"][:1], **CASES["stream-12"][1])
    assert {"0:0", "4:7", "5:1", "11:11"} <= set(re.findall(r"\d+:\d+", words(ax)))
    assert "of 12 in all" in words(ax)
    assert len(kind(ax, "sign +")) == len(re.findall(r"layer \d+", words(ax))) == 5


def test_a_head_says_its_sizes_and_no_others():
    ax = draw("head", d_model=192, d_head=24)
    assert numbers(ax) == {192, 24, 0, 1}  # attention is from 0 to 1
    assert words(ax).count("[192 × 24]") == 3
    assert words(ax).count("[24 × 192]") == 1
    assert len(kind(ax, "matrix")) == 4
    ax = draw("head", d_model=192, d_head=24, d_vocab=5000)
    assert numbers(ax) == {192, 24, 5000, 0, 1}
    assert [words(ax).count(shape) for shape in ("[5000 × 5000]", "[5000 × 192]", "[192 × 5000]")] == [2, 2, 1]


def test_a_heads_matrices_are_as_high_as_the_spaces_that_they_join():
    ax = draw("head", d_model=200, d_head=80)
    for matrix in kind(ax, "matrix"):
        corners = matrix.get_xy()[:4]
        sides = sorted([corners[1][1] - corners[0][1], corners[2][1] - corners[3][1]])
        assert sides[0] / sides[1] == pytest.approx(80 / 200)


@pytest.mark.parametrize("which", "QKV")
def test_composition_picks_out_the_port_that_reads_what_was_written(which):
    ax = draw("composition", kind=which)
    (picked,) = kind(ax, "picked")
    bold = [text for text in texts(ax) if text.get_weight() == "bold" and len(text.get_text()) == 1]
    assert [text.get_text() for text in bold] == [which]
    assert line(picked)[0, 1] == pytest.approx(bold[0].get_position()[1])
    streams = {text.get_text(): text.get_position()[0] for text in texts(ax)}
    reads = "destination" if which == "Q" else "source"
    assert line(picked)[0, 0] == pytest.approx(streams[reads])
    written = min((patch.center for patch in kind(ax, "sign +")), key=lambda centre: centre[1])
    assert written[0] == pytest.approx(streams[reads])
    assert len(kind(ax, "port")) == 2
    assert f"{which}-composition" in words(ax)


def test_the_whole_way_of_a_virtual_head_is_picked_out():
    ax = draw("composition", kind="V")
    thick = [line(patch) for patch in ax.patches if isinstance(patch, FancyArrowPatch) and patch.get_linewidth() == 3]
    streams = {text.get_text(): text.get_position()[0] for text in texts(ax)}
    assert min(points[0, 0] for points in thick) == pytest.approx(streams["earlier position"])
    assert max(points[-1, 0] for points in thick) == pytest.approx(streams["destination"], abs=0.2)
    assert len(thick) == 6


def test_a_table_and_its_factors_are_to_scale_and_counted():
    ax = draw("low_rank", rows=100, columns=200, rank=25, names=("$T$", "$a$", "$b$"))
    sizes = {name: extent(kind(ax, f"table [{name}]")[0]) for name in ("100 × 200", "100 × 25", "25 × 200")}
    unit = sizes["100 × 200"].width / 200
    for name, box in sizes.items():
        rows, columns = map(int, name.split(" × "))
        assert (box.height, box.width) == pytest.approx((unit * rows, unit * columns), rel=0.05)  # lines have a width
    assert numbers(ax) == {100, 200, 25, 100 * 200, 100 * 25 + 25 * 200}


def test_the_direct_path_says_its_sizes_and_what_is_saved():
    ax = draw("direct_path", d_vocab=3000, d_model=150)
    assert numbers(ax) == {3000, 150, 9_000_000, 900_000}
    assert [words(ax).count(shape) for shape in ("[3000 × 150]", "[150 × 3000]", "[3000 × 3000]")] == [2, 2, 1]


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_each_layer_has_a_pattern_that_is_stored_and_one_that_is_forced(n_layers):
    ax = draw("freezing", n_layers=n_layers)
    assert (len(kind(ax, "store")), len(kind(ax, "pattern")), len(kind(ax, "sign +"))) == (
        n_layers,
        2 * n_layers,
        2 * n_layers,
    )
    assert sum(one.get_gid() == "snowflake" for one in ax.lines) == n_layers
    assert [int(n) for n in re.findall(r"layer (\d)", words(ax))] == (list(range(n_layers)) if n_layers > 1 else [])
    assert words(ax).count("frozen") == words(ax).count("result not used") == n_layers


def routes(ax):
    """Walks from W_E to W_U along the branches and through the heads that they end and begin at, counted."""
    heads = [
        (p.get_x(), p.get_x() + p.get_width(), p.get_y() + p.get_height() / 2) for p in kind(ax, "head in the sum")
    ]
    meets = lambda point, side: next((h for h in heads if math.dist(point, (h[side], h[2])) < 1e-3), None)
    branches = [(meets(line(b)[0], 1), meets(line(b)[-1], 0)) for b in kind(ax, "branch")]
    into = lambda goal: sum(1 if start is None else into(start) for start, end in branches if end == goal)
    return into(None)


@pytest.mark.parametrize(("n_layers", "n_heads"), [(1, 4), (1, 8), (2, 1), (2, 4), (2, 8), (3, 2)])
def test_as_many_paths_are_drawn_as_there_are(n_layers, n_heads):
    ax = draw("path_expansion", n_layers=n_layers, n_heads=n_heads)
    assert routes(ax) == (1 + n_heads) ** n_layers
    assert f"= {(1 + n_heads) ** n_layers} paths" in words(ax)
    assert len(kind(ax, "head in the product")) == n_layers * n_heads
    if n_layers == 2:
        assert f"{n_heads**2} virtual head{'s' * (n_heads > 1)}:\n{n_heads} × {n_heads}" in words(ax)


def test_past_eight_heads_the_paths_are_still_counted():
    ax = draw("path_expansion", n_layers=2, n_heads=12)
    assert routes(ax) == (1 + 7) ** 2  # seven are drawn
    assert {"12 heads\nof layer 0", "144 virtual heads:\n12 × 12"} <= {text.get_text() for text in texts(ax)}
    assert "= 169 paths" in words(ax)


@pytest.mark.parametrize("n_pos", [1, 3, 5])
def test_blocks_are_as_many_as_pairs_of_a_query_and_a_key_not_after_it(n_pos):
    ax = draw("kronecker", n_pos=n_pos, d_model=100, name="M")
    pairs = n_pos * (n_pos + 1) // 2
    assert len(kind(ax, "block")) == 2 * pairs  # in the pattern and in the product
    assert len(kind(ax, "empty block")) == 2 * (n_pos**2 - pairs)
    assert {f"[{n} × {n}]" for n in (n_pos, 100, 100 * n_pos)} <= {text.get_text() for text in texts(ax)}
    blocks = {text.get_text(): text.get_position() for text in texts(ax) if text.get_text().endswith("M$")}
    assert len(blocks) == pairs + 1  # and the map's own name
    if n_pos > 1:
        assert blocks["$A_{10}M$"][1] < blocks["$A_{00}M$"][1]  # a later query stands lower
        assert blocks["$A_{10}M$"][0] == pytest.approx(blocks["$A_{00}M$"][0])


def test_arrows_lead_from_token_to_token_under_their_labels():
    given = [(4, 1, "attends"), (1, 5, "moves"), (4, 4, "itself"), (2, 3, "next")]
    ax = draw("arcs", tokens=WORDS, arcs=given, predicted="$r\n")
    boxes = [*kind(ax, "token"), *kind(ax, "predicted")]
    assert [text.get_text() for text in texts(ax)][: 2 * len(boxes) : 2] == ["with", "·open", "(", "path", ",", "\\$r⏎"]
    assert (len(kind(ax, "token")), len(kind(ax, "predicted"))) == (5, 1)
    assert kind(ax, "predicted")[0].get_linestyle() != kind(ax, "token")[0].get_linestyle()
    for (start, end, label), arc in zip(given, kind(ax, "arc"), strict=True):
        points = line(arc)
        for token, x in ((start, points[0, 0]), (end, points[-1, 0])):
            assert boxes[token].get_x() < x < boxes[token].get_x() + boxes[token].get_width(), label
        (text,) = (text for text in texts(ax) if text.get_text() == label)
        assert 0 < text.get_position()[1] - points[:, 1].max() < 0.2


def test_nested_arrows_do_not_meet():
    ax = draw("arcs", tokens=list("abcdefgh"), arcs=[(7, 0, "far"), (7, 3, "near"), (2, 0, "left"), (3, 4, "right")])
    paths = [Path(line(arc)) for arc in kind(ax, "arc")]
    assert not any(one.intersects_path(other, filled=False) for one, other in combinations(paths, 2))


def test_arrows_take_the_colours_that_they_are_given():
    ax = draw(
        "arcs", tokens=["a", "b"], arcs=[(0, 1, "one"), (1, 0, "two"), (1, 1, "three")], colours=["QK", "OV", "red"]
    )
    looking, moving, red = kind(ax, "arc")
    assert looking.get_linestyle() != moving.get_linestyle()  # to be told apart without colours
    assert red.get_edgecolor()[:3] == (1, 0, 0)


def test_tokens_show_their_ids_and_the_likely_ones_their_chances():
    likely = {",": 0.5, " x": 0.25, "$": 0.0}
    ax = draw("tokens_to_logits", pieces=["def", " f", "("], d_model=48, d_vocab=600, ids=[30, 8, 599], likely=likely)
    assert {"30", "8", "599", "0.50", "0.25", "0.00", ",", "·x", "\\$"} <= {text.get_text() for text in texts(ax)}
    assert "48 numbers" in words(ax)
    assert "600 logits" in words(ax)
    bars = [bar.get_width() for bar in kind(ax, "chance")]
    assert [bar / bars[0] for bar in bars] == pytest.approx([1, 0.5, 0])
    assert (len(kind(ax, "token")), len(kind(ax, "moves"))) == (3, 2)


@pytest.mark.parametrize("degrees", [0, 35, -120])
def test_turned_coordinates_are_those_of_the_same_arrows(degrees):
    ax = draw("rotation", degrees=degrees)
    given = re.findall(r"[ab] = \((-?[\d.]+), (-?[\d.]+)\), length ([\d.]+)", words(ax))
    numbers = [tuple(map(float, found)) for found in given]
    assert numbers[:2] == [(2, 1, 2.24), (-0.5, 1.5, 1.58)]
    for (x, y, length), (across, up, same) in zip(numbers[:2], numbers[2:], strict=True):
        turned = complex(across, up) * complex(math.cos(math.radians(degrees)), math.sin(math.radians(degrees)))
        assert (turned.real, turned.imag) == pytest.approx((x, y), abs=0.01)
        assert length == same
    assert re.findall(r"dot product of a and b: (.*)", words(ax)) == ["0.50", "0.50"]
    tails = [line(arrow)[0] for arrow in kind(ax, "direction")]
    tips = [arrow.get_path().vertices[:, 0].max() for arrow in kind(ax, "direction")]
    assert tips[0] - tails[0][0] == pytest.approx(tips[2] - tails[2][0], abs=0.01)  # the arrows themselves stay


def test_the_runs_keep_in_one_step_what_the_next_one_passes_on():
    ax = draw("ordered_runs")
    kinds = [patch.get_gid() for patch in ax.patches]
    assert kinds.count("heads") == 6
    assert kinds.count("kept") == 4  # two layers, in steps 2 and 3
    assert kinds.count("passed on") == 2 + 4  # zeros in step 2, then what was kept
    said = words(ax)
    for paths in ("direct", "direct, 0, 1", "direct, 0, 1, 0 → 1", "loss up to order 1"):
        assert paths in said.split("\n")


def test_two_routes_say_the_gain_of_each_step():
    said = words(draw("two_routes", names=("a", "b"), losses=(2.0, 1.5, 1.0, 0.9)))
    for text in ("loss 2.00", "loss 0.90", "a alone\nwins 0.50", "b alone\nwins 1.00", "b given a\nwins 0.60"):
        assert text in said
    assert "a given b\nwins 0.10" in said


def test_a_source_joins_each_destination_with_each_out_and_crossed_products_are_marked():
    ax = draw("two_by_two", source="s", destinations=("b", "d"), outs=("c", "e"), looks=(0.5, 0.25), moved=(2, -4))
    assert [len(kind(ax, name)) for name in ("looks", "moves", "right", "crossed")] == [2, 2, 2, 2]
    assert {"+1", "-2", "+0.5", "-1"} <= {text.get_text() for text in texts(ax)}


def test_the_parts_of_a_force_add_up_to_it_in_both_views():
    ax = draw("force_on_sphere", towards=-0.5, radial=0.3, sideways=0.8)
    tips = {name: [line(arrow)[-1] - line(arrow)[0] for arrow in kind(ax, name)] for name in
            ("force", "towards", "radial", "sideways")}  # fmt: skip
    assert tips["force"][0].tolist() == pytest.approx((tips["towards"][0] + tips["radial"][0]).tolist(), abs=0.05)
    assert tips["force"][1].tolist() == pytest.approx((tips["towards"][1] + tips["sideways"][0]).tolist(), abs=0.05)
    with pytest.raises(ValueError, match="numbers from -1 to 1"):
        draw("force_on_sphere", towards=2, radial=0, sideways=0)
