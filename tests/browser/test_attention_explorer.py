"""The attention explorer, used: live in both Jupyters, in a saved notebook, as a page of its own, and without scripts."""

import json

import driving
import pytest

from walkthrough import widgets
from walkthrough.widgets.explorer import shown

PROMPTS = ["for value in values:\n    print(value)", "try:\n    x = f(x)"]
SOURCE = f"""from walkthrough import widgets
explorer = widgets.AttentionExplorer({{"two": "two-layer", "one": "one-layer"}}, {PROMPTS!r})
explorer"""
PIXEL = "() => document.querySelector('.wt-head canvas').getContext('2d').getImageData(0, 0, 1, 1).data.join()"
LONG = " value = other\n    if x" * 42


@pytest.fixture(scope="module")
def explorer(model):
    return widgets.AttentionExplorer({"two": model, "one": "one-layer"}, PROMPTS)


def from_token(model, prompt, layer, head, query):
    """Attention from one token, as the page prints it: nothing below 0.05."""
    pattern = model.run_with_cache(prompt)[1][f"blocks.{layer}.attn.hook_pattern"][0, head, query]
    return [f"{share:.2f}" if share > 0.0449 else "" for share in pattern.tolist()]


def small(page, panel=0):
    return page.locator(".wt-panel").nth(panel).locator(".wt-token small").all_inner_texts()


def use(page, model, prompt):
    """Hover, click, keys, the switch and two layers; the numbers that appear are the model's."""
    page.hover(".wt-token >> nth=3")
    page.wait_for_selector(".wt-body[data-query='3']")
    assert small(page) == from_token(model, prompt, 0, 0, 3)
    page.click(".wt-token >> nth=3")
    page.click(".wt-head[data-head='5']")
    page.wait_for_selector(".wt-head[data-head='5'][aria-pressed='true']")
    assert small(page) == from_token(model, prompt, 0, 5, 3)
    page.hover(".wt-token >> nth=2")
    page.wait_for_selector(".wt-body[data-query='2']")
    page.hover(".wt-head[data-head='5']")
    page.wait_for_selector(".wt-body[data-query='3']")
    page.press(".wt-token >> nth=3", "ArrowRight")
    page.wait_for_selector(".wt-body[data-query='4']")
    page.keyboard.press("End")
    page.wait_for_selector(f".wt-body[data-query='{len(model.to_tokens(prompt)[0]) - 1}']")
    page.select_option(".wt-side-1", label="two layer 1")
    assert small(page, 1) == from_token(model, prompt, 1, 5, 3)
    before = small(page)
    page.check(".wt-weighted")
    assert small(page) != before
    page.uncheck(".wt-weighted")
    assert small(page) == before
    page.select_option(".wt-side-1", label="nothing")
    assert page.locator(".wt-panel").count() == 1


def until_kernel(page, code, words):
    """Wait until the notebook's kernel prints this for the code: ipywidgets may send what it has heard a moment later."""
    for _ in range(50):
        if words in (said := kernel(page, code)):
            return
        page.wait_for_timeout(100)
    assert words in said


def kernel(page, code):
    """What the notebook's kernel prints for this code."""
    return page.evaluate("""async code => {
        const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel, heard = []
        const run = kernel.requestExecute({code})
        run.onIOPub = ({content}) => heard.push(content.text ?? '')
        await run.done
        return heard.join('')
    }""", code)  # fmt: skip


@pytest.mark.parametrize("jupyter", ["lab", "notebook7"])
def test_live(jupyter, request, page, model):
    server = request.getfixturevalue(jupyter)
    outside = driving.outside_requests(page, server)
    driving.open_notebook(page, server, server.write("attention", SOURCE))
    driving.run_all_cells(page)
    page.wait_for_selector(".wt-token")
    use(page, model, PROMPTS[0])
    page.hover(".wt-token >> nth=2")
    page.focus(".wt-token >> nth=2")
    page.wait_for_timeout(500)  # Jupyter makes the cell the active one, and may take the focus for a moment
    page.press(".wt-token >> nth=2", "Enter")
    page.wait_for_selector(".wt-token[data-pos='2'][aria-pressed='true']")
    until_kernel(page, "print(explorer.view)", "'query': 2")
    typed = "import os\n\nos.path"
    length = model.to_tokens(typed).shape[1]
    driving.ask(page, typed)
    page.wait_for_function("n => document.querySelectorAll('.wt-token').length === n", arg=length)
    page.hover(".wt-token >> nth=2")
    page.wait_for_selector(".wt-body[data-query='2']")
    assert small(page) == from_token(model, typed, 0, 5, 2)
    for prompt, words in (("", "the prompt is empty"), ("x " * 300, "context is 256")):
        driving.ask(page, prompt)
        driving.message(page, words)
        assert page.locator(".wt-token").count() == length
    page.select_option(".wt-examples", index=1)
    page.wait_for_function("() => document.querySelector('.wt-token:nth-child(2)').textContent.startsWith('try')")
    page.click(".wt-ablation > summary")
    page.click(".wt-cut [data-of='1:6']")
    page.wait_for_function("() => document.querySelector('.wt-changed').textContent.startsWith('Without head 1:6, ')")
    until_kernel(page, "print(explorer.view)", "'changed': {'model': 0, 'ablate': [[1, 6]], 'freeze': []}")
    driving.look_in_both_themes(page, f"attention_{jupyter}")
    assert driving.troubles(page) == []
    assert outside == []


