"""What the page's engine answers for each explorer is what the explorer's Python answers, record by record."""

import base64
import hashlib
import json

import engine_harness
import numpy as np
import pytest
import torch

from walkthrough import interventions, models, paths, widgets
from walkthrough.two_layers import composition, forming
from walkthrough.widgets import shipped
from walkthrough.widgets.page import STATIC

PROMPTS = [
    "def feed(quokka, leaf):\n    quokka.eat(leaf)\n    return quokka",
    "first = load_table(naïve)\nsecond = 日 load_",
    "a",
]
NAMES = ("one-layer", "two-layer", "small-seed-1")


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """The engine, in Node or in Chromium."""
    with engine_harness.started(tmp_path_factory) as asked:
        yield asked


def known(explorer):
    """What the page tells the engine besides the question, as asking.js does."""
    given = [int(token) for token in explorer.data.get("found", {})]
    return {
        "given": given,
        "layers": explorer.data.get("layers"),
        "scores": explorer.data.get("scores"),
        "chosen": None,
    }


def both(ask, explorer, prompt=None, **question):
    """An answer of the explorer's Python, as its page would read it, and the engine's."""
    runs = explorer.data["engine"]
    here = ask(
        runs["explorer"], runs["models"], **known(explorer), **({"prompt": prompt} if prompt else {}), **question
    )
    there = explorer.answer(({"prompt": prompt} if prompt else {}) | question) if question else explorer.look(prompt)
    return json.loads(json.dumps(there)), here


def same(there, here, tolerance):
    """Fail unless two records have the same shape and words, and their numbers differ by no more than that."""
    if isinstance(there, dict):
        assert list(there) == list(here)
        for key, value in there.items():
            same(value, here[key], tolerance)
    elif isinstance(here, np.ndarray) and isinstance(there, list):
        assert len(there) == len(here)
        np.testing.assert_allclose(here, np.array(there), atol=tolerance)
    elif isinstance(here, np.ndarray):
        stored = np.frombuffer(base64.b64decode(there), np.uint8)
        same(stored.tolist(), here.tolist(), tolerance)
    elif isinstance(there, list):
        assert len(there) == len(here)
        if there and isinstance(there[0], (int, float)):
            np.testing.assert_allclose(np.array(here, float), np.array(there, float), atol=tolerance)
        else:
            for one, other in zip(there, here):
                same(one, other, tolerance)
    elif isinstance(there, float):
        assert abs(there - here) <= tolerance
    else:
        assert there == here


@pytest.mark.parametrize("prompt", PROMPTS)
def test_attention(ask, prompt):
    explorer = widgets.AttentionExplorer({"two": "two-layer", "one": "one-layer"}, "x")
    same(*both(ask, explorer, prompt), tolerance=1.001)  # hundredths: a half may be rounded either way
    there, here = both(ask, explorer, prompt)
    for one, other in zip(there["layers"], here["layers"]):
        np.testing.assert_allclose(np.array(other["norms"]), np.array(one["norms"]), atol=0.0011)


def test_attention_refuses_what_a_page_cannot_hold(ask):
    many = {str(i): "two-layer" for i in range(9)}
    explorer = widgets.AttentionExplorer(many, "x")
    for wrong in (PROMPTS[0] * 11, "", "x " * 300):
        with pytest.raises(ValueError) as there:
            explorer.look(wrong)
        runs = explorer.data["engine"]
        with pytest.raises(ValueError) as here:
            ask(runs["explorer"], runs["models"], prompt=wrong)
        assert str(here.value) == str(there.value)


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("name", NAMES)
def test_logits(ask, name, prompt):
    explorer = widgets.LogitExplorer(models.load(name).double(), "x")
    there, here = both(ask, explorer, prompt)
    bars_of = lambda record: {at: record["at"].pop(at) for at in list(record["at"])}
    same_bars(bars_of(there), bars_of(here))
    same(there, here, tolerance=2.1e-4)
    position = 3 * (len(there["tokens"]) - 1) // 4
    one, other = both(ask, explorer, prompt, position=position)
    same_bars({"at": one}, {"at": other})
    for way in ("raw", "above"):
        path = len(explorer.data["paths"]) // 2
        same(*both(ask, explorer, prompt, position=position, target=1, way=way, path=path), tolerance=1)


