"""The composition explorer's numbers by a second road, what it stores and refuses, and its still figure."""

import base64
import json
import math
import time
import zlib
from pathlib import Path

import pytest
import torch

from walkthrough import circuits, models, paths
from walkthrough.two_layers import composition, induction
from walkthrough.widgets import CompositionExplorer

PROMPTS = ["name = 'Ada Lovelace'\nprint('Ada", "for key, value in items:\n    if key in"]
CODE = Path(models.__file__).read_text("utf-8")


@pytest.fixture(scope="module")
def model():
    return models.load("two-layer")


@pytest.fixture(scope="module")
def explorer(model):
    return CompositionExplorer(model, PROMPTS)


@pytest.fixture(scope="module")
def deep():
    shape = models.config(3, d_model=64, n_heads=4, n_ctx=64, d_vocab=4096)
    return models.bridge(models.PaperModel(shape, 5), models.load_tokenizer(), "deep")


def unpacked(explorer):
    return json.loads(zlib.decompress(base64.b64decode(explorer.packed)))


def from_page(grid, n):
    """The stored numbers, read back as the page does."""
    raw = bytearray(base64.b64decode(grid["values"]))
    values = torch.zeros(n, n, dtype=torch.float64)
    values[tuple(torch.tril_indices(n, n))] = torch.frombuffer(raw, dtype=torch.int16).double() * grid["step"]
    return values


def middle(term):
    """A term over its mean on the visible keys, row by row."""
    return torch.stack(
        [torch.cat([row[: q + 1] - row[: q + 1].mean(), 0 * row[q + 1 :]]) for q, row in enumerate(term)]
    )


def refusal(explorer, question):
    sent = []
    explorer.send = lambda content, **_: sent.append(content)
    explorer.heard(explorer, {"id": 1, "question": question}, [])
    return sent[0]["error"]


@pytest.mark.parametrize(("first", "second"), [((0, 0), (1, 3)), ((0, 2), (1, 1))])
def test_the_q_composed_circuit_by_following_two_tokens(first, second):
    """A query made of what the first head moves from one token, and a key made of another."""
    model = models.tiny(2, seed=3).double()
    circuit = composition.q_composed_circuit(model, first, second)
    assert torch.linalg.matrix_rank(circuit.AB) == model.cfg.d_head
    (_, _, W_V, W_O), (W_Q, W_K, _, _) = models.head_weights(model, *first), models.head_weights(model, *second)
    for row, column in [(3, 50), (50, 3), (7, 7)]:
        score = (model.W_E[row] @ W_V @ W_O @ W_Q).dot(model.W_E[column] @ W_K) / model.cfg.d_head**0.5
        torch.testing.assert_close(circuit.AB[row, column], score)


def test_the_q_composed_circuit_is_a_term_of_the_scores():
    model, tokens = models.tiny(2, seed=3).double(), torch.tensor([[0, 5, 9, 5, 33]])
    term = paths.attention_score_terms(model, tokens, 1, 3)["0:1", "tokens"][0]
    A = model.run_with_cache(tokens)[1]["pattern", 0][0, 1]
    circuit = composition.q_composed_circuit(model, (0, 1), (1, 3)).AB
    torch.testing.assert_close(A @ circuit[tokens[0]][:, tokens[0]], term)


@pytest.mark.parametrize(("first", "second"), [((0, 1), (1, 3)), ((0, 2), (2, 0)), ((1, 3), (2, 1))])
def test_composed_scores_are_terms_of_the_scores_at_any_depth(first, second):
    model, tokens = models.tiny(3, seed=4).double(), torch.tensor([[0, 5, 9, 5, 33, 61]])
    run, name = model.run_with_cache(tokens)[1], f"{first[0]}:{first[1]}"
    terms = paths.attention_score_terms(model, tokens, *second)
    torch.testing.assert_close(composition.composed_scores(model, run, "Q", first, second), terms[name, "tokens"][0])
    torch.testing.assert_close(composition.composed_scores(model, run, "K", first, second), terms["tokens", name][0])


