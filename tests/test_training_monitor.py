"""The training monitor in Python: its loop, what it obeys, refuses and stores, and what stands where no kernel runs."""

import asyncio
import base64
import json
import re
import runpy
import zlib
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient
from test_live import TINY, assert_same, trained, weights
from test_live import text as text  # the fixture

from walkthrough import export, figures, widgets
from walkthrough.training.live import LiveRun
from walkthrough.widgets import training_monitor

EACH = 64  # tokens in a step of TINY
same_but_for_last_digits = runpy.run_path(str(Path(__file__).parent.parent / "conftest.py"))["same_but_for_last_digits"]


@pytest.fixture
def monitor(text):
    return widgets.TrainingMonitor(LiveRun(TINY, text))


def unpack(packed):
    return json.loads(zlib.decompress(base64.b64decode(packed)))


def clicked(monitor, *clicks, at=3):
    """Have the page click when the run has taken some steps; what is replied to it."""
    replies, advance = [], monitor.live.advance
    training_monitor.SLICE = 0  # a step at a time
    monitor.send = lambda content, **_: replies.append(content)

    def step():
        loss = advance()
        if monitor.live.step == at:
            for i, click in enumerate(clicks):
                monitor.heard(monitor, {"id": i, **click}, [])
        return loss

    monitor.live.advance = step
    return replies


@pytest.fixture(autouse=True)
def slices(monkeypatch):
    """Of their own length again after a test."""
    monkeypatch.setattr(training_monitor, "SLICE", training_monitor.SLICE)


def test_a_monitored_run_is_the_same_run(monitor, text):
    asyncio.run(monitor.run(tokens=20 * EACH))
    assert monitor.live.step == 20
    assert_same(weights(monitor.live), weights(trained(LiveRun(TINY, text), 20)))


def test_tokens_are_those_still_to_come_and_a_run_ends_with_its_recipe(monitor):
    asyncio.run(monitor.run(tokens=10 * EACH - 5))
    assert monitor.live.step == 10
    asyncio.run(monitor.run(tokens=1))
    assert monitor.live.step == 11
    asyncio.run(monitor.run())
    assert monitor.live.step == TINY.steps
    with pytest.raises(ValueError, match="has taken all 60 steps of its recipe: make another LiveRun"):
        asyncio.run(monitor.run(tokens=1))


def test_when_is_measured_depends_on_the_run_alone(text, monkeypatch):
    histories = []
    for length in (0, 1000):
        monkeypatch.setattr(training_monitor, "SLICE", length)
        monitor = widgets.TrainingMonitor(LiveRun(TINY, text))
        asyncio.run(monitor.run(tokens=40 * EACH))
        histories.append([(m["step"], m["text_loss"]) for m in monitor.live.history])
    assert histories[0] == histories[1]
    steps = [step for step, _ in histories[0]]
    assert steps[0] == 0
    assert steps[-1] == 40
    assert set(range(0, 41, monitor.every)) <= set(steps)