def same_bars(there, here):
    """Bars, sums and sources; where two bars are of one size, to rounding, either may come first."""
    assert list(there) == list(here)
    for at, one in there.items():
        other = here[at]
        np.testing.assert_allclose(other["logits"], one["logits"], atol=2.1e-4)
        np.testing.assert_allclose(other["mean"], one["mean"], atol=2.1e-4)
        for way in ("raw", "above"):
            np.testing.assert_allclose(other[way]["sum"], one[way]["sum"], atol=3e-4)
            np.testing.assert_allclose(np.array(other[way]["bars"]), np.array(one[way]["bars"]), atol=1)
            for t, bars in enumerate(one[way]["bars"]):
                sizes = np.sort(np.abs(bars))[::-1]
                if len(sizes) <= 12 or np.diff(-sizes[:13]).min() > 2:  # no ties: the same bars, in the same order
                    same(one[way]["sources"][t], other[way]["sources"][t], tolerance=1)


def test_paths_of_what_is_typed_on_are_those_of_a_fresh_run(ask):
    explorer = widgets.LogitExplorer(models.load("two-layer").double(), "x")
    text, runs = PROMPTS[0], explorer.data["engine"]
    for typed in (
        text[:40],
        text[:20] + "?",
        text[:41],
        text[:45],
        text,
    ):  # some of it is kept each time, and some taken back
        ask(runs["explorer"], runs["models"], prompt=typed, quick=True)
    there, here = both(ask, explorer, text)
    same_bars(there["at"], here["at"])


@pytest.mark.parametrize("name", NAMES)
def test_circuits(ask, name):
    explorer = widgets.CircuitExplorer(models.load(name).double(), "x", tokens=[" open"])
    for prompt in PROMPTS[:2]:
        there, here = both(ask, explorer, prompt)
        assert there["tokens"] == here["tokens"]
        assert there["found"].keys() == here["found"].keys()
        for token, entry in there["found"].items():
            same_entries(entry, here["found"][token])
    for token in ("<BOS>", " return", explorer.names[200]):
        same_entries(*both(ask, explorer, token=token))
    with pytest.raises(ValueError) as there:
        explorer.answer({"token": "two words"})
    with pytest.raises(ValueError) as here:
        ask("circuits", explorer.data["engine"]["models"], token="two words")
    assert str(here.value) == str(there.value)


def same_entries(there, here):
    """The values are the same; so are the tokens, unless two have the same value to rounding."""
    assert [len(layer) for layer in there] == [len(layer) for layer in here]
    for one, other in zip((head for layer in there for head in layer), (head for layer in here for head in layer)):
        for tokens, values in ((0, 1), (2, 3)):
            assert np.abs(np.array(one[values]) - np.array(other[values])).max(initial=0) <= 1
            assert len({*one[tokens]} ^ {*other[tokens]}) <= 2  # at the end of the list, one of two equals
            assert one[tokens][:1] == other[tokens][:1] or one[values][0] - one[values][1] <= 1


def test_composition(ask):
    explorer = widgets.CompositionExplorer(models.load("two-layer").double(), "x")
    for prompt in PROMPTS:
        there, here = both(ask, explorer, prompt)
        assert there["tokens"] == here["tokens"]
        assert list(there["edges"]) == list(here["edges"])
        for edge in there["edges"]:
            same_grid(there["edges"][edge], here["edges"][edge])
    for edge in ("Q 0:1 1:2", "K 0:7 1:6", "V 0:2 1:5"):
        one, other = both(ask, explorer, PROMPTS[0], edge=edge)
        same(one["circuit"]["top"], other["circuit"]["top"], tolerance=0.011)
        assert abs(one["circuit"]["positivity"] - other["circuit"]["positivity"]) < 0.0021
        assert abs(one["circuit"]["gain"] - other["circuit"]["gain"]) < 0.0021
        same_grid(one["grid"], other["grid"])
    for wrong in ("K 1:6 0:7", "K 0:9 1:0", "X 0:1 1:2"):
        with pytest.raises(ValueError, match=r"head|edge"):
            ask("composition", explorer.data["engine"]["models"], prompt="x", edge=wrong)


def same_grid(there, here):
    values = np.frombuffer(base64.b64decode(there["values"]), "<i2") * there["step"]
    np.testing.assert_allclose(
        np.frombuffer(here["values"].tobytes(), "<i2") * here["step"], values, atol=there["step"] * 1.01
    )


@pytest.mark.parametrize("kind", "QKV")
@pytest.mark.parametrize("name", ["two-layer", "small-seed-2"])
def test_composition_scores(ask, name, kind):
    expected = composition.composition_scores(models.load(name).double(), kind).numpy()
    np.testing.assert_allclose(ask("scores", name, kind=kind, pair=[0, 1]), expected, atol=1e-6)


