"""The circuit explorer's numbers, by slower roads and in runs of the model; what it stores, answers and refuses."""

import base64
import html
import json
import zlib

import matplotlib.pyplot as plt
import pytest
import torch

from walkthrough import models, searches, widgets
from walkthrough.circuits import ov_circuit, qk_circuit
from walkthrough.widgets import circuit_explorer, explorer

PROMPT = "with open(path) as file"
NAMES = "one-layer", "two-layer"


@pytest.fixture(scope="module", params=NAMES)
def model(request):
    return models.load(request.param)


@pytest.fixture(scope="module")
def made(model):
    return widgets.CircuitExplorer(model, PROMPT, tokens=[" open", " else"])


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def each_head(made, source):
    """Layer, head, and its destinations, log-odds, outputs and logits."""
    (layers,) = made.entries([source]).values()
    for layer, heads in enumerate(layers):
        for head, (destinations, log_odds, outputs, logits) in enumerate(heads):
            yield layer, head, destinations, torch.tensor(log_odds) / 100, outputs, torch.tensor(logits) / 100


def same_as(row, ids, values):
    """Whether these are the largest of a row, in order, to a hundredth, each with the value that the row has for it."""
    hundredth = {"rtol": 0, "atol": 0.00501, "check_dtype": False}
    torch.testing.assert_close(values, row.topk(len(ids)).values, **hundredth)
    torch.testing.assert_close(values, row[ids], **hundredth)


@pytest.mark.parametrize("source", [" open", "\n", "self"])
def test_entries_are_those_of_the_tables_written_out(model, made, source):
    source = model.to_single_token(source)
    W_E, W_U = model.W_E.double(), model.W_U.double()
    for layer, head, destinations, log_odds, outputs, logits in each_head(made, source):
        W_Q, W_K, W_V, W_O = (W[layer, head].double() for W in (model.W_Q, model.W_K, model.W_V, model.W_O))
        scores = W_E @ W_Q @ (W_E[[source, 0]] @ W_K).T / model.cfg.d_head**0.5
        same_as(scores[:, 0] - scores[:, 1], destinations, log_odds)
        added = W_E[source] @ W_V @ W_O @ W_U
        same_as(added - added.mean(), outputs, logits)
        assert len(destinations) == len(outputs) == circuit_explorer.TOP


def test_they_are_what_notebook_04_prints(made):
    if made.model.cfg.n_layers == 2:
        pytest.skip("the notebook's model has one layer")
    source = made.model.to_single_token(" open")
    for layer, head, destinations, _, outputs, _ in each_head(made, source):
        keenest = searches.column_entries(searches.relative_to(qk_circuit(made.model, layer, head)), source, 5)[1]
        highest = searches.row_entries(ov_circuit(made.model, layer, head), source, 5)[1]
        assert (destinations[:5], outputs[:5]) == (keenest.tolist(), highest.tolist())


def test_a_run_without_positions_attends_and_adds_as_they_say():
    model = models.load("one-layer").double()
    model.W_pos.data.zero_()
    source = model.to_single_token(" open")
    for _, head, destinations, log_odds, outputs, logits in each_head(widgets.CircuitExplorer(model, PROMPT), source):
        prompts = torch.tensor([[0, source, destination] for destination in destinations])
        pattern = model.run_with_cache(prompts)[1]["pattern", 0][:, head, -1]
        ran = (pattern[:, 1] / pattern[:, 0]).log()
        torch.testing.assert_close(ran, log_odds.double(), rtol=0, atol=0.00501)
        only = torch.zeros(model.cfg.n_heads, 1).double()
        only[head] = 1
        with_head, without = (
            model.run_with_hooks(prompts[:1, :2], fwd_hooks=[
                ("blocks.0.attn.hook_pattern", lambda pattern, hook: torch.eye(2).double().expand_as(pattern)),
                ("blocks.0.attn.hook_z", lambda z, hook, keep=keep: keep * z),
            ])[0, 1]
            for keep in (only, 0 * only)
        )  # fmt: skip
        added = with_head - without
        torch.testing.assert_close((added - added.mean())[outputs], logits.double(), rtol=0, atol=0.00501)


def test_nothing_looks_for_bos_rather_than_for_bos(made):
    for *_, destinations, log_odds, outputs, _ in each_head(made, 0):
        assert destinations == [] == log_odds.tolist()
        assert len(outputs) == circuit_explorer.TOP


def test_every_token_has_a_text_of_its_own(made):
    assert len(set(made.names)) == made.model.cfg.d_vocab == len(made.data["vocabulary"])
    sound = [(token, name) for token, name in enumerate(made.names) if "�" not in name]
    assert len(sound) > 3900
    assert all(made.model.to_single_token(name) == token for token, name in sound[1::50])