def test_it_stops_once_a_head_matches_prefixes_so_well(monitor, monkeypatch):
    measure = monitor.live.measure

    def rising():
        found = measure()
        found["prefix_matching"] = [[0.0, 0.0], [0.0, monitor.live.step / 40]]
        return found

    monkeypatch.setattr(monitor.live, "measure", rising)
    asyncio.run(monitor.run(until=0.4))
    assert 16 <= monitor.live.step < 16 + monitor.every
    assert monitor.until == 0.4
    step = monitor.live.step
    asyncio.run(monitor.run(until=0.2))
    assert monitor.live.step == step
    monitor.live.ablate((1, 1))  # of those that work, none does
    monitor.measure(again=True)
    asyncio.run(monitor.run(tokens=5 * EACH, until=0.2))
    assert monitor.live.step == step + 5


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"tokens": -5}, "-5 tokens cannot be learnt from: give a number above 0"),
        ({"tokens": 0}, "0 tokens cannot"),
        ({"tokens": float("nan")}, "nan tokens cannot"),
        ({"tokens": float("inf")}, "inf tokens cannot"),
        ({"until": 0}, "a prefix-matching score lies between 0 and 1, and cannot reach 0"),
        ({"until": 40}, "cannot reach 40"),
    ],
)
def test_numbers_that_cannot_be_get_one_sentence(monitor, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        asyncio.run(monitor.run(**options))
    assert (monitor.live.step, monitor.live.history, monitor.live.watched) == (0, [], False)


@pytest.mark.parametrize(("tokens", "until"), [("many", None), (True, None), (None, "0.4"), (None, float("nan"))])
def test_what_is_no_number_gets_one_sentence(monitor, tokens, until):
    with pytest.raises(ValueError, match="cannot"):
        monitor.check(tokens, until)


@pytest.mark.parametrize("run", ["two-layer", None, 3])
def test_what_is_no_run_gets_one_sentence(run):
    with pytest.raises(ValueError, match=f"there is no training run in {type(run).__name__}: give a LiveRun"):
        widgets.TrainingMonitor(run)


def test_a_run_is_trained_by_one_at_a_time(monitor):
    other = widgets.TrainingMonitor(monitor.live)

    async def both():
        first = asyncio.ensure_future(monitor.run(tokens=20 * EACH))
        await asyncio.sleep(0)
        for second in (monitor, other):
            with pytest.raises(ValueError, match="this run is being trained already"):
                await second.run(tokens=EACH)
        await first

    asyncio.run(both())
    assert monitor.live.step == 20


def test_a_note_makes_room_for_the_answer_to_a_click(text):
    monitor = widgets.TrainingMonitor(LiveRun(TINY, text))
    monitor.note = "Interrupted"
    monitor.heard(monitor, {"id": 1, "do": "go"}, [])
    assert unpack(monitor.packed)["note"] == "Interrupted"
    monitor.heard(monitor, {"id": 2, "do": "ablate", "head": [1, 0]}, [])
    assert unpack(monitor.packed)["note"] == ""


@pytest.mark.parametrize("interrupt", [asyncio.CancelledError, KeyboardInterrupt])
def test_an_interrupt_loses_nothing(text, tmp_path, interrupt):
    monitor = widgets.TrainingMonitor(LiveRun(TINY, text, folder=tmp_path))
    advance = monitor.live.advance

    def broken():
        if monitor.live.step == 13:
            monitor.live.advance = advance
            raise interrupt
        return advance()

    monitor.live.advance = broken
    with pytest.raises(interrupt):
        asyncio.run(monitor.run(tokens=30 * EACH))
    assert monitor.live.history[-1]["step"] == 13
    assert unpack(monitor.packed)["note"].startswith("Interrupted, and nothing is lost")
    elsewhere = widgets.TrainingMonitor(LiveRun(TINY, text, folder=tmp_path))
    for again in (monitor, elsewhere):
        assert again.live.step == 13
        asyncio.run(again.run(tokens=17 * EACH))
        assert_same(weights(again.live), weights(trained(LiveRun(TINY, text), 30)))
        assert unpack(again.packed)["note"] == ""


def test_a_folder_that_is_gone_is_told_and_the_run_stays(text, tmp_path):
    monitor = widgets.TrainingMonitor(LiveRun(TINY, text, folder=tmp_path / "gone"))
    (tmp_path / "gone").rmdir()
    asyncio.run(monitor.run(tokens=EACH))
    assert (
        unpack(monitor.packed)["note"]
        == "The run is in memory only: it could not be saved (No such file or directory)."
    )
    assert monitor.live.step == 1


def test_a_head_is_ablated_between_two_steps_and_the_page_is_told(monitor, text):
    replies = clicked(monitor, {"do": "ablate", "head": [1, 0]}, {"do": "ablate", "head": [1, 0]}, at=5)
    asyncio.run(monitor.run(tokens=20 * EACH))
    (step, what, head), *more = monitor.live.edits
    assert (step, what, head, more) == (5, "ablate", (1, 0), [])
    assert replies == [{"id": 0, "said": "Head 1:0 ablated after 320 tokens."}, {"id": 1, "said": ""}]
    assert [m["silent"] for m in monitor.live.history if m["step"] == 5] == [[[1, 0]]]
    seen = unpack(monitor.packed)
    assert (seen["silent"], seen["marks"]) == (["1:0"], [[320, "ablate", "1:0"]])
    replayed = trained(LiveRun(TINY, text, edits=monitor.live.edits), 20)
    assert_same(weights(monitor.live), weights(replayed))


def test_between_cells_a_click_is_followed_at_once(monitor):
    asyncio.run(monitor.run(tokens=4 * EACH))
    replies = []
    monitor.send = lambda content, **_: replies.append(content)
    monitor.heard(monitor, {"id": 7, "do": "ablate", "head": [0, 1]}, [])
    assert monitor.live.silent == {(0, 1)}
    assert replies[0]["id"] == 7
    for do in ("pause", "stop", "go", "dance"):
        monitor.heard(monitor, {"id": 8, "do": do}, [])
    assert unpack(monitor.packed)["state"] == "resting"


def test_pause_waits_and_go_goes_on(monitor):
    clicked(monitor, {"do": "pause"})

    async def watch():
        training = asyncio.ensure_future(monitor.run(tokens=20 * EACH))
        while monitor.state != "paused" and not training.done():
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.1)
        step = monitor.live.step
        await asyncio.sleep(0.1)
        paused = unpack(monitor.packed)
        assert (paused["state"], paused["goal"], monitor.live.step) == ("paused", 20 * EACH, step)
        monitor.heard(monitor, {"id": 1, "do": "ablate", "head": [0, 0]}, [])
        monitor.heard(monitor, {"id": 2, "do": "go"}, [])
        await training
        return step

    step = asyncio.run(watch())
    assert monitor.live.edits == [(step, "ablate", (0, 0))]
    assert monitor.live.step == 20
    assert monitor.waited > 0.15


