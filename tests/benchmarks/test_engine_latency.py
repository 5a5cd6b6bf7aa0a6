"""How soon a page without Python shows a prompt of 256 tokens, beside what the kernel needs for its answer: medians.

A new prompt, and a keystroke at the end of one, from the event to the second frame after the new numbers are on the page. The
kernel's number is its answer alone, packed: without the way to the page, and without the page's drawing.
"""

import functools
import http.server
import shutil
import statistics
import sys
import threading
from pathlib import Path
from time import perf_counter

import pytest

from walkthrough import models, widgets
from walkthrough.widgets.page import STATIC

sys.path.append(str(Path(__file__).parents[1] / "browser"))
import driving

LONG = "import os\n" + " value = other\n    if x" * 40
KINDS = ("Attention", "Logit", "Circuit", "Composition")
TIMING = """async ([texts, rounds]) => {
    const root = document.querySelector('.wt[role]'), field = document.querySelector('.wt-prompt'), took = []
    const frame = () => new Promise(requestAnimationFrame)
    for (const text of texts) {
        const before = root.dataset.drawn, start = performance.now()
        field.value = text
        field.dispatchEvent(new Event('input'))
        while (root.dataset.drawn === before) {
            await frame()
            if (performance.now() - start > 10000) throw new Error(document.querySelector('.wt-message').textContent)
        }
        await frame()
        took.push(performance.now() - start)
        await new Promise(go => setTimeout(go, 50))
    }
    return took
}"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A folder that lies beside the engine, and its address."""
    root = tmp_path_factory.mktemp("site")
    shutil.copytree(STATIC / "engine", root / "engine")
    (root / "engine" / "weights").mkdir()
    for name in ("tokenizer.json", "two-layer.safetensors"):
        shutil.copyfile(models.WEIGHTS / name, root / "engine" / "weights" / name)
    handler = functools.partial(
        type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None}), directory=str(root)
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield root, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def page():
    """A page in headless Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if (path := driving.chromium()) is None:
        pytest.skip(driving.NO_CHROMIUM)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=driving.QUIET)
        yield browser.new_page(viewport={"width": 1400, "height": 1000})
        browser.close()


@pytest.mark.parametrize("kind", KINDS)
def test_prompts_of_256_tokens(page, served, kind, rounds):
    (root, url), model, count = served, models.load("two-layer"), rounds(15)
    explorer = getattr(widgets, f"{kind}Explorer")(model, "x")
    html = f'<!doctype html><meta charset="utf-8"><meta name="walkthrough-engine" content="engine/">{explorer.page()}'
    (root / "page.html").write_text(html, encoding="utf-8")
    page.goto(url + "page.html")
    page.wait_for_selector(".wt-token")
    fresh = [f"{chr(97 + i)} = 1\n{LONG}" for i in range(count + 2)]  # the first line differs: all of it is new
    typed = [LONG + "\n" + "abcdefghijklmnopqrst"[: i + 1] for i in range(count + 2)]
    escaped = lambda texts: [text.replace("\n", "\\n") for text in texts]
    page.evaluate(TIMING, [escaped(fresh[:2] + typed[:2]), 0])  # the weights are here, the loops compiled
    found = {
        "a new prompt": (page.evaluate(TIMING, [escaped(fresh[2:]), 0]), fresh[2:]),
        "a keystroke": (page.evaluate(TIMING, [escaped(typed[2:]), 0]), typed[2:]),
    }
    lengths = {model.to_tokens(text).shape[1] for text in (fresh[-1], typed[-1])}
    print(f"\n{kind} explorer, {' and '.join(map(str, sorted(lengths)))} tokens", end="")
    for what, (times, texts) in found.items():
        asked = []
        for text in texts:
            start = perf_counter()
            explorer.answer({"prompt": text})
            asked.append(1000 * (perf_counter() - start))
        engine, kernel = statistics.median(times), statistics.median(asked)
        print(f"\n{what}: the page's engine {engine:.0f} ms, the kernel's answer {kernel:.0f} ms", end="")
    print()
