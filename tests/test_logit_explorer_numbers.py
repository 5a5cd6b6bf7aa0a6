"""The logit explorer's numbers are the model's: bars by the path expansion, sources by the patterns, sums by the run."""

import json

import pytest
import torch

from walkthrough import models, paths, widgets
from walkthrough.widgets import explorer
from walkthrough.widgets.logit_explorer import LARGEST, LIKELY, by_size

PROMPT = "import numpy as np\n\ndef total(values):\n    result = 0\n    for value in"  # 20 tokens
LONG = " value = other\n    if x" * 42


@pytest.fixture(scope="module")
def model():
    return models.load("two-layer")


@pytest.fixture(scope="module")
def made(model):
    return widgets.LogitExplorer(model, PROMPT)


@pytest.fixture(scope="module")
def run(model):
    ids = model.to_tokens(PROMPT)
    expansion = paths.path_expansion(model, ids)
    return ids[0], model(ids)[0], torch.stack(list(expansion.values()))[:, 0]


def test_predictions_are_the_models_and_the_last_is_what_comes(made, model, run):
    ids, logits, _ = run
    record = made.data["prompts"][PROMPT]
    probabilities = logits.softmax(-1)
    for position, predicted in enumerate(record["predicted"]):
        top = probabilities[position].topk(LIKELY)
        assert predicted[:LIKELY] == model.to_str_tokens(top.indices)
        assert record["probability"][position][:LIKELY] == pytest.approx(top.values.tolist(), abs=1e-4)
        if position < len(ids) - 1:
            following = ids[position + 1]
            assert predicted[LIKELY] == record["tokens"][position + 1]
            assert record["probability"][position][LIKELY] == pytest.approx(
                probabilities[position, following].item(), abs=1e-4
            )
            order = logits[position].argsort(descending=True).tolist()
            assert record["rank"][position] == 1 + order.index(following)


@pytest.mark.parametrize("way", ["raw", "above"])
def test_bars_are_the_expansions_and_add_up_to_the_models_logit(made, run, way):
    ids, logits, expansion = run
    mean = expansion.mean(-1, keepdim=True) if way == "above" else 0
    record = made.data["prompts"][PROMPT]
    assert list(record["at"]) == list(range(20))
    assert made.data["paths"][:2] == ["direct", "0:0"]
    for position, at in record["at"].items():
        likely = logits[position].topk(LIKELY).indices.tolist()
        targets = [*likely, ids[position + 1].item() if position < 19 else likely[0]]
        slow = (expansion - mean)[:, position, targets]
        torch.testing.assert_close(torch.tensor(at[way]["bars"]).T / 100, slow, rtol=0, atol=0.00501)
        total = logits[position, targets] - (logits[position].mean() if way == "above" else 0)
        assert at[way]["sum"] == pytest.approx(total.tolist(), abs=2e-4)
        assert at["logits"] == pytest.approx(logits[position, targets].tolist(), abs=1e-4)
        assert at["mean"] == pytest.approx(logits[position].mean().item(), abs=1e-4)
        for target, bars in enumerate(at[way]["bars"]):
            largest = sorted(range(81), key=lambda path: (-abs(bars[path]), path))[:LARGEST]
            others = slow[:, target].sum() - slow[largest, target].sum()
            assert at[way]["others"][target] == pytest.approx(others.item(), abs=2e-4)


@pytest.mark.parametrize("way", ["raw", "above"])
def test_stored_sources_are_those_of_the_largest_bars_and_add_up_to_them(made, way):
    for position, at in made.data["prompts"][PROMPT]["at"].items():
        for bars, sources in zip(at[way]["bars"], at[way]["sources"], strict=True):
            largest = by_size(torch.tensor(bars) / 100)[:LARGEST].tolist()
            assert {len(split) for split in sources} == {position + 1}
            for path, split in zip(largest, sources, strict=True):
                assert sum(split) == pytest.approx(bars[path], abs=0.5 + 0.5 * len(split))