def test_stop_ends_the_cell_and_leaves_the_run(monitor):
    clicked(monitor, {"do": "stop"})
    asyncio.run(monitor.run(tokens=50 * EACH))
    assert 3 <= monitor.live.step < 50
    asyncio.run(monitor.run(tokens=2 * EACH))
    assert monitor.live.step < 50


def test_what_the_page_gets_are_the_measurements(monitor):
    asyncio.run(monitor.run(tokens=12 * EACH))
    seen, history = unpack(monitor.packed), monitor.live.history
    assert seen["tokens"] == [m["tokens"] for m in history]
    assert seen["loss"]["second copy"] == [round(m["second_copy_loss"], 3) for m in history]
    assert seen["prefix_matching"] == [[round(x, 4) for row in m["prefix_matching"] for x in row] for m in history]
    assert len(monitor.packed) < 10_000
    words = len(seen["words"])
    patterns = torch.cat(monitor.live.patterns(monitor.prompt[None])[1], 1)[0]
    stored = np.frombuffer(base64.b64decode(seen["patterns"][str(len(history) - 1)]), np.uint8)
    expected = torch.stack([p[q, k] for p in patterns for q in range(words) for k in range(q + 1)])
    assert np.abs(stored / 100 - expected.numpy()).max() < 0.0051
    assert seen["words"][1 : 1 + seen["length"]] == seen["words"][1 + seen["length"] :]


def test_a_page_at_rest_knows_nothing_of_the_time_it_took(text):
    packed = set()
    for _ in range(2):
        monitor = widgets.TrainingMonitor(LiveRun(TINY, text))
        asyncio.run(monitor.run(tokens=12 * EACH))
        packed.add(monitor.packed)
    assert len(packed) == 1
    assert repr(monitor) == "TrainingMonitor(2 layers of 2 heads)"


def test_of_many_measurements_some_patterns_are_kept(monitor):
    monitor.every = 1
    asyncio.run(monitor.run(tokens=50 * EACH))
    kept = [int(i) for i in unpack(monitor.packed)["patterns"]]
    assert len(kept) == 24
    assert (kept[0], kept[-1]) == (0, 50)


