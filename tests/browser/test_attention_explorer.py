"""The attention explorer, used: live in both Jupyters, in a saved notebook, as a page of its own, and without scripts."""

import statistics

import driving
import pytest

from walkthrough import models, widgets

PROMPTS = ["for value in values:\n    print(value)", "try:\n    x = f(x)"]
SOURCE = f"""from walkthrough import widgets
explorer = widgets.AttentionExplorer({{"two": "two-layer", "one": "one-layer"}}, {PROMPTS!r})
explorer"""
PIXEL = "() => document.querySelector('.wt-head canvas').getContext('2d').getImageData(0, 0, 1, 1).data.join()"
LONG = " value = other\n    if x" * 42


@pytest.fixture(scope="module")
def model():
    return models.load("two-layer")


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
    page.click(".wt-head[data-head='5']")
    page.wait_for_selector(".wt-head[data-head='5'][aria-pressed='true']")
    assert small(page) == from_token(model, prompt, 0, 5, 3)
    page.press(".wt-token >> nth=3", "ArrowRight")
    page.wait_for_selector(".wt-body[data-query='4']")
    page.keyboard.press("End")
    page.wait_for_selector(f".wt-body[data-query='{len(model.to_tokens(prompt)[0]) - 1}']")
    page.select_option(".wt-side-1", label="two layer 1")
    assert small(page, 1) == from_token(model, prompt, 1, 5, -1)
    before = small(page)
    page.check(".wt-weighted")
    assert small(page) != before
    page.uncheck(".wt-weighted")
    assert small(page) == before
    page.select_option(".wt-side-1", label="nothing")
    assert page.locator(".wt-panel").count() == 1


def kernel(page, code):
    """What the notebook's kernel prints for this code."""
    return page.evaluate("""async code => {
        const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel, heard = []
        const run = kernel.requestExecute({code})
        run.onIOPub = ({content}) => heard.push(content.text ?? '')
        await run.done
        return heard.join('')
    }""", code)  # fmt: skip


def ask(page, prompt):
    page.fill(".wt-prompt", prompt.replace("\n", "\\n"))
    page.keyboard.press("Enter")


def message(page, words):
    page.wait_for_function("words => document.querySelector('.wt-message').textContent.includes(words)", arg=words)


@pytest.mark.parametrize("jupyter", ["lab", "notebook7"])
def test_live(jupyter, request, page, model):
    server = request.getfixturevalue(jupyter)
    outside = driving.outside_requests(page, server)
    driving.open_notebook(page, server, server.write("attention", SOURCE))
    driving.run_all_cells(page)
    page.wait_for_selector(".wt-token")
    use(page, model, PROMPTS[0])
    page.press(".wt-token >> nth=2", "Enter")
    page.wait_for_selector(".wt-token[aria-pressed='true'] >> nth=0")
    assert "'query': 2" in kernel(page, "print(explorer.view)")
    typed = "import os\n\nos.path"
    length = model.to_tokens(typed).shape[1]
    ask(page, typed)
    page.wait_for_function("n => document.querySelectorAll('.wt-token').length === n", arg=length)
    page.hover(".wt-token >> nth=2")
    page.wait_for_selector(".wt-body[data-query='2']")
    assert small(page) == from_token(model, typed, 0, 5, 2)
    for prompt, words in (("", "the prompt is empty"), ("x " * 300, "context is 256")):
        ask(page, prompt)
        message(page, words)
        assert page.locator(".wt-token").count() == length
    page.select_option(".wt-examples", index=1)
    page.wait_for_function("() => document.querySelector('.wt-token:nth-child(2)').textContent.startsWith('try')")
    for theme in ("light", "dark"):
        driving.set_theme(page, theme)
        page.wait_for_timeout(300)
        assert driving.axe_violations(page, ".wt") == []
        driving.keep_picture(page, f"attention_{jupyter}_{theme}")
    assert driving.troubles(page) == []
    assert outside == []


@pytest.fixture
def plain(context, explorer, tmp_path):
    """The explorer as a page of its own, without Jupyter."""
    file = tmp_path / "explorer.html"
    file.write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>x</title></head><body><main>{explorer.page()}</main></body></html>'
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
    ask(page, "something else")
    message(page, "has no kernel")
    ask(page, PROMPTS[0])
    message(page, "")
    page.wait_for_function("() => document.querySelector('.wt-token:nth-child(2)').textContent.startsWith('for')")
    for theme in ("light", "dark"):
        driving.set_theme(page, theme)
        assert driving.axe_violations(page) == []
        driving.keep_picture(page, f"attention_page_{theme}")
    assert outside == []


def test_without_scripts_there_are_tables(chrome, plain):
    context = chrome.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(plain)
    assert page.locator("table").count() == 3
    assert page.locator("table >> nth=0 >> tr").count() == 1 + 11
    context.close()


def test_it_answers_within_100_ms_at_256_tokens_and_8_heads(page, model, tmp_path):
    made = widgets.AttentionExplorer(model, LONG)
    file = tmp_path / "long.html"
    file.write_text(f'<!doctype html><meta charset="utf-8">{made.page()}')
    page.goto(file.as_uri())
    page.wait_for_selector(".wt-token >> nth=250")
    took = page.evaluate("""async () => {
        const frame = () => new Promise(requestAnimationFrame), took = {hover: [], head: [], weighted: []}
        const time = async (kind, act) => {
            await frame()
            const start = performance.now()
            act(); document.body.offsetHeight
            await frame(); took[kind].push(performance.now() - start)
        }
        for (let i = 0; i < 15; i++) {
            await time('hover', () => document.querySelectorAll('.wt-token')[200 + i].dispatchEvent(new MouseEvent('mouseenter')))
            await time('head', () => document.querySelectorAll('.wt-head')[i % 8].click())
            await time('weighted', () => document.querySelector('.wt-weighted').click())
        }
        return took
    }""")
    for kind, times in took.items():
        print(f"{kind}: median {statistics.median(times):.0f} ms, longest {max(times):.0f} ms")
        assert statistics.median(times) < 100