@pytest.fixture
def plain(context, explorer, tmp_path):
    """The explorer as a page of its own, without Jupyter."""
    file = tmp_path / "explorer.html"
    file.write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>x</title></head><body><main>{explorer.page()}</main></body></html>',
        encoding="utf-8",
    )
    return file.as_uri()


def test_without_a_kernel(page, plain, model):
    outside = driving.outside_requests(page)
    page.goto(plain)
    page.wait_for_selector(".wt-token")
    use(page, model, PROMPTS[0])
    page.select_option(".wt-examples", index=1)
    page.wait_for_function("() => document.querySelector('.wt-token:nth-child(2)').textContent.startsWith('try')")
    light = page.evaluate(PIXEL)
    driving.set_theme(page, "dark")
    page.wait_for_function(f"light => ({PIXEL})() !== light", arg=light)
    driving.ask(page, "something else")
    driving.message(page, "has no kernel")
    driving.ask(page, PROMPTS[0])
    driving.message(page, "")
    page.wait_for_function("() => document.querySelector('.wt-token:nth-child(2)').textContent.startsWith('for')")
    for theme in ("light", "dark"):
        driving.set_theme(page, theme)
        assert driving.axe_violations(page) == []
        driving.keep_picture(page, f"attention_page_{theme}")
    assert outside == []


def test_without_scripts_there_are_tables_below_a_picture(chrome, plain):
    context = chrome.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(plain)
    assert page.locator(".wt img + p + details table").count() == 3
    assert page.locator("table >> nth=0 >> tr").count() == 1 + 11
    context.close()


EXPLORERS = [widgets.AttentionExplorer, widgets.CircuitExplorer, widgets.CompositionExplorer, widgets.LogitExplorer]
each = pytest.mark.parametrize("kind", EXPLORERS, ids=lambda kind: kind.__name__)


@pytest.fixture
def opened(page, tmp_path):
    """Open HTML as a page; afterwards nothing may have gone wrong in it, nor any request have been made."""
    faults, outside = [], driving.outside_requests(page)
    page.on("pageerror", lambda fault: faults.append(str(fault)))

    def load(html):
        file = tmp_path / "page.html"
        file.write_text(f'<!doctype html><meta charset="utf-8">{html}', encoding="utf-8")
        page.goto(file.as_uri())
        page.wait_for_selector(".wt-body[data-query], .wt-body[data-token], .wt-body[data-position]")
        return page

    yield load
    assert (faults, outside) == ([], [])


SMALLEST = """() => Math.min(...[...document.querySelectorAll('.wt *')].filter((element) => element.getClientRects().length
    && [...element.childNodes].some(({nodeType, data}) => nodeType === 3 && data.trim())).map((element) => {
        const drawing = element.closest('svg'), scale = drawing ? drawing.getBoundingClientRect().width / drawing.viewBox.baseVal.width : 1
        return scale * parseFloat(getComputedStyle(element).fontSize)
    }))"""


@each
def test_an_explorer_has_a_title_says_how_and_gives_its_numbers_as_tables_and_lives_twice_on_a_page(kind, opened):
    first, second = kind("small-seed-1", "x = 1"), kind("homework", "x = 1")
    twice, once = first.page(), second.page()  # each draws its still picture, which takes what the rest takes together
    page = opened(twice + twice + once)
    page.wait_for_function("() => document.querySelectorAll('.wt-prompt').length === 3")
    assert page.locator(".wt[data-drawn]").count() == 3
    assert page.locator(".wt-heading").all_inner_texts() == 3 * [kind.name]
    assert page.locator(".wt-how:visible").count() == 3
    driving.resize(page, 1280)
    assert page.evaluate(SMALLEST) >= 12
    numbers = page.locator(".wt-tables").first
    assert numbers.locator("table").count() == 0  # made when they are asked for
    numbers.locator("summary").click()
    tokens, table = page.locator(".wt-tokens").first.locator(".wt-token"), numbers.locator("table").first
    table.wait_for()
    before = table.inner_text()
    tokens.first.click()
    page.wait_for_function("before => document.querySelector('.wt-tables table').innerText !== before", arg=before)


