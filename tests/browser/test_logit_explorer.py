"""The logit explorer, used: live in both Jupyters, as a page of its own, and without scripts."""

import driving
import pytest
import torch

from walkthrough import models, paths, widgets

PROMPTS = ["import numpy as np\n\ndef total(values):\n    result = 0\n    for value in", "try:\n    x = f(x)"]
LONG = " value = other\n    if x" * 42
SOURCE = f"""from walkthrough import widgets
explorer = widgets.LogitExplorer("two-layer", {PROMPTS!r})
explorer"""


@pytest.fixture(scope="module")
def terms(model):
    """The paths of the first prompt, [path pos d_vocab], and their names."""
    expansion = paths.path_expansion(model, model.to_tokens(PROMPTS[0]))
    return list(expansion), torch.stack(list(expansion.values()))[:, 0]


@pytest.fixture(scope="module")
def logits(model):
    return model(PROMPTS[0])[0]


def signed(value):
    return f"{value:+.2f}".replace("-", "−")


def number(text):
    return float(text.replace("−", "-").replace("+", ""))


def bars(page):
    """Names and numbers of the bars."""
    names, values = (page.locator(f".wt-bar {part}").all_inner_texts() for part in (".wt-name", ".wt-value"))
    return dict(zip(names, map(number, values), strict=True))


def near(shown, exact):
    """Printed with two decimals."""
    return shown == pytest.approx(float(exact), abs=0.0051)


def wait(page, **state):
    for name, value in state.items():
        page.wait_for_selector(f".wt-body[data-{name}='{value}']")


def sources(page):
    """The numbers written in the tokens."""
    return page.locator(".wt-token small").all_inner_texts()


def of_head(model, layer, head, position, token, above=True):
    """What the page must write: a head's logits from each position, by way of W_E alone, if not below 0.05."""
    cache = model.run_with_cache(PROMPTS[0])[1]
    (_, _, W_V, W_O), W_U = models.head_weights(model, layer, head), model.W_U[:, token]
    readout = W_U - model.W_U.mean(-1) if above else W_U
    split = cache["pattern", layer][0, head, position] * (cache["hook_embed"][0] @ W_V @ W_O @ readout)
    return [signed(part) if abs(part) >= 0.045 else "" for part in split.tolist()]


def use(page, model, terms, logits):
    """Hover, click, keys and the switches; the numbers that appear are the model's."""
    names, values = terms
    wait(page, position=19, target=0)
    top = logits[19].topk(5).indices
    above = values[:, 19] - values[:, 19].mean(-1, keepdim=True)
    shown = bars(page)
    assert len(shown) == 13
    others, sizes = shown.pop("the other 69 paths together"), [abs(value) for value in shown.values()]
    assert sizes == sorted(sizes, reverse=True)
    exact = {name: above[names.index(name), top[0]] for name in shown}
    assert all(near(shown[name], exact[name]) for name in shown)
    assert near(others, above[:, top[0]].sum() - sum(exact.values()))
    said = page.inner_text(".wt-total")
    assert f"The 81 paths to “·values” add up to {signed(above[:, top[0]].sum())} (its logit" in said
    assert f"its logit, {signed(logits[19, top[0]])}, less" in said

    page.click(".wt-bar:has-text('1:3') >> nth=0")
    wait(page, path="1:3")
    assert sources(page) == of_head(model, 1, 3, 19, top[0])
    assert f"Of the {signed(above[names.index('1:3'), top[0]])} logits of 1:3" in page.inner_text(".wt-from")
    page.click(".wt-guess[data-target='1']")
    wait(page, target=1)
    assert near(bars(page)["1:3"], above[names.index("1:3"), top[1]])

    page.click(".wt-all")
    every = bars(page)
    assert len(every) == 81
    assert sorted(every) == sorted(names)
    assert all(near(every[name], above[i, top[1]]) for i, name in enumerate(names))
    page.uncheck(".wt-above")
    every = bars(page)
    assert all(near(every[name], values[i, 19, top[1]]) for i, name in enumerate(names))
    logit = signed(logits[19, top[1]])
    assert f"add up to {logit} (its logit: {logit.removeprefix('+')})." in page.inner_text(".wt-total")
    assert sources(page) == of_head(model, 1, 3, 19, top[1], above=False)
    page.check(".wt-above")
    page.click(".wt-all")

    page.hover(".wt-token >> nth=8")
    wait(page, position=8)
    first = logits[8].argmax()
    shown = page.locator(".wt-guess .wt-piece").all_inner_texts()
    assert shown[:5] == [t.replace(" ", "·").replace("\n", "⏎") for t in model.to_str_tokens(logits[8].topk(5).indices)]
    probabilities = page.locator(".wt-guess small").all_inner_texts()
    assert float(probabilities[0]) == pytest.approx(logits[8].softmax(-1)[first].item(), abs=0.0051)
    page.hover(".wt-prompt")
    wait(page, position=19)
    page.focus(".wt-token >> nth=9")
    page.keyboard.press("ArrowLeft")
    wait(page, position=8)
    page.keyboard.press("Enter")
    page.focus(".wt-guess[data-target='0']")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    wait(page, position=8, target=5)
    following = model.to_tokens(PROMPTS[0])[0, 9]
    assert all(
        near(value, values[names.index(name), 8, following] - values[names.index(name), 8].mean())
        for name, value in list(bars(page).items())[:12]
    )
    page.focus(".wt-bar >> nth=0")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    assert page.get_attribute(".wt-bar >> nth=1", "aria-pressed") == "true"
    page.focus(".wt-token >> nth=8")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    wait(page, position=19, target=0)  # nothing comes after the last token


