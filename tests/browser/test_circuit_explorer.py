"""The circuit explorer, used: live in both Jupyters, as a page of its own, and without scripts."""

import driving
import pytest

from walkthrough import searches, widgets
from walkthrough.circuits import centred, ov_circuit, qk_circuit

PROMPTS = ["for value in values:\n    print(value)", "try:\n    x = f(x)"]
TOKENS = [" open", " with"]
SOURCE = f"""from walkthrough import widgets
explorer = widgets.CircuitExplorer("two-layer", {PROMPTS!r}, tokens={TOKENS!r})
explorer"""
LONG = " value = other\n    if x" * 42


@pytest.fixture(scope="module")
def explorer(model):
    return widgets.CircuitExplorer(model, PROMPTS, tokens=TOKENS)


def names(model, ids):
    return [model.to_string(token).replace(" ", "·").replace("\n", "⏎") for token in ids[:, None]]


def entries(model, text, layer, head, k=5):
    """What a card has to say of a token: destinations with their log-odds, then outputs with their logits."""
    source, lists = model.to_single_token(text), []
    for values, ids in (
        searches.column_entries(searches.relative_to(qk_circuit(model, layer, head)), source, k),
        searches.row_entries(centred(ov_circuit(model, layer, head)), source, k),
    ):
        lists += [(name, f"{value:.2f}") for name, value in zip(names(model, ids), values)]
    return lists


def card(page, head):
    rows = page.locator(".wt-card").nth(head).locator(".wt-entry")
    return [
        tuple(row) for row in rows.evaluate_all("rows => rows.map(row => [...row.children].map(c => c.textContent))")
    ]


def chosen(page, token):
    page.wait_for_function("token => document.querySelector('.wt-body').dataset.token === token", arg=token)


def offered(page):
    return page.locator("[role=option]").all_inner_texts()


def use(page, model):
    """Type, complete, click and wander among what is stored; the numbers that appear are the model's."""
    chosen(page, " open")
    assert [card(page, head) for head in (0, 5)] == [entries(model, " open", 0, head) for head in (0, 5)]
    page.click(".wt-token >> nth=1")
    chosen(page, "for")
    assert page.locator(".wt-token[aria-pressed=true]").all_inner_texts() == ["for"]
    assert card(page, 3) == entries(model, "for", 0, 3)

    typed = page.locator(".wt-typed")
    typed.fill("with")
    shown = offered(page)
    assert shown[:2] == ["with", "·with"]
    assert len(shown) <= 12
    assert all("with" in text.lower() for text in shown)
    assert typed.get_attribute("aria-expanded") == "true"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    active = page.locator(f"[id='{typed.get_attribute('aria-activedescendant')}']")
    assert (active.inner_text(), active.get_attribute("aria-selected")) == ("·with", "true")
    page.keyboard.press("Enter")
    chosen(page, " with")
    assert card(page, 7) == entries(model, " with", 0, 7)
    assert (typed.get_attribute("aria-expanded"), typed.input_value()) == ("false", "·with")
    assert page.locator("[role=option]:visible").count() == 0
    typed.fill(" op")
    assert "·open" in offered(page)
    page.keyboard.press("Escape")
    assert typed.get_attribute("aria-expanded") == "false"
    page.keyboard.press("Escape")
    assert typed.input_value() == "·with"
    typed.fill("elsewhere")
    assert page.locator("[role=option]").count() == 0
    page.keyboard.press("Enter")
    driving.message(page, "“elsewhere” is not one token of this model")
    chosen(page, " with")
    typed.fill(" open")
    page.keyboard.press("Enter")
    chosen(page, " open")
    driving.message(page, "")
    typed.fill("with")
    page.click("[role=option] >> nth=1")
    chosen(page, " with")

    page.select_option(".wt-layer", label="layer 1")
    assert "not on what earlier heads wrote" in page.inner_text(".wt-say")
    page.focus(".wt-title[data-head='6']")
    page.keyboard.press("Enter")
    page.wait_for_selector(".wt-title[data-head='6'][aria-expanded='true']:focus")
    assert card(page, 6) == entries(model, " with", 1, 6, 20)
    page.keyboard.press("Enter")
    page.wait_for_selector(".wt-title[data-head='6'][aria-expanded='false']:focus")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.firstChild.textContent") == entries(model, " with", 1, 6)[1][0]
    page.select_option(".wt-layer", label="layer 0")
    page.click(".wt-token >> nth=0")
    chosen(page, "<BOS>")
    assert "measured against <BOS>" in page.inner_text(".wt-say")
    assert page.locator(".wt-card >> nth=0 >> .wt-entry:visible").count() == 5