@each
def test_prompts_named_as_javascript_names_things_are_texts_like_others(kind, opened):
    made = kind("small-seed-1", ["x", "42", "__proto__", "a = '<!-- <script> </script>'"], prompt="constructor")
    page = opened(made.page())
    assert page.locator(".wt-examples option").all_inner_texts()[:3] == ["x", "42", "__proto__"]
    assert page.input_value(".wt-prompt") == "x"
    page.select_option(".wt-examples", index=2)
    page.wait_for_function("() => document.querySelector('.wt-prompt').value === '__proto__'")
    driving.ask(page, "valueOf")
    driving.message(page, "has no kernel")
    made.view = {"prompt": made.data["order"][-1]}  # ends no script early
    page = opened(made.page())
    assert page.input_value(".wt-prompt") == made.data["order"][-1]


def test_a_backslash_is_told_from_a_line_break(opened, model):
    prompts = [r"print('\n')", "print('\n')", "\\\n\\\\t\t\\d\r\n"]
    page = opened(widgets.AttentionExplorer(model, prompts).page())
    for i, field in enumerate([r"print('\\n')", r"print('\n')", r"\\\n\\\\t\t\\d\r\n"]):
        page.select_option(".wt-examples", index=i)
        assert page.input_value(".wt-prompt") == field
        page.press(".wt-prompt", "Enter")
        assert page.locator(".wt-message").inner_text() == ""
        assert page.eval_on_selector(".wt-examples", "select => select.selectedIndex") == i


VIEWS = [
    {"layer": -1, "head": -1, "query": -5, "position": -3, "target": -1, "pair": -1, "beside": -2},
    {"layer": 9, "head": 99, "query": 1.5, "position": 99, "target": 99, "pair": 9, "least": "x", "kinds": 5},
]


@each
@pytest.mark.parametrize("view", VIEWS)
def test_what_there_is_not_cannot_be_chosen(kind, view, opened):
    page = opened(kind("small-seed-1", ["x = 1", "y z"], **view).page())
    assert page.locator(".wt-token").count() >= 4
    assert not any(word in page.inner_text(".wt") for word in ("NaN", "undefined"))
    if kind is widgets.CompositionExplorer and "kinds" not in view:
        assert page.locator(".wt-edges button").count() > 0


LIVE = """<main id="a"></main><main id="b"></main><script type="module">
{script}
const state = {state}, on = {{}}, held = [];
const fire = (event, value) => (on[event] ?? []).forEach((listener) => listener(value));
const model = {{
  get: (key) => state[key], set: (key, value) => {{ state[key] = value; }}, save_changes() {{}}, off() {{}},
  on: (event, listener) => (on[event] ??= []).push(listener), send: (message) => held.push(message),
}};
Object.assign(window, {{ held, reply: (message) => fire("msg:custom", message),
  change: (key, value) => {{ state[key] = value; fire(`change:${{key}}`); }} }});
for (const id of ["a", "b"]) explore({{ model, el: document.getElementById(id) }}, draw, id);
</script>"""


def live(made):
    """Two views of one widget, as a notebook may show it twice; the test plays the kernel."""
    return LIVE.format(script=made._script, state=json.dumps({"packed": made.packed, "view": made.view}))


def test_two_views_of_one_widget_do_not_take_each_others_answers(opened, model):
    made = widgets.CircuitExplorer(model, "x")
    page = opened(live(made))
    page.wait_for_selector("#b .wt-source")
    for view, token in (("a", "return"), ("b", "import")):
        page.fill(f"#{view} .wt-typed", token)
        page.press(f"#{view} .wt-typed", "Enter")
    for asked in page.evaluate("held"):
        page.evaluate("reply", {"id": asked["id"], "answer": made.answer(asked["question"])})
    for view, token in (("a", "return"), ("b", "import")):
        destination = shown([made.names[made.answer({"token": token})[0][0][0][0]]])[0]
        page.wait_for_selector(f"#{view} .wt-source >> text=source {token}")
        assert page.locator(f"#{view} .wt-entry span").first.inner_text() == destination


def test_of_two_prompts_the_later_stays_however_long_the_earlier_takes_to_unpack(opened, model):
    made = widgets.AttentionExplorer(model, "x")
    page = opened(live(made))
    made.answer({"prompt": LONG})
    big = made.packed
    made.answer({"prompt": "y"})
    page.evaluate(
        "([big, small]) => { change('view', {prompt: 'y'}); change('packed', big); change('packed', small) }",
        [big, made.packed],
    )
    page.wait_for_function("() => document.querySelector('#a .wt-prompt').value === 'y'")
    page.wait_for_timeout(500)
    assert page.input_value("#a .wt-prompt") == "y"
