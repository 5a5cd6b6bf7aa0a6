"""Heads ablated in the explorers, by hand and by keys: with a kernel, which the test plays, and by the page's own engine."""

import json
import mimetypes
import re

import driving
import numpy as np
import pytest

from walkthrough import models, paths, widgets
from walkthrough.interventions import ablate
from walkthrough.widgets.page import STATIC

PROMPT = "class Walrus:\n    def swim(self):\n        pass\n\npet = Wal"
SITE = "http://localhost:1/"
LIVE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>x</title><style>{css}</style></head><body>
<main id="place"></main><script type="module">
{script}
const state = {state}, on = {{}};
window.held = [];
window.state = state;
window.hold = false;
window.answered = 0;
window.reply = (message) => on["msg:custom"].forEach((listener) => listener(message));
const model = {{
  get: (key) => state[key], set: (key, value) => {{ state[key] = value; }}, save_changes() {{}}, off() {{}},
  on: (event, listener) => (on[event] ??= []).push(listener),
  send: async (message) => {{
    if (hold) held.push(message); else reply(JSON.parse(await kernel(JSON.stringify(message))));
    answered++;
  }},
}};
explore({{ model, el: document.getElementById("place") }}, draw, "x");
</script></body></html>"""


@pytest.fixture(scope="module")
def explorers(model):
    """The two explorers that ablate."""
    return {
        "attention": widgets.AttentionExplorer({"two": model, "one": "one-layer"}, [PROMPT, "try:"], layer=1, head=6),
        "logit": widgets.LogitExplorer(model, [PROMPT, "try:"]),
    }


@pytest.fixture
def faults(page):
    """What goes wrong in the page, or leaves it: nothing may."""
    found = driving.outside_requests(page)
    page.on("pageerror", lambda fault: found.append(str(fault)))
    yield found
    assert [fault for fault in found if not fault.startswith(SITE)] == []


@pytest.fixture
def live(page, faults, tmp_path):
    """An explorer with a kernel that this test plays: `page.evaluate("hold = true")` keeps its questions back."""

    def show(made, **view):
        def kernel(text):
            sent, message = [], json.loads(text)
            made.send = lambda content, **_: sent.append(content)
            made.heard(made, message, [])
            return json.dumps(sent[0])

        page.expose_function("kernel", kernel)
        state = json.dumps({"packed": made.packed, "view": made.view | view})
        file = tmp_path / "page.html"
        file.write_text(LIVE.format(css=made.css, script=made._script, state=state), encoding="utf-8")
        page.goto(file.as_uri())
        page.wait_for_selector(".wt-ablation", state="attached")
        return page

    return show


def said(page, words):
    """Wait until the sentence says so; the sentence."""
    page.wait_for_function("words => document.querySelector('.wt-changed').textContent.includes(words)", arg=words)
    return page.inner_text(".wt-changed")


def falls(model, heads, hooks=()):
    """The sentence's numbers: the likeliest token's probability, as it is and without these heads."""
    ids = model.to_tokens(PROMPT)
    plain = model(ids)[0, -1].softmax(-1)
    changed = model.run_with_hooks(ids, fwd_hooks=[*hooks, *ablate(model, heads)])[0, -1].softmax(-1)
    best = plain.argmax()
    return f"from {plain[best]:.2f} to {changed[best]:.2f} after “al” (position 23)"


def use(page, model):
    """A head, another head in one click, several, frozen patterns, each head in turn, and nothing again."""
    assert page.is_hidden(".wt-changed")  # folded at first
    page.click(".wt-ablation > summary")
    assert page.inner_text(".wt-changed") == "Nothing is ablated: choose a head."
    page.click(".wt-cut [data-of='1:6']")
    assert said(page, "Without head 1:6, ").startswith(f"Without head 1:6, “r” falls {falls(model, [(1, 6)])}")
    page.click(".wt-cut [data-of='1:3']")  # the control is one click away
    assert falls(model, [(1, 3)]) in said(page, "Without head 1:3, ").replace("rises", "falls")
    assert page.locator(".wt-cut [aria-pressed='true']").count() == 1
    page.check(".wt-several")
    page.click(".wt-cut [data-of='1:6']")
    assert falls(model, [(1, 3), (1, 6)]) in said(page, "Without heads 1:3 and 1:6, ")
    page.click(".wt-cut [data-of='1:3']")
    page.uncheck(".wt-several")
    page.click(".wt-cut [data-of='0:7']")
    page.click(".wt-all-frozen")
    assert page.locator(".wt-hold [data-of][aria-pressed='true']").count() == 15  # not that of the ablated head
    cache = model.run_with_cache(PROMPT)[1]
    frozen = paths.freeze([cache["pattern", layer] for layer in range(2)])
    sentence = said(page, "Without head 0:7, and with every other pattern frozen, ")
    assert falls(model, [(0, 7)], frozen) in sentence
    assert page.locator(".wt-share").count() >= 10
    page.click(".wt-sweep")
    page.wait_for_selector(".wt-turns:visible")
    label = page.get_attribute(".wt-cut [data-of='1:6']", "aria-label")
    shares = falls(model, [(1, 6)], frozen).split()
    assert label == f"zero-ablate head 1:6: {shares[3]} then"
    left = [falls(model, [(layer, head)], frozen).split()[3] for layer in range(2) for head in range(8)]
    middle = re.search(r"the median over heads is (\S+)\.$", page.inner_text(".wt-turns")).group(1)
    assert abs(float(middle) - np.median([float(share) for share in left])) < 0.011
    page.click(".wt-each summary")
    page.wait_for_function("() => document.querySelectorAll('.wt-each tbody tr').length === 23")
    page.click(".wt-none")
    assert said(page, "Nothing is ablated") == "Nothing is ablated: choose a head."
    assert page.locator(".wt-which [aria-pressed='true']").count() == 0
    assert page.locator(".wt-share:visible").count() == 0


def test_a_frozen_pattern_that_nothing_changes_is_said_to_change_nothing(live, explorers):
    page = live(explorers["attention"], changed={"ablate": [[1, 6]], "freeze": [[1, 7], [0, 2]]})
    assert "What is frozen changes nothing here" in said(page, "Without head 1:6, and with the patterns of")
    page.click(".wt-cut [data-of='0:7']")
    assert "changes nothing" not in said(page, "Without head 0:7, and with the patterns of")


def test_pasted_lines_stay_lines_and_what_is_drawn_of_another_prompt_pales(live, model):
    page = live(widgets.AttentionExplorer(model, [PROMPT, "try:"], layer=1))  # its own: it goes on to other prompts
    page.wait_for_selector(".wt-head")
    clipped = "[...document.querySelectorAll('.wt-head small')].filter(s => s.scrollWidth > s.clientWidth).length"
    for token in page.query_selector_all(".wt-token"):  # whatever is looked at, each head's number has room
        token.hover()
        assert page.evaluate(clipped) == 0
    page.fill(".wt-prompt", "")
    page.evaluate("""() => {
        const field = document.querySelector(".wt-prompt"), text = new DataTransfer()
        text.setData("text/plain", "x = 'a\\\\b'\\r\\n\\ty")
        field.dispatchEvent(new ClipboardEvent("paste", { clipboardData: text, cancelable: true }))
    }""")
    assert page.input_value(".wt-prompt") == r"x = 'a\\b'\n\ty"
    page.click(".wt-go")
    page.wait_for_function("answered === 1")
    assert page.inner_text(".wt-message") == ""
    page.fill(".wt-prompt", "")
    page.click(".wt-go")
    page.wait_for_function("document.querySelector('.wt-message').textContent.includes('is empty')")
    assert page.locator(".wt-body.wt-old").count() == 1
    page.fill(".wt-prompt", "try:")
    page.click(".wt-go")
    page.wait_for_selector(".wt-body:not(.wt-old)")
    assert page.inner_text(".wt-message") == ""


@pytest.mark.parametrize("kind", ["attention", "logit"])
def test_ablating_with_a_kernel(kind, live, explorers, model):
    page = live(explorers[kind])
    use(page, model)
    page.click(".wt-cut [data-of='1:6']")
    said(page, "Without head 1:6")
    for width, theme in ((1400, "light"), (360, "dark")):
        driving.resize(page, width)
        driving.set_theme(page, theme)
        said(page, "Without head 1:6")  # drawn anew
        page.wait_for_selector(".wt-share")
        assert driving.axe_violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        driving.keep_picture(page, f"ablating_{kind}_{width}_{theme}")


def test_by_keys_alone(live, explorers):
    page = live(explorers["logit"])
    page.focus(".wt-ablation > summary")
    page.keyboard.press("Enter")
    page.focus(".wt-cut [data-of='0:0']")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    said(page, "Without head 1:6, “r” falls from 0.88 to ")
    assert page.evaluate("document.activeElement.dataset.of") == "1:6"
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")  # past "all"
    page.keyboard.press("Enter")
    said(page, "and with the pattern of 0:0 frozen")
    page.focus(".wt-hold [data-of='1:6']")
    page.keyboard.press("Enter")  # of an ablated head: nothing to freeze
    assert page.evaluate("state.view.changed") == {"model": 0, "ablate": [[1, 6]], "freeze": [[0, 0]]}
    page.focus(".wt-none")
    page.keyboard.press("Enter")
    said(page, "Nothing is ablated: choose a head.")
    assert page.evaluate("document.activeElement.className") == "wt-none"


def test_of_two_heads_the_later_stays_whichever_answer_comes_first(live, explorers):
    made = explorers["logit"]
    page = live(made, changing=True)
    page.evaluate("hold = true")
    page.click(".wt-cut [data-of='1:6']")
    page.click(".wt-cut [data-of='1:3']")
    first, second = page.evaluate("held")
    assert (first["question"]["ablate"], second["question"]["ablate"]) == ([[1, 6]], [[1, 3]])
    for message in (second, first):
        page.evaluate("reply", {"id": message["id"], "answer": made.answer(message["question"])})
    assert "Without head 1:3" in said(page, "Without head")
    page.click(".wt-cut [data-of='0:1']")
    said(page, "No answer has come yet")
    driving.message(page, "The kernel does not answer: it is busy")
    late = page.evaluate("held")[-1]
    page.evaluate("reply", {"id": late["id"], "answer": made.answer(late["question"])})  # it was only slow
    said(page, "Without head 0:1, ")
    driving.message(page, "")


def test_the_position_and_the_prediction_are_those_of_the_explorer(live, explorers, model):
    page = live(explorers["logit"], changing=True)
    page.click(".wt-cut [data-of='1:6']")
    said(page, "Without head 1:6")
    page.click(".wt-token >> nth=8")
    page.click(".wt-guess[data-target='5']")  # what really comes after that token
    comes = model.to_str_tokens(PROMPT)[9].replace(" ", "·")
    assert f"“{comes}”" in said(page, "(position 8)").split("; ")[0]
    assert page.inner_text(".wt-loss").startswith(f"Loss on “{comes}”, which comes next: ")


def test_patterns_are_those_of_the_changed_run_until_nothing_is_ablated(live, explorers, model):
    page = live(explorers["attention"], changing=True)
    shares = lambda: page.locator(".wt-token small").all_inner_texts()
    plain = shares()
    page.click(".wt-cut [data-of='0:7']")
    said(page, "Without head 0:7")
    page.wait_for_selector(".wt-whose:visible")
    with model.hooks(fwd_hooks=ablate(model, [(0, 7)])):
        pattern = model.run_with_cache(PROMPT)[1]["pattern", 1][0, 6, -1]
    assert shares() == [f"{share:.2f}" if share > 0.0449 else "" for share in pattern.tolist()] != plain
    page.click(".wt-hold [data-of='1:6']")
    said(page, "and with the pattern of 1:6 frozen")
    assert shares() == plain
    page.click(".wt-none")
    page.wait_for_selector(".wt-whose", state="hidden")
    assert shares() == plain
    page.select_option(".wt-ablation select", label="one")
    assert page.locator(".wt-cut button").count() == 8
    page.click(".wt-cut [data-of='0:2']")
    said(page, "Without head 0:2")
    assert page.evaluate("state.view.changed.model") == 1


@pytest.mark.parametrize(
    "changed", [{"ablate": "x", "freeze": 3, "model": 9}, {"ablate": [[9, 9], [0], None, "0:99"]}, "x", 5, None]
)
def test_what_there_is_not_is_not_ablated(changed, live, explorers):
    page = live(explorers["logit"], changed=changed, changing=True)
    assert said(page, "Nothing") == "Nothing is ablated: choose a head."


def test_a_saved_choice_comes_back(live, explorers):
    page = live(explorers["logit"], changed={"model": 0, "ablate": [[1, 6], [1, 3]], "freeze": [[0, 1]]})
    said(page, "Without heads 1:3 and 1:6, and with the pattern of 0:1 frozen, ")
    assert page.is_checked(".wt-several")


@pytest.fixture
def site(page, faults):
    """An explorer on a page of a site that holds the engine and the weights, without any kernel."""

    def serve(route):
        path = route.request.url.removeprefix(SITE).split("?")[0]
        root = models.WEIGHTS if path.startswith("engine/weights/") else STATIC / "engine"
        file = root / path.removeprefix("engine/weights/").removeprefix("engine/")
        if not file.is_file():
            return route.fulfill(status=404)
        route.fulfill(body=file.read_bytes(), content_type=mimetypes.guess_type(file.name)[0] or "text/javascript")

    def show(made):
        head = f'<meta charset="utf-8"><title>x</title><meta name="walkthrough-engine" content="{SITE}engine/">'
        html = f'<!doctype html><html lang="en"><head>{head}</head><body><main>{made.page()}</main></body></html>'
        page.route(f"{SITE}**", serve)
        page.route(f"{SITE}page.html", lambda route: route.fulfill(body=html, content_type="text/html"))
        page.goto(f"{SITE}page.html")
        page.wait_for_selector(".wt-ablation", state="attached")
        return page

    return show


@pytest.mark.parametrize("kind", ["attention", "logit"])
def test_ablating_by_the_pages_engine(kind, site, explorers, model):
    page = site(explorers[kind])
    use(page, model)
    page.click(".wt-cut [data-of='1:6']")
    said(page, "(position 23)")
    page.focus(".wt-prompt")
    page.keyboard.press("End")
    page.keyboard.type("r")  # as one types, the head stays ablated
    sentence = said(page, "(position 24)")
    ids = model.to_tokens(PROMPT + "r")
    changed = model.run_with_hooks(ids, fwd_hooks=ablate(model, [(1, 6)]))[0, -1].softmax(-1)
    best = model(ids)[0, -1].argmax()
    assert sentence.startswith("Without head 1:6, ")
    assert f"{changed[best]:.2f} after “r” (position 24)" in sentence