def test_what_is_not_stored_is_answered(model, made, run):
    _, logits, _ = run
    assert made.answer({"prompt": PROMPT, "position": 7}) == made.data["prompts"][PROMPT]["at"][7]
    path = made.data["paths"].index("0:2 → 1:3")
    answer = made.answer({"prompt": PROMPT, "position": 19, "target": 1, "way": "raw", "path": path})
    cache = model.run_with_cache(PROMPT)[1]
    pattern = paths.virtual_pattern(cache["pattern", 0][0, 2], cache["pattern", 1][0, 3])[19]
    maps = model.W_V[0, 2] @ model.W_O[0, 2] @ model.W_V[1, 3] @ model.W_O[1, 3]
    slow = pattern * (cache["hook_embed"][0] @ maps @ model.W_U[:, logits[19].topk(2).indices[1]])
    torch.testing.assert_close(torch.tensor(answer) / 100, slow, rtol=0, atol=0.00501)
    with pytest.raises(ValueError, match="the prompt is empty"):
        made.answer({"prompt": ""})


def test_sizes(model, made):
    json.dumps(made.data)
    assert len(explorer.pack(made.data["prompts"][PROMPT])) < 62_000
    long = widgets.LogitExplorer(model, "x")
    long.answer({"prompt": LONG})
    record = long.data["prompts"][LONG]
    assert 1 <= len(record["at"]) <= 3
    assert max(record["at"]) == len(record["tokens"]) - 1
    for position in range(200, 209):
        long.answer({"prompt": LONG, "position": position})
    assert len(long.packed) < 60_000


def test_a_model_of_one_layer(run):
    model = models.load("one-layer")
    made = widgets.LogitExplorer(model, PROMPT)
    assert made.data["paths"] == ["direct", *(f"0:{head}" for head in range(8))]
    assert made.data["note"] == ""
    at, logits = made.data["prompts"][PROMPT]["at"][19], model(PROMPT)[0, -1]
    assert at["raw"]["sum"][:LIKELY] == pytest.approx(logits.topk(LIKELY).values.tolist(), abs=2e-4)
    assert at["raw"]["others"] == pytest.approx([0] * 6, abs=2e-4)
    assert "other" not in made.tables()


def test_a_deep_model_is_expanded_from_a_later_layer_on():
    cfg = models.config(5, d_model=32, n_heads=4, n_ctx=64)
    deep = models.bridge(models.PaperModel(cfg), models.load_tokenizer(), "deep")
    made = widgets.LogitExplorer(deep, "for value in values")
    assert len(made.data["paths"]) == 5**4
    assert made.data["paths"][-1] == "1:3 → 2:3 → 3:3 → 4:3"
    assert "3125 paths: too many" in made.data["note"]
    assert "the stream that layer 1 reads" in made.data["note"]
    record, logits = made.data["prompts"]["for value in values"], deep("for value in values")[0]
    for position, at in record["at"].items():
        assert at["raw"]["sum"][:LIKELY] == pytest.approx(logits[position].topk(LIKELY).values.tolist(), abs=2e-4)
    assert len(made.packed) < 62_000


def test_the_tables_show_predictions_and_the_largest_paths(made, run):
    _, logits, expansion = run
    top = logits[-1].topk(LIKELY)
    tables = made.tables()
    assert f"<td>{logits[-1].softmax(-1)[top.indices[0]]:.2f}</td><td>{top.values[0]:.2f}</td>" in tables
    terms = dict(zip(made.data["paths"], expansion))
    for name, value in paths.rank_terms(terms, (19, top.indices[0].item()))[:LARGEST]:
        assert f'<th scope="row">{name}</th><td>{value:+.2f}</td>' in tables
    assert "the other 69 paths" in tables
    assert f"<td>{top.values[0] - logits[-1].mean():+.2f}</td>" in tables


@pytest.mark.parametrize(
    ("view", "position", "target"),
    [({}, 19, 0), ({"position": 8, "target": 5, "above": False}, 8, 5), ({"target": 5}, 19, 0),
     ({"position": 8, "of": "another prompt"}, 19, 0)],
)  # fmt: skip
def test_the_still_figure_shows_what_is_chosen(model, made, view, position, target):
    ax = widgets.LogitExplorer(model, PROMPT, **view).still()
    heights = [bar.get_height() for bar in ax.patches]
    at = made.data["prompts"][PROMPT]["at"][position]["above" if view.get("above", True) else "raw"]
    largest = by_size(torch.tensor(at["bars"][target]) / 100)[:LARGEST].tolist()
    assert heights[:LARGEST] == pytest.approx([at["bars"][target][path] / 100 for path in largest], abs=0.00501)
    assert [label.get_text() for label in ax.get_xticklabels()][:LARGEST] == [made.data["paths"][i] for i in largest]
    assert sum(heights) == pytest.approx(at["sum"][target], abs=2e-4)
    assert ("above the mean" in ax.get_ylabel()) is view.get("above", True)
