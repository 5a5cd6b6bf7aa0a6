"""What every explorer does in Python: what it stores, what it answers, what it refuses; and the attention explorer's numbers."""

import base64
import html
import io
import json
import re
import warnings
import zlib
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest
import torch
from nbclient import NotebookClient
from PIL import Image

from walkthrough import models, widgets
from walkthrough.widgets import explorer

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
PROMPTS = ["for value in", "try:\n    x = f(x)"]
EXPLORERS = [
    widgets.AttentionExplorer,
    widgets.CheckpointExplorer,
    widgets.CircuitExplorer,
    widgets.CompositionExplorer,
    widgets.LogitExplorer,
]


@pytest.fixture(scope="module")
def model():
    return models.load("two-layer")


@pytest.fixture(params=EXPLORERS, ids=lambda kind: kind.__name__)
def made(request, model):
    return request.param(model, PROMPTS)


def unpack(packed):
    return json.loads(zlib.decompress(base64.b64decode(packed)))


def ask(made, question):
    """What the kernel replies to a page."""
    sent = []
    made.send = lambda content, **_: sent.append(content)
    made.heard(made, {"id": 7, "question": question}, [])
    (reply,) = sent
    assert reply["id"] == 7
    return reply


def test_what_is_stored_is_what_the_page_gets(made):
    assert unpack(made.packed) == json.loads(json.dumps(made.data))
    assert list(made.data["prompts"]) == PROMPTS


def test_a_typed_prompt_is_shown_and_the_given_ones_are_kept(made):
    assert "error" not in ask(made, {"prompt": "import os"})
    assert list(unpack(made.packed)["prompts"]) == [*PROMPTS, "import os"]
    assert made.view["prompt"] == "import os"
    ask(made, {"prompt": "import re"})
    assert list(made.data["prompts"]) == [*PROMPTS, "import re"]


@pytest.mark.parametrize(
    ("prompt", "sentence"), [("", "the prompt is empty"), ("x " * 300, "the model's context is 256")]
)
def test_a_prompt_that_cannot_be_shown_gets_one_sentence_and_changes_nothing(made, prompt, sentence):
    before = made.packed, made.view
    assert sentence in ask(made, {"prompt": prompt})["error"]
    assert (made.packed, made.view) == before


@pytest.mark.parametrize("kind", EXPLORERS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    ("model", "prompt", "sentence"),
    [
        ("three-layer", "x", "there is no model called 'three-layer'"),
        (3, "x", "there is no model in int"),
        ("zero-layer", "x", "zero-layer has no layers"),
        ("two-layer", "", "the prompt is empty"),
        ("two-layer", "x " * 300, "the model's context is 256"),
        ("two-layer", [], "prompts are texts, one or more"),
        (models.tiny(2), "x", "tiny has no tokenizer"),
    ],
)
def test_the_widget_says_in_one_sentence_why_it_shows_nothing(kind, model, prompt, sentence):
    made = kind(model, prompt)
    assert sentence in made.data["error"]
    assert unpack(made.packed) == made.data
    assert sentence in made.page().replace("&#x27;", "'").replace("&quot;", '"')
    assert sentence in repr(made)


def test_no_models_at_all_get_one_sentence():
    assert "there is no model to look at" in widgets.AttentionExplorer({}, "x").data["error"]


@pytest.mark.parametrize("kind", EXPLORERS, ids=lambda kind: kind.__name__)
def test_a_still_figure_of_nothing_says_why(kind):
    with pytest.raises(ValueError, match="zero-layer has no layers"):
        kind("zero-layer", "x").still()


@pytest.mark.parametrize(
    "view",
    [
        {"prompt": "not stored", "layer": 9, "head": 99, "beside": 9, "pair": 9, "position": 999, "target": 99},
        {"prompt": None, "layer": -1, "head": -1, "beside": -2, "pair": -1, "position": -3, "target": -1},
        {"layer": "0", "head": None, "pair": "0", "position": None, "target": 1.5, "above": "yes"},
    ],
)
def test_a_still_figure_of_what_there_is_not_is_that_of_the_first(made, view):
    def texts():
        axes = made.still()
        axes = axes if isinstance(axes, list) else [axes]
        found = [ax.get_title() for ax in axes]
        plt.close("all")
        return found

    plainly = texts()
    made.view = view
    assert texts() == plainly