def test_what_cannot_compose_is_refused():
    model = models.tiny(2)
    run = model.run_with_cache(torch.tensor([[0, 1]]))[1]
    with pytest.raises(ValueError, match="'V' is no side of an attention score"):
        composition.composed_scores(model, run, "V", (0, 0), (1, 0))
    with pytest.raises(ValueError, match="must be in an earlier layer"):
        composition.composed_scores(model, run, "K", (1, 0), (0, 0))
    with pytest.raises(ValueError, match="must be in an earlier layer"):
        composition.q_composed_circuit(model, (1, 0), (1, 1))


def test_a_softmax_does_not_notice_what_is_taken_from_the_visible_scores():
    scores = torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    over, future = composition.over_the_visible(scores), torch.ones(6, 6).triu(1).bool()
    torch.testing.assert_close(over, middle(scores))
    softmax = lambda x: x.masked_fill(future, -torch.inf).softmax(-1)
    torch.testing.assert_close(softmax(over), softmax(scores))


def test_the_scores_are_those_of_transformer_lens_and_chance_is_that_of_untrained_models(model, explorer):
    scores = torch.tensor(explorer.data["scores"][0])
    for kind, mine in zip("QKV", scores):
        torch.testing.assert_close(mine, model.all_composition_scores(kind)[0, :, 1].float(), atol=5.1e-6, rtol=0)
    baseline = 256**-0.5
    assert explorer.data["baseline"] == baseline
    untrained = [models.bridge(models.PaperModel(models.config(2), seed)) for seed in range(5)]
    of = {
        kind: torch.cat([each.all_composition_scores(kind)[0, :, 1].flatten() for each in untrained]) for kind in "QKV"
    }
    top = max(x.max().item() for x in of.values()) / baseline
    assert explorer.data["least"] - 0.01 < top <= explorer.data["least"]
    for (low, high), null in zip(explorer.data["band"], of.values()):
        inside = (null / baseline > low) & (null / baseline < high)
        assert inside.float().mean() == pytest.approx(0.95, abs=0.01)
    above = (scores / baseline >= explorer.data["least"]).nonzero().tolist()
    assert {f"{'QKV'[kind]} 0:{write} 1:{read}" for kind, write, read in above} == set(explorer.edges)
    assert list(explorer.edges.values()) == sorted(explorer.edges.values(), reverse=True)
    assert set(explorer.edges) <= set(explorer.data["circuits"])


@pytest.mark.parametrize("prompt", PROMPTS)
def test_circuits_on_a_prompt_are_terms_of_the_models_own_run(model, explorer, prompt):
    record, tokens = explorer.data["prompts"][prompt], model.to_tokens(prompt)
    assert record["tokens"] == model.to_str_tokens(tokens[0])
    assert list(record["edges"]) == list(explorer.edges)[:10]
    pattern = {layer: model.run_with_cache(tokens)[1]["pattern", layer][0] for layer in (0, 1)}
    for edge, grid in record["edges"].items():
        kind, first, second = edge.split()
        if kind == "V":
            true = torch.einsum("qm,mk->qk", pattern[1][int(second[2:])], pattern[0][int(first[2:])])
        else:
            terms = paths.attention_score_terms(model, tokens, 1, int(second[2:]))
            true = middle(terms[(first, "tokens") if kind == "Q" else ("tokens", first)][0])
        assert (from_page(grid, tokens.shape[1]) - true).abs().max() < 0.00501


