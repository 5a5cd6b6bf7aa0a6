"""The checkpoint explorer, used as a page of its own: slider, chart, heads and tokens, by pointer and by keys."""

import driving
import pytest

from walkthrough import widgets
from walkthrough.two_layers import forming

PROMPTS = ["for value in values:\n    print(value)", "try:\n    x = f(x)"]


@pytest.fixture(scope="module")
def series():
    return {forming.tokens_at(step): model for step, model in list(forming.checkpoints().items())[::6]}


@pytest.fixture(scope="module")
def explorer(series):
    return widgets.CheckpointExplorer(series, PROMPTS, curves={"one": [0.1, 0.2, 0.4, 0.9], "two": [0, 0, 1, 0.88]})


@pytest.fixture
def plain(explorer, tmp_path):
    file = tmp_path / "explorer.html"
    head = '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>x</title></head>'
    file.write_text(f"{head}<body><main>{explorer.page()}</main></body></html>", encoding="utf-8")
    return file.as_uri()


def from_token(model, prompt, layer, head, query):
    """Attention from one token, as the page prints it: nothing below 0.05."""
    pattern = model.run_with_cache(prompt)[1][f"blocks.{layer}.attn.hook_pattern"][0, head, query]
    return [f"{share:.2f}" if share > 0.0449 else "" for share in pattern.tolist()]


def small(page):
    return page.locator(".wt-token small").all_inner_texts()


def test_slider_chart_heads_and_tokens_show_the_models_own_numbers(page, plain, series):
    outside, faults = driving.outside_requests(page), []
    page.on("pageerror", lambda fault: faults.append(str(fault)))
    page.goto(plain)
    models, tokens = list(series.values()), list(series)
    page.wait_for_selector(".wt-body[data-at='3']")
    assert f"after {tokens[3]:,} tokens" in page.inner_text(".wt-when-shown")
    page.click(".wt-head[data-head='6']")
    page.hover(".wt-token >> nth=5")
    page.wait_for_selector(".wt-body[data-query='5'][data-head='6']")
    assert small(page) == from_token(models[3], PROMPTS[0], 1, 2, 5)
    page.focus(".wt-when")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector(".wt-body[data-at='2']")
    page.press(".wt-token >> nth=5", "ArrowRight")
    page.wait_for_selector(".wt-body[data-query='6']")
    assert small(page) == from_token(models[2], PROMPTS[0], 1, 2, 6)
    assert page.inner_text(".wt-numbers") == "one: 0.40; two: 1.00"
    assert page.get_attribute(".wt-when", "aria-valuetext") == f"after {tokens[2]:,} tokens"
    assert page.inner_text(".wt-heading") == "Checkpoint explorer"
    page.click(".wt-tables > summary")
    page.locator(".wt-tables table").first.wait_for()  # filled when it has opened
    column = page.locator(".wt-tables table").first.locator("tbody td:nth-child(8)").all_inner_texts()  # of head 1:2
    assert [text if float(text) >= 0.05 else "" for text in column] == small(page)
    assert page.locator(".wt-tables table").nth(1).locator("tr").nth(3).inner_text().split() == [
        f"{tokens[2]:,}",
        "0.40",
        "1.00",
    ]
    page.click(".wt-run", position={"x": 45, "y": 60})
    page.wait_for_selector(".wt-body[data-at='0']")
    page.select_option(".wt-examples", index=1)
    page.wait_for_function("() => document.querySelector('.wt-token:nth-child(2)').textContent.startsWith('t')")
    assert page.locator(".wt-body").get_attribute("data-at") == "0"
    for theme in ("light", "dark"):
        driving.set_theme(page, theme)
        assert driving.axe_violations(page) == []
        driving.keep_picture(page, f"checkpoints_{theme}")
    assert (outside, faults) == ([], [])


def test_without_scripts_there_is_a_table_with_a_row_for_each_checkpoint(chrome, plain):
    context = chrome.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(plain)
    assert page.locator(".wt img + p + details table tr").count() == 1 + 4
    context.close()