def test_live(lab, page, model, terms, logits):
    outside = driving.outside_requests(page, lab)
    driving.open_notebook(page, lab, lab.write("logits", SOURCE))
    driving.run_all_cells(page)
    page.wait_for_selector(".wt-bar")
    use(page, model, terms, logits)
    page.click(".wt-all")  # a path whose sources are not stored
    page.locator(".wt-bar").last.click()
    page.wait_for_function("() => document.querySelector('.wt-from').textContent.startsWith('Of the')")
    page.click(".wt-all")
    driving.ask(page, LONG)
    page.wait_for_function("() => document.querySelectorAll('.wt-token').length > 250")
    wait(page, position=len(model.to_tokens(LONG)[0]) - 1, stored="true")
    page.click(".wt-token >> nth=100")  # a position that is not stored
    wait(page, position=100, stored="true")
    assert f"(its logit, {signed(model(LONG)[0, 100].max()).removeprefix('+')}, less" in page.inner_text(".wt-total")
    for prompt, words in (("", "the prompt is empty"), ("x " * 300, "context is 256")):
        driving.ask(page, prompt)
        driving.message(page, words)
    page.select_option(".wt-examples", index=1)
    page.wait_for_function("() => document.querySelector('.wt-token:nth-child(2)').textContent.startsWith('try')")
    page.click(".wt-ablation > summary")
    page.click(".wt-cut [data-of='1:6']")
    page.wait_for_function("() => document.querySelector('.wt-changed').textContent.startsWith('Without head 1:6, ')")
    assert page.locator(".wt-share").count() >= 10
    driving.look_in_both_themes(page, "logits_lab")
    assert driving.troubles(page) == []
    assert outside == []


@pytest.fixture
def show(page, tmp_path):
    """Opens an explorer as a page of its own, without Jupyter."""

    def open_page(made, page=page):
        file = tmp_path / "explorer.html"
        file.write_text(
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>x</title></head><body><main>{made.page()}</main></body></html>',
            encoding="utf-8",
        )
        page.goto(file.as_uri())
        return page

    return open_page


def test_without_a_kernel(show, model, terms, logits):
    page = show(widgets.LogitExplorer(model, PROMPTS))
    outside = driving.outside_requests(page)
    page.wait_for_selector(".wt-bar")
    use(page, model, terms, logits)
    for theme in ("light", "dark"):
        driving.set_theme(page, theme)
        assert driving.axe_violations(page) == []
        driving.keep_picture(page, f"logits_page_{theme}")
    page.click(".wt-all")
    page.locator(".wt-bar").last.click()
    driving.message(page, "has no kernel")
    assert "is not stored in this page" in page.inner_text(".wt-from")
    page.locator(".wt-bar").first.click()
    driving.message(page, "")
    assert page.inner_text(".wt-from").startswith("Of the")
    page.select_option(".wt-examples", index=1)
    page.wait_for_function("() => document.querySelector('.wt-token:nth-child(2)').textContent.startsWith('try')")
    wait(page, position=page.locator(".wt-token").count() - 1)
    assert outside == []


def test_a_saved_choice_comes_back(show, model):
    page = show(widgets.LogitExplorer(model, PROMPTS, position=8, target=2, path="1:4", above=False, all=True))
    wait(page, position=8, target=2, path="1:4")
    assert page.locator(".wt-bar").count() == 81
    assert not page.is_checked(".wt-above")


def test_a_model_of_one_layer_has_no_virtual_heads_and_no_others(show):
    page = show(widgets.LogitExplorer("one-layer", PROMPTS))
    page.wait_for_selector(".wt-bar")
    assert sorted(bars(page)) == ["0:0", "0:1", "0:2", "0:3", "0:4", "0:5", "0:6", "0:7", "direct"]
    assert page.is_hidden(".wt-all")


def test_without_scripts_there_are_tables_below_a_picture(chrome, show, model):
    context = chrome.new_context(java_script_enabled=False)
    page = show(widgets.LogitExplorer(model, PROMPTS), context.new_page())
    assert page.locator(".wt img + p + details table").count() == 2
    assert page.locator("table >> nth=1 >> tr").count() == 1 + 12 + 2
    context.close()