def test_prompts_keep_their_order_whatever_they_are_called(made):
    kind, model = type(made), made.models if hasattr(made, "models") else made.model
    prompts = ["x", "42", "__proto__", "7", "x"]
    made = kind(model, prompts)
    assert made.data["order"] == prompts[:-1]
    ask(made, {"prompt": "3"})
    assert unpack(made.packed)["order"] == [*prompts[:-1], "3"]


def test_a_fault_of_our_own_is_told_and_not_hidden(made, monkeypatch):
    monkeypatch.setattr(made, "look", lambda prompt: 1 / 0)
    sent = []
    made.send = lambda content, **_: sent.append(content)
    with pytest.raises(ZeroDivisionError):
        made.heard(made, {"id": 7, "question": {"prompt": "y"}}, [])
    assert sent == [{"id": 7, "error": "The kernel could not answer that: division by zero"}]


def test_a_model_with_mlps_or_layernorm_is_refused(model, monkeypatch):
    monkeypatch.setattr(model.cfg, "attn_only", False)
    with pytest.raises(ValueError, match="has MLPs or LayerNorm"):
        explorer.the_model(model)


def test_the_output_has_a_widget_and_a_page_of_its_own(made):
    data, _ = made._repr_mimebundle_()
    assert data["text/plain"] == repr(made)
    assert data["text/html"] == made.page()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert made.page() == type(made)(made.models if hasattr(made, "models") else made.model, PROMPTS).page()


IMAGE = re.compile(r'<img src="data:image/png;base64,([^"]+)" width="(\d+)" alt="([^"]+)">')


def test_without_scripts_there_is_a_sentence_a_picture_and_folded_tables(made):
    inside = made.inside()
    assert re.fullmatch(
        rf"<p>This is a still picture of the {made.name.lower()}, which shows [^<]+ "
        rf"Run All Cells[^<]+</p>{IMAGE.pattern}<p aria-hidden=\"true\"><em>[^<]+</em></p>"
        r"<details><summary>The same as tables</summary>(<table>.*</table>)</details>",
        inside,
        re.S,
    )
    assert inside in made.page()
    assert made.tables() in inside
    png, width, alt = IMAGE.search(inside).groups()
    assert len(base64.b64decode(png)) <= 40_000
    image = Image.open(io.BytesIO(base64.b64decode(png)))
    assert image.width == pytest.approx(1.5 * int(width), abs=2)  # sharp on fine screens
    assert html.unescape(alt) == made.described()


def test_each_picture_is_described_in_its_own_words(model):
    described = [kind(model, prompt).described() for kind in EXPLORERS for prompt in PROMPTS[:1]]
    assert len(set(described)) == len(described)
    assert all(len(text.split()) > 20 and text.endswith(".") and "tensor(" not in text for text in described)


def test_the_description_reads_the_chosen_head_from_the_chosen_token(model):
    made = widgets.AttentionExplorer(model, PROMPTS[1], layer=1, beside=0, head=6, query=4)
    said = made.described()
    tokens = made.data["prompts"][PROMPTS[1]]["tokens"]
    assert f"From {explorer.quoted(tokens[4])}, at position 4, layer 1, head 6 attends most to" in said
    for layer in (1, 0):
        share, key = made.pattern(PROMPTS[1], layer)[6, 4].max(-1)
        assert f"layer {layer}, head 6 attends most to {explorer.quoted(tokens[key])}: {share:.2f}" in said
    assert f"on the prompt {explorer.excerpt(PROMPTS[1])}" in said


def test_a_token_that_none_looks_for_is_described():
    assert "Left, no token looks for it" in widgets.CircuitExplorer("one-layer", "x", tokens=["<BOS>"]).described()


def test_a_sentence_quotes_tokens_with_their_spaces_and_prompts_by_their_first_words():
    assert explorer.quoted(" b\n$") == "“·b⏎$”"
    assert explorer.excerpt("if x:\n    y = 1") == "“if x: y = 1”"
    assert explorer.excerpt("long " * 30) == f"“{'long ' * 11}…”"