@pytest.mark.parametrize("edge", ["K 0:7 1:6", "V 0:4 1:3", "Q 0:6 1:2", "K 0:3 1:0"])
def test_circuits_on_the_vocabulary_by_writing_them_out(model, explorer, edge):
    kind, first, second = edge.split()
    (_, _, W_V, W_O), (W_Q, W_K, W_V2, W_O2) = (
        models.head_weights(model, int(h[0]), int(h[2:])) for h in (first, second)
    )
    moved = model.W_E @ W_V @ W_O
    whole = {
        "Q": lambda: (moved @ W_Q) @ (model.W_E @ W_K).T / 32**0.5,
        "K": lambda: (model.W_E @ W_Q) @ (moved @ W_K).T / 32**0.5,
        "V": lambda: moved @ W_V2 @ W_O2 @ model.W_U,
    }[kind]()
    over = whole - whole.mean(-1, keepdim=True)
    best = over.flatten().topk(8)
    found = explorer.answer({"edge": edge, "prompt": PROMPTS[0]})["circuit"]
    assert [value for *_, value in found["top"]] == pytest.approx(best.values.tolist(), abs=0.0051)
    for side, shown in zip((best.indices // 4096, best.indices % 4096), zip(*found["top"])):
        texts = [model.to_string(int(token)) for token in side]
        assert [f"�{token}" if text == "�" else text for text, token in zip(texts, side)] == list(shown)
    assert found["gain"] == pytest.approx(over.diag().mean().item(), abs=0.001)
    trace = over.trace() if kind == "V" else whole.trace()  # that of the eigenvalues, whatever program found them
    assert math.copysign(1, found["positivity"]) == math.copysign(1, trace)
    assert abs(found["positivity"]) <= 1


def test_eigenvalue_positivity_is_that_of_the_notebooks(model, explorer):
    stored = {edge: circuit["positivity"] for edge, circuit in explorer.data["circuits"].items()}
    assert stored["K 0:7 1:6"] == pytest.approx(induction.corner_table(model)[7, 6, 1].item(), abs=6e-4)
    virtual = circuits.centred(composition.virtual_ov_circuit(model, (0, 4), (1, 3)))
    assert stored["V 0:4 1:3"] == pytest.approx(circuits.eigenvalue_positivity(virtual).item(), abs=6e-4)


def test_an_edge_that_is_asked_for_is_answered_and_stays_with_the_next_prompt(model):
    made = CompositionExplorer(model, PROMPTS[0])
    edge = "V 0:1 1:5"
    reply = made.answer({"edge": edge, "prompt": PROMPTS[0]})
    assert set(reply) == {"circuit", "grid"}
    made.view = {"edge": edge}
    made.answer({"prompt": "import os"})
    data = unpacked(made)
    assert edge in data["circuits"]
    assert next(iter(data["prompts"]["import os"]["edges"])) == edge
    again = CompositionExplorer(model, "import os", edge=edge)
    assert edge in again.data["circuits"]
    assert edge in again.data["prompts"]["import os"]["edges"]


def test_what_the_page_may_not_ask_gets_one_sentence(model, explorer):
    assert "the prompt is empty" in refusal(explorer, {"prompt": ""})
    assert "the model's context is 256" in refusal(explorer, {"prompt": "x " * 300})
    for edge, sentence in {
        "K 0:9 1:1": "there is no head 9",
        "K 0:1 2:1": "there is no layer 2",
        "K 1:1 0:1": "must be in an earlier layer",
        "O 0:1 1:1": "there is no edge 'O 0:1 1:1'",
        "": "there is no edge ''",
    }.items():
        assert sentence in refusal(explorer, {"edge": edge, "prompt": PROMPTS[0]})
    assert "one-layer has no second layer" in CompositionExplorer("one-layer", "x").data["error"]
    assert "has no layers" in CompositionExplorer("zero-layer", "x").data["error"]
    assert "no model called 'nine'" in CompositionExplorer("nine", "x").data["error"]
    assert "there is no edge 'Z'" in CompositionExplorer(model, "x", edge="Z").data["error"]


def test_what_is_stored_is_small_and_made_fast(model, explorer):
    long = model.tokenizer.decode(model.tokenizer.encode(CODE)[1:250])
    assert 230 < model.to_tokens(long).shape[1] <= 256
    assert len(explorer.packed) < 20_000
    made, took = CompositionExplorer(model, PROMPTS[0]), []
    for text in (long, long[1:], long[2:]):
        start = time.process_time()
        made.answer({"prompt": text})
        took.append(time.process_time() - start)
    print(f"256 tokens: {min(took):.3f} s, {len(made.packed)} bytes")
    assert len(made.packed) < 120_000
    assert min(took) < 0.1
    took = []
    for edge in ("K 0:1 1:0", "Q 0:2 1:3", "V 0:5 1:5"):
        start = time.process_time()
        made.answer({"edge": edge, "prompt": text})
        took.append(time.process_time() - start)
    print(f"an edge: {min(took):.3f} s")
    assert min(took) < 0.1


def test_scores_beyond_the_range_of_hundredths_take_larger_steps(explorer, monkeypatch):
    values = torch.tensor([[1000.0, 0.0], [-500.0, 3.0]])
    monkeypatch.setattr(explorer, "on_the_prompt", lambda edge, prompt: values)
    assert (from_page(explorer.grid("", ""), 2) - values).abs().max() < 0.02


def test_the_tables_hold_the_edges_and_where_the_strongest_looks(explorer):
    tables = explorer.tables()
    assert tables.count("<table>") == 2
    assert tables.count("→ 1:") == len(explorer.edges)
    times = explorer.data["scores"][0][1][7][6] * 16
    assert f'<th scope="row">0:7 → 1:6</th><td>K</td><td>{times / 16:.4f}</td><td>{times:.2f}</td>' in tables
    best = explorer.on_the_prompt("K 0:7 1:6", PROMPTS[0])[-1].max(0)
    words = explorer.data["prompts"][PROMPTS[0]]["tokens"]
    key = words[best.indices].replace(" ", "·")
    assert f'<th scope="row">{words[-1]}</th><td>{key} {best.values:+.2f}</td>' in tables


def test_the_still_figure_has_the_same_scores(model, explorer):
    for ax, kind in zip(explorer.still(), "QKV", strict=True):
        shown = torch.tensor(ax.images[0].get_array().data).float()
        torch.testing.assert_close(shown, model.all_composition_scores(kind)[0, :, 1] - 1 / 16, atol=5.1e-6, rtol=0)
        low, high = (limit / 16 - 1 / 16 for limit in explorer.data["band"]["QKV".index(kind)])
        assert len(ax.lines[0].get_xdata()) == ((shown >= low) & (shown <= high)).sum() > 0
        assert ax.get_title() == f"{kind}-composition"
        low, high = ax.images[0].get_clim()
        assert low == -high
    assert high == pytest.approx((torch.tensor(explorer.data["scores"]) - 1 / 16).abs().max().item())


def test_a_model_of_three_layers_has_three_pairs_of_layers(deep):
    made = CompositionExplorer(deep, "import os")
    assert made.data["layers"] == [(0, 1), (0, 2), (1, 2)]
    for (first, second), of_pair in zip(made.data["layers"], made.data["scores"]):
        for kind, scores in zip("QKV", of_pair):
            theirs = deep.all_composition_scores(kind)[first, :, second].double()
            torch.testing.assert_close(torch.tensor(scores, dtype=torch.float64), theirs, atol=5.1e-6, rtol=0)
    stored = made.data["prompts"]["import os"]["edges"]
    assert set(stored) <= set(made.data["circuits"])
    assert {(edge[2], edge.split()[2][0]) for edge in stored} == {("0", "1"), ("0", "2"), ("1", "2")}
    made.view = {"pair": 2}
    ax = made.still()[1]
    torch.testing.assert_close(
        torch.tensor(ax.images[0].get_array().data).float(),
        torch.tensor(made.data["scores"][2][1]) - 1 / 8,
    )
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1:0", "1:1", "1:2", "1:3"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["2:0", "2:1", "2:2", "2:3"]
