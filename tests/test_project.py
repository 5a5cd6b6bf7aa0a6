"""The first steps of the projects that end the course: what they name is there, and what they say of it is so."""

import dataclasses
import importlib
import re

import nbformat
import numpy as np
import pytest
import torch

from walkthrough import corpus
from walkthrough.beyond import bench, biases, editing, removals
from walkthrough.training import live
from walkthrough.training.recipes import LIVE


@pytest.fixture(scope="module")
def text(request):
    return (request.config.rootpath / "notebooks" / "project.md").read_text(encoding="utf-8")


def test_what_the_projects_name_is_there(text):
    rooms = {"biases": "beyond.biases", "removals": "beyond.removals", "corpus": "corpus", "live": "training.live",
             "editing": "beyond.editing"}  # fmt: skip
    named = re.findall(r"`(?:walkthrough\.)?((?:\w+\.)*\w+)[`(]", text)
    attributes = [name.split(".") for name in named if name.split(".")[0] in rooms]
    assert len(attributes) >= 7
    for room, *rest in attributes:
        value = importlib.import_module(f"walkthrough.{rooms[room]}")
        for name in rest:
            value = getattr(value, name)
    assert hasattr(editing, "random_edit")
    assert "random_edit" in named
    for module in re.findall(r"`(walkthrough\.[\w.]+)`", text):
        importlib.import_module(module)


def test_an_edit_is_measured_on_windows_that_hold_its_source(text):
    lab = bench.Bench(n_cost=8)
    counts = [(lab.contexts == bias.ids(lab.model)[0]).any(1).sum() for bias in biases.BIASES]
    assert min(counts) == 0
    assert sum(0 < count < 7 for count in counts) >= 2
    assert "hold some sources six times and others never" in text
    bias = biases.BIASES[0]
    source, destination, (out,) = bias.ids(lab.model)
    packages = re.search(r"corpus\.documents\(\[(.+?)\]\)", text)[1].replace('"', "").split(", ")
    docs = (code for _, code in corpus.documents(packages, limit=300_000))
    rows = corpus.windows(docs, lab.model.tokenizer.backend_tokenizer).long()
    rows = rows[(rows == source).any(1)][:8]
    assert len(rows)
    edit = removals.removal(
        lab.model, lab.share, (source, destination, out), editing.stream_moment(lab.model, 1, rows[:, :-1])
    )
    before = editing.losses_by_window(lab.model, rows)
    with editing.edited(lab.model, editing.random_edit(lab.model, edit, 0)):
        assert not editing.losses_by_window(lab.model, rows).equal(before)
    with pytest.raises(ValueError, match="no window"):
        editing.losses_by_window(lab.model, rows[:0])


def test_a_text_of_ones_own_trains_a_live_run(text):
    assert "`live.LiveRun(dataclasses.replace(LIVE, seed=1), text)`" in text
    prose = [" ".join(f"word{i * j % 97} and another" for i in range(2000)) for j in range(1, 9)]
    tokenizer = corpus.learn_tokenizer(prose, LIVE.d_vocab)
    rows, kept = (
        corpus.windows(prose[1:], tokenizer, LIVE.n_ctx).numpy(),
        corpus.windows(prose[:1], tokenizer, LIVE.n_ctx),
    )
    own = live.Text(tokenizer, rows, kept[:32].long())
    shuffled = rows.copy()
    shuffled[:, 1:] = np.random.default_rng(0).permuted(rows[:, 1:], axis=1)
    assert (shuffled[:, 0] == 0).all()
    losses = []
    for some in (own, dataclasses.replace(own, rows=shuffled)):
        run = live.LiveRun(dataclasses.replace(LIVE, seed=1, warmup=4), some)
        for _ in range(60):
            run.advance()
        losses.append(run.measure()["text_loss"])
    assert losses[0] < losses[1] - 0.1  # what the order of the tokens tells
    assert torch.isfinite(torch.tensor(losses)).all()


def test_the_notebook_of_the_released_model_begins_with_the_line_to_type(request, text):
    assert "notebook 20 begins with the line to type" in text
    notebook = nbformat.read(request.config.rootpath / "notebooks" / "20_released_models.ipynb", 4)
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"][:3]
    assert any("python -m pip install" in source and "540 MB" in source for source in cells)