def test_the_still_picture_and_the_tables_say_what_was_measured(monitor):
    monitor.live.ablate((0, 1))
    asyncio.run(monitor.run(tokens=12 * EACH))
    last, said = monitor.live.history[-1], monitor.described()
    assert f"to {last['text_loss']:.2f} nats" in said
    assert "after 768 tokens" in said
    assert said.endswith("Head 0:1 was ablated after 0 tokens.")
    best = max(
        (x, f"{i}:{j}") for i, row in enumerate(last["prefix_matching"]) for j, x in enumerate(row) if (i, j) != (0, 1)
    )
    assert f"The highest prefix-matching score of a working head is that of head {best[1]}, {best[0]:.2f}" in said
    assert '<th scope="row">0:1 (ablated)</th>' in monitor.tables()
    axes = monitor.still()
    assert len(axes) == 4
    assert f"head {best[1]}" in axes[1].get_title()
    assert [text.get_text() for text in axes[0].texts] == ["ablate 0:1"]
    plt.close("all")
    page = monitor.page()
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace("python -m http.server", "")
    assert page.count("</script>") == 2
    assert len(base64.b64decode(re.search(r'src="data:image/png;base64,([^"]+)"', page)[1])) < 80_000


def test_before_anything_is_measured_there_is_a_sentence(monitor):
    assert "Nothing is measured yet" in monitor.page()
    with pytest.raises(ValueError, match="nothing is measured yet"):
        monitor.still()


def test_on_an_old_kernel_the_page_says_when_clicks_are_heard(monitor, monkeypatch):
    monkeypatch.setattr(training_monitor.ipykernel, "version_info", (6, 31, 0))
    seen, push = [], monitor.push
    monkeypatch.setattr(monitor, "push", lambda: (push(), seen.append(unpack(monitor.packed))))
    monkeypatch.setattr(training_monitor, "REDRAW", 0)
    asyncio.run(monitor.run(tokens=3 * EACH))
    assert "hears no click before the cell has ended" in seen[0]["waits"]


def test_tests_of_notebooks_can_shorten_every_run(monitor, monkeypatch):
    monkeypatch.setenv("WALKTHROUGH_LIVE_TOKENS", str(5 * EACH))
    asyncio.run(monitor.run(tokens=40 * EACH))
    assert monitor.live.step == 5
    asyncio.run(monitor.run())
    assert monitor.live.step == 10


def test_figures_take_lists_and_name_every_head():
    scores = [[[0.0, 0.1], [0.2, 0.3]], [[0.1, 0.1], [0.2, 0.9]], [[0.1, 0.1], [0.2, 0.95]]]
    tokens = [1000, 100_000, 3_000_000]
    ax = figures.training.head_scores(
        tokens, scores, y="score", marks=[(100_000, "ablate 1:0")], silent=[(1, 0)], line=0.5, log_x=True
    )
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["0:0", "0:1", "1:0 (ablated)", "1:1"]
    assert ax.get_xscale() == "log"
    assert list(ax.lines[3].get_ydata()) == [0.3, 0.9, 0.95]
    ax = figures.training.losses(tokens, {"text": [3.0, 2.0, 1.0]})
    ax.figure.canvas.draw()
    assert "2M" in [label.get_text() for label in ax.get_xticklabels()]
    plt.close("all")


CELLS = [
    f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom test_live import *\nfrom walkthrough import widgets\n"
    "monitor = widgets.TrainingMonitor(LiveRun(TINY, sequences()))",
    "await monitor.run(tokens=640)",
    "monitor.live.ablate((0, 0))\nawait monitor.run(tokens=640)",
]


def test_in_a_notebook_there_is_a_widget_and_below_it_a_page_for_where_there_is_none():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    NotebookClient(notebook, kernel_name="python3", timeout=300).execute()
    for cell in notebook.cells[1:]:
        widget, page = (output.data for output in cell.outputs)
        assert widget["text/plain"] == page["text/plain"] == "TrainingMonitor(2 layers of 2 heads)"
        assert widget["text/html"] == '<div class="wt-live"></div>'
        assert "<img " in page["text/html"]
        assert all(export.WIDGET_VIEW in data for data in (widget, page))
    first, second = (cell.outputs[1].data["text/html"] for cell in notebook.cells[1:])
    assert "Head 0:0 was ablated" in second
    assert "Head 0:0 was ablated" not in first
    assert same_but_for_last_digits(first, second)  # another processor may train another model
    assert not same_but_for_last_digits(first, second.replace("data-chaotic", ""))
    exported = export.without_widgets(notebook)
    assert ["<img " in cell.outputs[1].data["text/html"] for cell in exported.cells[1:]] == [True, True]
