"""The composition explorer, used: live in both Jupyters, as a page of its own, and without scripts."""

import driving
import pytest
import torch

from walkthrough import models, widgets
from walkthrough.two_layers import composition

PROMPTS = ["name = 'Ada Lovelace'\nprint('Ada", "for key, value in items:\n    if key in"]
SOURCE = f"""from walkthrough import widgets
widgets.CompositionExplorer("two-layer", {PROMPTS!r})"""
LONG = " value = other\n    if x" * 42
PAGE = '<!doctype html><html lang="en"><meta charset="utf-8"><title>x</title><body><main>{}</main></body></html>'


@pytest.fixture(scope="module")
def explorer(model):
    return widgets.CompositionExplorer(model, PROMPTS)


def term(model, prompt, edge, query):
    """A row of an edge's circuit on a prompt, as the page prints it under the tokens."""
    kind, first, second = edge.split()
    first, second = (tuple(map(int, head.split(":"))) for head in (first, second))
    run = model.run_with_cache(prompt)[1]
    if kind == "V":
        row = (run["pattern", 1][0, second[1]] @ run["pattern", 0][0, first[1]])[query]
        return [f"{x:.2f}" if x > 0.005 else "" for x in row.tolist()]
    row = composition.composed_scores(model, run, kind, first, second)[query, : query + 1]
    return [f"{x:+.1f}".replace("-", "−") for x in (row - row.mean()).tolist()] + [""] * (
        len(run["z", 0][0]) - query - 1
    )


def close(printed, true):
    """Equal but for one step of the last digit: the page rounds what was stored in hundredths."""
    number = lambda text: float(text.replace("−", "-") or 0)
    return len(printed) == len(true) and all(abs(number(a) - number(b)) < 0.101 for a, b in zip(printed, true))


def small(page):
    return page.locator(".wt-circuit .wt-token small").all_inner_texts()


def lit(page, what):
    page.wait_for_selector(f".wt-body[data-lit='{what}']")


def opened(page, edge):
    page.wait_for_selector(f".wt-body[data-circuit='{edge}']")


def listed(page):
    return page.locator(".wt-edges button").evaluate_all("all => all.map(button => button.dataset.edge)")


def standing_out(page):
    return page.locator(".wt-graph g.wt-lit").evaluate_all("all => all.map(line => line.dataset.edge)")


def use(page, model, explorer):
    """Hover, click, keys, the switches and the slider; the numbers that appear are the model's."""
    scores = {kind: model.all_composition_scores(kind)[0, :, 1] for kind in "QKV"}
    assert listed(page) == list(explorer.edges)
    opened(page, "K 0:7 1:6")
    page.hover(".wt-node[data-head='1:6']")
    lit(page, "1:6")
    assert standing_out(page) == [edge for edge in explorer.edges if "1:6" in edge]
    page.locator(".wt-letter[data-edge='V 0:4 1:3']").hover()
    lit(page, "V 0:4 1:3")
    assert standing_out(page) == ["V 0:4 1:3"]
    assert f"{scores['V'][4, 3]:.4f}, {16 * scores['V'][4, 3]:.2f} × the baseline" in page.inner_text(
        ".wt-panels + .wt-say"
    )
    page.locator(".wt-letter[data-edge='V 0:4 1:3']").click()
    opened(page, "V 0:4 1:3")
    page.hover(".wt-circuit .wt-token >> nth=5")
    assert close(small(page), term(model, PROMPTS[0], "V 0:4 1:3", 5))
    page.focus(".wt-edges button >> nth=0")
    page.keyboard.press("ArrowRight")
    lit(page, "K 0:7 1:7")
    page.keyboard.press("Enter")
    opened(page, "K 0:7 1:7")
    page.focus(".wt-circuit .wt-token >> nth=5")
    page.keyboard.press("End")
    assert close(small(page), term(model, PROMPTS[0], "K 0:7 1:7", len(small(page)) - 1))
    side = page.locator(".wt-map canvas").bounding_box()["width"] / len(small(page))
    page.locator(".wt-map canvas").hover(position={"x": 3.5 * side, "y": 8.5 * side})
    page.wait_for_selector(".wt-body[data-query='8']")
    assert close(small(page), term(model, PROMPTS[0], "K 0:7 1:7", 8))
    number = page.inner_text(".wt-circuit-say").split(": ")[-1].rstrip(".")
    assert close([number], [term(model, PROMPTS[0], "K 0:7 1:7", 8)[3]])
    found = explorer.data["circuits"]["K 0:7 1:7"]
    cells = page.locator(".wt-circuit tbody tr >> nth=0").locator("th, td").all_inner_texts()
    assert [text.replace("·", " ") for text in cells[:2]] == found["top"][0][:2]
    assert cells[2] == f"+{found['top'][0][2]:.2f}"
    assert f"Eigenvalue positivity +{found['positivity']:.2f}" in page.inner_text(".wt-positivity")
    for kind in "QV":
        page.uncheck(f".wt-kind-{kind}")
    assert listed(page) == [edge for edge in explorer.edges if edge[0] == "K"]
    page.fill(".wt-least", "1.9")
    assert listed(page) == ["K 0:7 1:6", "K 0:7 1:7", "K 0:1 1:7"]
    page.focus(".wt-least")
    page.keyboard.press("Home")
    assert len(listed(page)) == (16 * scores["K"] >= 1).sum()
    page.fill(".wt-least", str(explorer.data["least"]))
    for kind in "QV":
        page.check(f".wt-kind-{kind}")
    page.click(".wt-node[data-head='0:1']")
    assert listed(page) == [edge for edge in explorer.edges if "0:1" in edge]
    page.focus(".wt-node[data-head='0:1']")
    page.keyboard.press("Enter")
    assert listed(page) == list(explorer.edges)


