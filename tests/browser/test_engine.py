"""The page's engine in a real browser: any prompt without Python, and one sentence where something is missing."""

import functools
import http.server
import shutil
import threading

import driving
import engine_harness
import nbformat
import numpy as np
import pytest

from walkthrough import export, models, widgets
from walkthrough.widgets import shipped
from walkthrough.widgets.page import STATIC

PROMPT, TYPED = "for value in values:", "def area(self, width):\n    return self.width * width"
FOLDER = "_static/engine/"
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="walkthrough-engine" content="{folder}"><title>x</title></head><body><main>{body}</main></body></html>"""


@pytest.fixture(scope="module")
def explorers(model):
    return [
        kind(model, PROMPT) for kind in (widgets.AttentionExplorer, widgets.LogitExplorer, widgets.CompositionExplorer)
    ] + [widgets.CircuitExplorer(models.load("one-layer"), PROMPT)]


@pytest.fixture(scope="module")
def site(explorers, tmp_path_factory):
    """A folder as the site has it, served: its address, and what was asked of it."""
    root, asked = tmp_path_factory.mktemp("site"), []
    shutil.copytree(STATIC / "engine", root / FOLDER)
    for name in ("tokenizer.json", "two-layer.json", "two-layer.safetensors", "one-layer.safetensors"):
        (root / FOLDER / "weights").mkdir(exist_ok=True)
        shutil.copyfile(models.WEIGHTS / name, root / FOLDER / "weights" / name)
    pages = [explorer.page() for explorer in explorers]
    (root / "all.html").write_text(PAGE.format(folder=FOLDER, body="".join(pages)), encoding="utf-8")
    (root / "one.html").write_text(PAGE.format(folder=FOLDER, body=pages[0]), encoding="utf-8")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    handler = functools.partial(Handler, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", asked
        server.shutdown()


@pytest.fixture
def fresh(chrome):
    """A page of a browser that has kept nothing."""
    context = chrome.new_context(viewport=driving.SIZE)
    context.set_default_timeout(20_000)
    yield context.new_page()
    context.close()


def tokens(page, name):
    return page.locator(f"[aria-label='{name}'] .wt-tokens").first.locator(".wt-token")


def ask_once(page, prompt):
    """Ask the first explorer by Enter alone."""
    page.locator(".wt-prompt").evaluate("(field, text) => { field.value = text }", prompt.replace("\n", "\\n"))
    page.press(".wt-prompt", "Enter")


def wait_for(page, name, count):
    page.wait_for_function(
        "([name, count]) => document.querySelector(`[aria-label='${name}'] .wt-tokens`).children.length === count",
        arg=[name, count],
    )


# All that is drawn, and what is only written otherwise: random names, the order of classes, a weight of nothing.
DRAWN = """() => [...document.querySelectorAll('.wt-body')].map((body) => [
    body.innerHTML.replace(/wt-list-\\w+/g, '').replace(/ style="--weight: 0.00;"/g, '')
        .replace(/class="([^"]*)"/g, (_, names) => `class="${names.split(' ').sort().join(' ')}"`),
    Object.entries(body.dataset).sort().join(), ...[...body.querySelectorAll('canvas')].map((canvas) => canvas.toDataURL())])"""
TIMES = "() => [...document.querySelectorAll('.wt[data-drawn]')].map((root) => root.dataset.drawn)"


def drawn_anew(page):
    """What is drawn once everything was drawn again, as for a new theme."""
    for theme in ("dark", "light"):
        before = page.evaluate(TIMES)
        page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        page.wait_for_function(f"before => ({TIMES})().every((times, i) => times !== before[i])", arg=before)
    page.wait_for_function("() => document.querySelectorAll('.wt-body[data-circuit]').length === 1")
    return page.evaluate(DRAWN)


def test_every_explorer_answers_any_prompt_with_weights_fetched_once(fresh, site, model):
    (url, asked), page = site, fresh
    outside = [request for request in driving.outside_requests(page) if not request.startswith(url)]
    broken = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.goto(url + "all.html")
    page.wait_for_selector(".wt-token >> nth=20")
    assert not any("_static" in path for path in asked)  # nothing is fetched until something is asked
    ids = model.to_tokens(TYPED)
    page.evaluate(
        "document.querySelectorAll('.wt-token:first-child, .wt-head, .wt-bar, .wt-graph svg').forEach((kept) => { kept.kept = true })"
    )
    for name in ("Attention explorer", "Logit explorer", "Composition explorer", "Circuit explorer"):
        page.locator(f"[aria-label='{name}'] .wt-prompt").press_sequentially(
            "\\n" + TYPED.replace("\n", "\\n"), delay=2
        )
        page.locator(f"[aria-label='{name}'] .wt-prompt").fill(TYPED.replace("\n", "\\n"))
        wait_for(page, name, ids.shape[1])
    kept = "[...document.querySelectorAll('.wt-token:first-child, .wt-head, .wt-bar, .wt-graph svg')].map((kept) => kept.kept)"
    assert len(page.evaluate(kept)) == 4 + 8 + 13 + 1
    assert all(page.evaluate(kept))  # of another prompt, what is the same stays
    assert page.evaluate(DRAWN) == drawn_anew(page)
    assert sum(path.endswith("two-layer.safetensors") for path in asked) == 1
    assert sum(path.endswith("worker.js") for path in asked) == 1
    pattern = model.run_with_cache(ids)[1]["pattern", 0][0, 0, -1]
    expected = [f"{share:.2f}" if share > 0.0449 else "" for share in pattern.tolist()]
    assert tokens(page, "Attention explorer").locator("small").all_inner_texts() == expected
    best = model(ids)[0, -1].softmax(-1).max()
    assert page.locator(".wt-guess small").first.inner_text() == f"{best:.2f}"
    tokens(page, "Logit explorer").nth(2).click()  # a position that was not asked for
    page.wait_for_selector(".wt-body[data-position='2'][data-stored='true']")
    page.locator(".wt-least").evaluate("slider => { slider.value = 1; slider.dispatchEvent(new Event('input')) }")
    edge = page.locator(".wt-edges button").last
    edge.click()  # nor was this edge's circuit
    page.wait_for_function(
        "edge => document.querySelector('.wt-graph').closest('.wt-body').dataset.circuit === edge",
        arg=edge.get_attribute("data-edge"),
    )
    driving.resize(page, 360, 800)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert driving.axe_violations(page) == []
    asked.clear()
    page.reload()
    driving.ask(page, "x = 1")
    wait_for(page, "Attention explorer", model.to_tokens("x = 1").shape[1])
    assert not any(path.endswith(".safetensors") for path in asked)  # kept from the first visit
    assert broken == []
    assert outside == []


def test_texts_in_chromium_are_pythons(fresh, site):
    exact = models.load("two-layer").double()
    ask = engine_harness.in_page(fresh, site[0] + "one.html")
    for text in (TYPED, "naïve 日本語 😀\u0085\ufeff", " value = other\n    if x" * 30, "<BOS>"):
        logits, cache = exact.run_with_cache(text)
        found = ask("run", "two-layer", prompt=text, logits=256)
        assert found["ids"] == exact.to_tokens(text)[0].tolist()
        assert abs(np.stack(found["logits"]) - logits[0].numpy()).max() < 1e-4
        patterns = np.concatenate([head for layer in found["patterns"] for head in layer])
        assert (
            abs(patterns - np.concatenate([cache["pattern", layer].numpy().ravel() for layer in (0, 1)])).max() < 1e-4
        )


WITHOUT = {
    "delete window.DecompressionStream": "too old",
    "delete window.Worker": "too old",
    "delete URL.createObjectURL; URL.createObjectURL = undefined": "too old",
    "delete window.WebAssembly": "",
    "Object.defineProperty(window, 'isSecureContext', {value: false}); delete window.caches": "",
}


@pytest.mark.parametrize("script", WITHOUT)
def test_a_browser_that_lacks_something_says_so_or_does_without(fresh, site, model, script):
    page, words, broken = fresh, WITHOUT[script], []
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.add_init_script(script)
    page.goto(site[0] + "one.html")
    if "DecompressionStream" in script:
        page.wait_for_selector(".wt-message")
        assert words in page.inner_text(".wt-message")
        assert page.locator(".wt img").is_visible()
        page.click(".wt summary")
        assert page.locator(".wt table").first.is_visible()
    else:
        page.wait_for_selector(".wt-token")
        driving.ask(page, TYPED)
        if words:
            driving.message(page, words)
            assert page.locator(".wt-token").count() > 3  # what is stored is still shown
        else:
            wait_for(page, "Attention explorer", model.to_tokens(TYPED).shape[1])
    assert broken == []


WRONG = {
    "two-layer.safetensors": [
        (404, None, "is not there (404)"),
        (200, b"cut short", "SHA-256"),
        (None, None, "could not be fetched"),
    ],
    "tokenizer.json": [(404, None, "is not there (404)"), (200, b'{"model": ', "SHA-256")],
    "kernel.js": [(404, None, "did not load")],
    "ask.js": [(404, None, "does not find it")],
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_does_not_load_is_named_and_asked_for_again(fresh, site, model, name):
    page, broken = fresh, []
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.goto(site[0] + "one.html")
    page.wait_for_selector(".wt-token")
    for status, body, words in WRONG[name]:

        def spoil(route, *, status=status, body=body or b""):
            route.fulfill(status=status, body=body) if status else route.abort()

        page.context.route(f"**/{name}", spoil)
        ask_once(page, TYPED)  # typing would ask, too, and perhaps after the file is back
        driving.message(page, words)
        page.context.unroute(f"**/{name}")
    driving.ask(page, TYPED)  # now it is there
    wait_for(page, "Attention explorer", model.to_tokens(TYPED).shape[1])
    assert page.inner_text(".wt-message") == ""
    assert broken == []


def test_an_exported_page_on_disk_takes_the_weights_from_its_reader(fresh, explorers, model, tmp_path):
    output = nbformat.v4.new_output("execute_result", {"text/html": explorers[1].page()}, execution_count=1)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=[output], execution_count=1)])
    page, outside = fresh, driving.outside_requests(fresh)
    (tmp_path / "page.html").write_text(export.OfflineExporter().from_notebook_node(notebook)[0], encoding="utf-8")
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_selector(".wt-token")
    ask_once(page, TYPED)  # typing would ask, too, and for the file again
    driving.message(page, "walkthrough/weights/two-layer.safetensors")
    page.set_input_files(".wt-file input", models.WEIGHTS / "one-layer.safetensors")
    driving.message(page, "That is not the file")
    assert driving.axe_violations(page, ".wt") == []
    page.set_input_files(".wt-file input", models.WEIGHTS / "two-layer.safetensors")
    wait_for(page, "Logit explorer", model.to_tokens(TYPED).shape[1])
    assert page.locator(".wt-file").count() == 0
    assert outside == []


def test_a_model_that_does_not_ship_is_not_run_by_the_page(fresh, tmp_path):
    explorer = widgets.AttentionExplorer("layernorm", PROMPT)
    (tmp_path / "page.html").write_text(PAGE.format(folder=FOLDER, body=explorer.page()), encoding="utf-8")
    fresh.goto((tmp_path / "page.html").as_uri())
    fresh.wait_for_selector(".wt-token")
    driving.ask(fresh, "another")
    driving.message(fresh, "has no kernel")
    driving.message(fresh, "this is another one")


def test_the_engines_files_are_all_that_it_may_ask_for():
    assert {"tokenizer.json", "two-layer.json", "two-layer.safetensors", "forming/two-layer.safetensors"} <= set(
        shipped.engine_files()
    )