def test_what_the_page_gets(model, made):
    stored = json.loads(zlib.decompress(base64.b64decode(made.packed)))
    assert stored == json.loads(json.dumps(made.data))
    record = stored["prompts"][PROMPT]
    ids = model.to_tokens(PROMPT)[0].tolist()
    assert record["tokens"] == [made.names[token] for token in ids]
    given = {model.to_single_token(" open"), model.to_single_token(" else")}
    assert {int(token) for token in stored["found"]} == given
    assert {int(token) for token in record["found"]} == set(ids) - given
    assert made.view["token"] == " open"
    assert len(made.packed) < 60_000


def test_the_token_of_the_view_is_stored_too(model):
    made = widgets.CircuitExplorer(model, "x", tokens=[" open"], token=" lambda")
    assert list(made.data["found"]) == [model.to_single_token(" open"), model.to_single_token(" lambda")]
    assert made.view["token"] == " lambda"
    assert widgets.CircuitExplorer(model, " open", tokens=" open").data["prompts"][" open"]["found"].keys() == {0}


def ask(made, question):
    """What the kernel replies to a page."""
    sent = []
    made.send = lambda content, **_: sent.append(content)
    made.heard(made, {"id": 7, "question": question}, [])
    return sent[0]


def test_the_kernel_answers_for_any_token(made):
    before = made.packed
    source = made.model.to_single_token(" lambda")
    assert ask(made, {"token": " lambda"})["answer"] == made.entries([source])[source]
    odd = next(name for name in made.names if "�" in name)
    assert len(ask(made, {"token": odd})["answer"]) == made.model.cfg.n_layers
    for token in (" for", " in", "(", "):", ".", " if", " return", "=", " class"):
        ask(made, {"token": token})
    assert made.packed == before


def test_a_text_that_is_no_token_is_refused_in_one_sentence(made):
    assert "'elsewhere' is not one token of this model" in ask(made, {"token": "elsewhere"})["error"]
    for refused in ({"tokens": [" open", "elsewhere"]}, {"token": "elsewhere"}):
        bad = widgets.CircuitExplorer(made.model, PROMPT, **refused)
        assert "'elsewhere' is not one token" in bad.data["error"]
        assert "is not one token" in bad.page()


def test_256_tokens_stay_small(made):
    long = "".join(name for name in made.names if name[0] == " " and name[1:].isalpha())[:900]
    other = widgets.CircuitExplorer(made.model, PROMPT)
    assert "error" not in ask(other, {"prompt": long})
    record = other.data["prompts"][long]
    assert 100 < len(record["tokens"]) <= 256
    assert len(record["found"]) == circuit_explorer.STORED
    assert len(other.packed) < 120_000


def test_tables_say_the_same(made):
    tables = made.tables().split("<table>")[1:]
    assert ["·open" in tables[0], "·else" in tables[1], "with" in tables[2]] == [True] * 3
    rows = tables[0].split("<tr>")[2:]
    for row, (layer, head, *found) in zip(rows, each_head(made, made.token(" open")), strict=True):
        assert row.startswith(f'<th scope="row">head {layer}:{head}</th>')
        texts = [
            "   ".join(
                f"{name}\N{NO-BREAK SPACE}{value:.2f}"
                for name, value in zip(explorer.shown([made.names[i] for i in ids]), values[:5])
            )
            for ids, values in (found[:2], found[2:])
        ]
        assert row.count(html.escape(texts[0])) == row.count(html.escape(texts[1])) == 1


@pytest.mark.parametrize("token", [" lambda", "<BOS>"])
def test_the_still_figure_shows_what_is_chosen(model, token):
    layer = model.cfg.n_layers - 1
    made = widgets.CircuitExplorer(model, PROMPT, token=token, layer=layer, head=6)
    *_, (_, _, destinations, log_odds, outputs, logits) = (
        found for found in each_head(made, made.token(token)) if found[:2] == (layer, 6)
    )
    for ax, ids, values in zip(made.still(), (destinations, outputs), (log_odds, logits), strict=True):
        assert [bar.get_width() for bar in ax.patches] == pytest.approx(values.tolist())
        labels = [label.get_text() for label in ax.get_yticklabels()]
        assert labels == [made.names[token].replace(" ", "·").replace("\n", "⏎").replace("$", r"\$") for token in ids]
    assert made.still()[0].get_title() == f"head {layer}:6: look for {token.replace(' ', '·')}"


def test_the_still_figure_starts_from_the_prompt_and_the_first_head(model):
    assert widgets.CircuitExplorer(model, PROMPT).still()[0].get_title() == "head 0:0: look for with"