def test_checkpoints(ask):
    series = {
        forming.tokens_at(step): forming.load(step) for step in (0, 1000, 1300, 4000) if step in forming.checkpoints()
    }
    explorer = widgets.CheckpointExplorer(series, "x")
    for prompt in PROMPTS:
        same(*both(ask, explorer, prompt), tolerance=1.001)


def test_runs_with_heads_ablated_and_patterns_frozen(ask):
    model, prompt = models.load("two-layer").double(), PROMPTS[0]
    ids = model.to_tokens(prompt)
    plain = model.run_with_cache(ids)[1]
    heads, hold = [(0, 5), (1, 6)], [(1, 2), (1, 6)]
    patterns = [plain["pattern", layer] for layer in (0, 1)]
    kept = lambda head: interventions.on_head(model, head, "pattern", lambda _: patterns[head[0]][:, head[1]])
    level = lambda head: interventions.on_head(model, head, "z", lambda z: z.mean(1, keepdim=True).expand_as(z))
    cut = interventions.ablate(model, heads)
    runs = {
        "ablate": ({"ablate": heads}, cut),
        "mean": ({"mean": heads}, [level(head) for head in heads]),
        "all frozen": ({"ablate": heads, "freeze": True}, cut + paths.freeze(patterns)),
        "some frozen": ({"ablate": heads, "freeze": hold}, cut + [kept(head) for head in hold]),
    }
    for what, (changes, hooks) in runs.items():
        expected = model.run_with_hooks(ids, fwd_hooks=hooks)[0].numpy()
        found = ask("run", "two-layer", prompt=prompt, changes=changes, logits=ids.shape[1])
        assert abs(np.stack(found["logits"]) - expected).max() < 1e-4, what
    other = prompt.replace("return", "import")
    of_other = [model.run_with_cache(other)[1]["pattern", layer] for layer in (0, 1)]
    assert model.to_tokens(other).shape == ids.shape
    expected = model.run_with_hooks(ids, fwd_hooks=paths.freeze(of_other))[0].numpy()
    found = ask("run", "two-layer", prompt=prompt, changes={"freeze": other}, logits=ids.shape[1])
    assert abs(np.stack(found["logits"]) - expected).max() < 1e-4
    for changes, words in (
        ({"ablate": [[2, 0]]}, "no layer 2"),
        ({"ablate": [[1, 8]]}, "no head 8"),
        ({"freeze": "x"}, "as many"),
    ):
        with pytest.raises(ValueError, match=words):
            ask("run", "two-layer", prompt=prompt, changes=changes)


def test_typing_on_gives_what_a_fresh_run_gives(ask):
    text = PROMPTS[0]
    for end in range(1, len(text), 3):  # as one types, and takes some of it back
        for typed in (text[:end], text[: end // 2] or "x"):
            ask("run", "two-layer", prompt=typed, logits=1)
    fresh = ask("run", "two-layer", prompt=text, changes={"ablate": []}, logits=1)
    grown = ask("run", "two-layer", prompt=text, logits=1)
    expected = models.load("two-layer").double()(text)[0, -1].numpy()
    assert abs(grown["logits"][0] - expected).max() < 1e-4
    assert fresh["ids"] == grown["ids"]


def test_only_models_that_ship_are_run_by_the_page():
    model = models.load("two-layer")
    assert shipped.description(model)["file"] == "two-layer.safetensors"
    assert shipped.description(models.load("one-layer").double()) is not None
    for other in (models.load("layernorm"), models.load("one-layer-mlp"), models.untrained(2), models.tiny(1)):
        assert shipped.description(other) is None
    with torch.no_grad():
        model.original_model.layers[0].attn.q.weight[0, 0] += 1
    assert shipped.description(model) is None
    assert "engine" not in widgets.LogitExplorer(model, "x").data


def test_the_vendored_tokenizer_is_the_published_file():
    vendor = STATIC / "engine" / "vendor"
    for file in vendor.glob("*.mjs"):
        assert hashlib.sha256(file.read_bytes()).hexdigest() in (vendor / "README.md").read_text(encoding="utf-8")
    text = (STATIC / "engine" / "text.js").read_text(encoding="utf-8")
    for name in ("tokenizer.json", "forming/tokenizer.json"):
        assert hashlib.sha256((models.WEIGHTS / name).read_bytes()).hexdigest() in text