def test_live(lab, page, model, explorer):
    outside = driving.outside_requests(page, lab)
    driving.open_notebook(page, lab, lab.write("composition", SOURCE))
    driving.run_all_cells(page)
    page.wait_for_selector(".wt-body[data-circuit]")
    use(page, model, explorer)
    page.fill(".wt-least", "1")
    weak = listed(page)[-1]
    page.click(f".wt-edges button[data-edge='{weak}']")  # not stored: the kernel is asked
    opened(page, weak)
    page.hover(".wt-circuit .wt-token >> nth=6")
    assert close(small(page), term(model, PROMPTS[0], weak, 6))
    driving.ask(page, "import os\n\nos.path")
    page.wait_for_function("() => document.querySelectorAll('.wt-circuit .wt-token').length === 8")
    opened(page, weak)
    page.hover(".wt-circuit .wt-token >> nth=4")
    assert close(small(page), term(model, "import os\n\nos.path", weak, 4))
    for prompt, words in (("", "the prompt is empty"), ("x " * 300, "context is 256")):
        driving.ask(page, prompt)
        driving.message(page, words)
    driving.look_in_both_themes(page, "composition_lab")
    assert driving.troubles(page) == []
    assert outside == []


@pytest.fixture
def plain(explorer, tmp_path):
    """The explorer as a page of its own, without Jupyter."""
    file = tmp_path / "explorer.html"
    file.write_text(PAGE.format(explorer.page()), "utf-8")
    return file.as_uri()


def test_without_a_kernel(page, plain, model, explorer):
    outside = driving.outside_requests(page)
    page.goto(plain)
    page.wait_for_selector(".wt-body[data-circuit]")
    use(page, model, explorer)
    page.select_option(".wt-examples", index=1)
    page.wait_for_function("() => document.querySelector('.wt-token:nth-child(2)').textContent.startsWith('for')")
    page.hover(".wt-circuit .wt-token >> nth=7")
    edge = page.get_attribute(".wt-body", "data-circuit")
    assert close(small(page), term(model, PROMPTS[1], edge, 7))
    page.fill(".wt-least", "1")
    page.click(f".wt-edges button[data-edge='{listed(page)[-1]}']")
    driving.message(page, "has no kernel")
    opened(page, edge)
    for theme in ("light", "dark"):
        driving.set_theme(page, theme)
        page.hover(".wt-node[data-head='1:7']")
        assert driving.axe_violations(page) == []
        driving.keep_picture(page, f"composition_page_{theme}")
    assert outside == []


def test_three_layers_have_a_choice_of_pairs(page, tmp_path):
    shape = models.config(3, d_model=64, n_heads=4, n_ctx=64, d_vocab=4096)
    deep = models.bridge(models.PaperModel(shape, 5), models.load_tokenizer(), "deep")
    made = widgets.CompositionExplorer(deep, "import os", least=1.0)
    file = tmp_path / "deep.html"
    file.write_text(PAGE.format(made.page()), "utf-8")
    page.goto(file.as_uri())
    page.wait_for_selector(".wt-body[data-circuit]")
    for pair, (first, second) in enumerate(made.data["layers"]):
        page.select_option(".wt-pair", index=pair)
        of_pair = torch.tensor(made.data["scores"][pair]) * 8
        assert len(listed(page)) == (of_pair >= 1).sum()
        kind, write, read = (int(i[0]) for i in torch.where(of_pair == of_pair.max()))
        opened(page, f"{'QKV'[kind]} {first}:{write} {second}:{read}")
    assert page.inner_text(".wt-message") == ""


def test_the_map_is_a_square_also_where_it_is_as_wide_as_a_canvas_is_by_itself(page, model, tmp_path):
    prompt = "class Point:\n    def __init__(self, x, y):\n        self.x = x\n\nclass Point"
    file = tmp_path / "square.html"
    file.write_text(PAGE.format(widgets.CompositionExplorer(model, prompt).page()), encoding="utf-8")
    page.goto(file.as_uri())
    page.wait_for_selector(".wt-map canvas")
    assert page.eval_on_selector(".wt-map canvas", "map => [map.width, map.height]") == [300, 300]


def test_what_was_chosen_is_shown_when_it_is_opened_again(page, model, tmp_path):
    made = widgets.CompositionExplorer(
        model, PROMPTS, edge="Q 0:2 1:0", kinds="Q", least=1.2, query=3, prompt=PROMPTS[1]
    )
    file = tmp_path / "chosen.html"
    file.write_text(PAGE.format(made.page()), "utf-8")
    page.goto(file.as_uri())
    opened(page, "Q 0:2 1:0")
    assert listed(page) == [edge for edge, times in made.edges.items() if edge[0] == "Q" and times >= 1.2]
    assert close(small(page), term(model, PROMPTS[1], "Q 0:2 1:0", 3))


def test_without_scripts_there_are_tables_below_a_picture(chrome, plain, explorer):
    context = chrome.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(plain)
    assert page.locator(".wt img + p + details table").count() == 2
    assert page.locator("table >> nth=0 >> tr").count() == 1 + len(explorer.edges)
    context.close()


def test_a_model_without_a_second_layer_gets_a_sentence(page, tmp_path):
    file = tmp_path / "one.html"
    file.write_text(PAGE.format(widgets.CompositionExplorer("one-layer", "x").page()), "utf-8")
    page.goto(file.as_uri())
    driving.message(page, "one-layer has no second layer")