def test_a_long_prompt_has_labels_with_room_between_them(model):
    made = widgets.AttentionExplorer(model, " a" * 99)
    (ax,) = made.still()
    labels = [label.get_text() for label in ax.get_xticklabels()]
    plt.close(ax.figure)
    assert len(labels) == 100
    assert [i for i, label in enumerate(labels) if label] == [*range(0, 100, 4)]


def test_the_picture_leaves_no_figure_and_no_setting_behind(made):
    plain = made.picture()
    mine = plt.figure()
    numbers = plt.get_fignums()
    with plt.rc_context({"figure.facecolor": "black", "font.size": 30, "savefig.dpi": 300}), plt.ion():
        settings = dict(plt.rcParams)
        assert made.picture() == plain
        assert dict(plt.rcParams) == settings
        assert plt.isinteractive()
    assert plt.get_fignums() == numbers
    assert plt.gcf() is mine
    plt.close(mine)


def test_in_a_notebook_the_explorer_is_the_only_output_whatever_the_backend():
    cells = []
    for backend in ("inline", "agg", "pdf"):
        asked = "%config InlineBackend.close_figures = False\n" * (backend == "inline")
        cells += [
            f"%matplotlib {backend}\n{asked}import matplotlib.pyplot as plt\nplt.ion();",
            "from walkthrough import widgets\nwidgets.AttentionExplorer('one-layer', '日本')",
            "plt.get_fignums()",
        ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, kernel_name="python3", timeout=100).execute()
    for first in range(0, 9, 3):
        (shown,), (left,) = notebook.cells[first + 1].outputs, notebook.cells[first + 2].outputs
        assert IMAGE.search(shown.data["text/html"])
        assert left.data["text/plain"] == "[]"


def test_letters_that_the_font_has_not_are_no_warning(model):
    made = widgets.AttentionExplorer(model, "日本")
    made.data["prompts"]["日本"]["tokens"] = ["日"] * len(made.data["prompts"]["日本"]["tokens"])
    with pytest.warns(UserWarning, match="Glyph"):  # the font has them not
        made.still()[0].figure.savefig(io.BytesIO())
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert "<img" in made.picture()


def test_where_something_is_wrong_there_is_a_sentence_and_no_picture():
    assert "<" not in widgets.AttentionExplorer("zero-layer", "x").inside()


def test_the_page_asks_nothing_of_the_network_and_holds_no_way_out_of_its_script(model):
    made = widgets.AttentionExplorer(model, "x = '</script><script>alert(1)</script>'")
    page = made.page()
    assert "alert(1)" not in page.replace("&lt;script&gt;alert(1)", "")
    namespace = "http://www.w3.org/2000/svg"  # a name, which nothing is fetched from
    assert "http" not in page.replace("python -m http.server", "").replace(namespace, "")
    assert page.count("</script>") == 2


@pytest.mark.parametrize("prompt", PROMPTS)
def test_patterns_are_the_models_own_to_a_hundredth(model, prompt):
    made = widgets.AttentionExplorer(model, PROMPTS)
    cache = model.run_with_cache(prompt)[1]
    for layer in range(2):
        run = cache[f"blocks.{layer}.attn.hook_pattern"][0]
        torch.testing.assert_close(made.pattern(prompt, layer), (100 * run).round() / 100, rtol=0, atol=1e-6)


def test_sizes_are_those_of_what_each_value_writes(model):
    made = widgets.AttentionExplorer({"a": model, "b": "one-layer"}, PROMPTS)
    ids = model.to_tokens(PROMPTS[0])
    stored = made.data["prompts"][PROMPTS[0]]["layers"]
    assert [layer["name"] for layer in stored] == ["a layer 0", "a layer 1", "b layer 0"]
    for head in range(8):  # in layer 0 the values read the embedding alone
        written = model.W_E[ids[0]] @ model.W_V[0, head] @ model.W_O[0, head]
        assert stored[0]["norms"][head] == pytest.approx(written.norm(dim=1).tolist(), abs=6e-4)


def test_models_that_cut_a_prompt_differently_are_not_compared(model, monkeypatch):
    other = models.load("one-layer")
    monkeypatch.setattr(other, "to_str_tokens", lambda ids: ["?"] * len(ids))
    made = widgets.AttentionExplorer({"a": model, "b": other}, "x")
    assert "share a tokenizer" in made.data["error"]