def test_live(lab, page, model):
    outside = driving.outside_requests(page, lab)
    driving.open_notebook(page, lab, lab.write("circuits", SOURCE))
    driving.run_all_cells(page)
    page.wait_for_selector(".wt-card")
    use(page, model)
    typed = page.locator(".wt-typed")
    typed.fill(" lambda")
    page.keyboard.press("Enter")
    chosen(page, " lambda")
    assert card(page, 2) == entries(model, " lambda", 0, 2)
    destination = page.locator(".wt-card >> nth=2 >> .wt-entry >> nth=0")
    text = model.to_string([int(destination.get_attribute("data-id"))])
    destination.focus()
    page.keyboard.press("Enter")
    chosen(page, text)
    assert card(page, 1) == entries(model, text, 0, 1)
    page.fill(".wt-prompt", "import os\\n\\nos.path")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelectorAll('.wt-token').length === 8")
    chosen(page, text)
    page.click(".wt-token >> nth=2")
    chosen(page, " os")
    assert card(page, 4) == entries(model, " os", 0, 4)
    for prompt, words in (("", "the prompt is empty"), ("x " * 300, "context is 256")):
        page.fill(".wt-prompt", prompt)
        page.keyboard.press("Enter")
        driving.message(page, words)
        assert page.locator(".wt-token").count() == 8
    driving.look_in_both_themes(page, "circuits_lab")
    assert driving.troubles(page) == []
    assert outside == []


def plain(explorer, folder):
    """The explorer as a page of its own, without Jupyter."""
    file = folder / "explorer.html"
    head = '<head><meta charset="utf-8"><title>x</title></head>'
    file.write_text(
        f'<!doctype html><html lang="en">{head}<body><main>{explorer.page()}</main></body></html>', encoding="utf-8"
    )
    return file.as_uri()


def test_without_a_kernel(page, explorer, model, tmp_path):
    outside = driving.outside_requests(page)
    page.goto(plain(explorer, tmp_path))
    page.wait_for_selector(".wt-card")
    use(page, model)
    page.fill(".wt-typed", " lambda")
    page.keyboard.press("Enter")
    driving.message(page, "has no kernel")
    chosen(page, "<BOS>")
    page.select_option(".wt-examples", index=1)
    page.wait_for_function("() => document.querySelector('.wt-token:nth-child(2)').textContent.startsWith('try')")
    page.click(".wt-token >> nth=1")
    chosen(page, "try")
    page.click(".wt-title[data-head='3']")
    for theme in ("light", "dark"):
        driving.set_theme(page, theme)
        assert driving.axe_violations(page) == []
        page.click(".wt-typed")  # its list is judged too
        assert driving.axe_violations(page) == []
        driving.keep_picture(page, f"circuits_page_{theme}")
    assert outside == []


def test_what_the_kernel_answered_is_there_when_the_notebook_is_opened_again(page, explorer, model, tmp_path):
    source = model.to_single_token(" lambda")
    made = widgets.CircuitExplorer(model, PROMPTS, tokens=TOKENS)
    made.view = {"token": " lambda", "found": explorer.entries([source])[source], "layer": 1}  # as the page chooses
    page.goto(plain(made, tmp_path))
    page.wait_for_selector(".wt-card")
    chosen(page, " lambda")
    assert card(page, 2) == entries(model, " lambda", 1, 2)


def test_without_scripts_there_are_tables_below_a_picture(chrome, explorer, tmp_path):
    context = chrome.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(plain(explorer, tmp_path))
    assert page.locator(".wt img + p + details table").count() == 3
    assert page.locator("table >> nth=0 >> tr").count() == 1 + 16
    assert page.locator("caption").all_text_contents() == ["Source ·open", "Source ·with", "Source for"]
    context.close()