def test_the_still_figure_shows_what_is_chosen(model):
    made = widgets.AttentionExplorer(model, PROMPTS, layer=1, beside=0, head=6)
    drawn = [ax.images[0].get_array() for ax in made.still()]
    for array, layer in zip(drawn, (1, 0), strict=True):
        assert torch.equal(torch.as_tensor(array), made.pattern(PROMPTS[0], layer)[6])


def test_the_tables_name_the_token_most_attended_to(model):
    made = widgets.AttentionExplorer(model, "for value in")
    pattern = model.run_with_cache("for value in")[1]["blocks.0.attn.hook_pattern"][0]
    tokens = [token.replace(" ", "·") for token in model.to_str_tokens("for value in")]
    best = pattern[7, -1].max(-1)
    row = made.tables().split("<tr>")[1 + len(tokens)]
    assert f"<td>{tokens[best.indices]} {best.values:.2f}</td></tr>" in row


def test_256_tokens_are_answered_fast_and_small(model):
    made = widgets.AttentionExplorer(model, "x")
    long = " value = other\n    if x" * 42
    assert "error" not in ask(made, {"prompt": long})
    assert 250 < len(made.data["prompts"][long]["tokens"]) <= 256
    assert len(made.packed) < 400_000


def test_a_slider_needs_checkpoints_of_one_shape_and_a_number_of_each_curve_for_each(model):
    assert "no checkpoint to look at" in widgets.CheckpointExplorer({}, "x").data["error"]
    two = {0: "small-seed-1", 10: "small-seed-2"}
    assert "different numbers of heads" in widgets.CheckpointExplorer({**two, 20: model}, "x").data["error"]
    made = widgets.CheckpointExplorer(two, "x", curves={"score": [1.0]})
    assert "the curve 'score' has 1 numbers for 2 checkpoints" in made.data["error"]


def test_the_slider_stores_every_checkpoints_patterns_and_shows_the_chosen_one():
    models_of = {0: models.load("small-seed-1"), 10: models.load("small-seed-2")}
    made = widgets.CheckpointExplorer(models_of, PROMPTS, curves={"score": [0.123, 1]}, at=0, head=5, query=3)
    for i, each in enumerate(models_of.values()):
        cache = each.run_with_cache(PROMPTS[1])[1]
        both = torch.cat([cache["pattern", 0][0], cache["pattern", 1][0]])
        torch.testing.assert_close(made.pattern(PROMPTS[1], i), (100 * both).round() / 100, rtol=0, atol=1e-6)
    curve, heat = made.still()
    assert torch.equal(torch.as_tensor(heat.images[0].get_array()), made.pattern(PROMPTS[0], 0)[5])
    assert curve.get_lines()[0].get_ydata().tolist() == [0.123, 1]
    plt.close("all")
    assert "head 1:1 after 0 tokens" in made.described()
    assert "score: 0.12." in made.described()
    assert made.tables().count("<tr>") == 3


PLACES = {
    "00_start_here": ["Attention"],
    "01_residual_stream": ["Logit"],
    "03_attention_heads": ["Attention"],
    "04_one_layer_skip_trigrams": ["Logit", "Circuit"],
    "06_bugs_and_their_cost": ["Circuit"],
    "07_composition": ["Composition"],
    "08_induction_heads": ["Attention"],
    "10_term_importance": ["Logit"],
    "12_what_forms_first": ["Checkpoint"],
    "17_tokens_as_particles": ["Particle"],
    "20_released_models": ["Attention"],
}


@pytest.mark.parametrize("name", PLACES)
def test_explorers_stand_where_they_teach_behind_a_still_figure(name):
    cells = [cell for cell in nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4).cells if cell.cell_type == "code"]
    data = [[output.get("data", {}) for output in cell.outputs] for cell in cells]
    found = [
        (i, kind.group(1))
        for i, outputs in enumerate(data)
        for output in outputs
        if (kind := re.match(r"(\w+)(?:Explorer|Movie)\(", output.get("text/plain", "")))
    ]
    assert [kind for _, kind in found] == PLACES[name]
    figures = [i for i, outputs in enumerate(data) if any("image/png" in output for output in outputs)]
    if name.startswith("00"):
        assert found[0][0] == 3  # it opens with one, right after the two set-up cells and a drawing
    assert all(min(figures) < i for i, _ in found)
