"""How soon a prompt of 256 tokens is shown: by a page without Python, and by JupyterLab and its kernel; medians, in turns.

A new prompt, and a keystroke at the end of one, from the event to the second frame after the new numbers are on the page. Both
roads begin and end on the screen: the page's by its engine, in its worker; the kernel's by JupyterLab, its server and a kernel of
its own. `--short` measures the kernel's answer alone, in this process, which leaves out the way to the page and its drawing.
"""

import functools
import http.server
import shutil
import statistics
import threading
from time import perf_counter

import driving
import pytest

from walkthrough import models, widgets
from walkthrough.widgets.page import STATIC

LONG = "import os\n" + " value = other\n    if x" * 40
KINDS = ("Attention", "Logit", "Circuit", "Composition")
TIMING = """async ([texts, enter]) => {
    const root = document.querySelector('.wt[role]'), field = root.querySelector('.wt-prompt'), took = []
    const frame = () => new Promise(requestAnimationFrame)
    for (const text of texts) {
        const before = root.dataset.drawn, start = performance.now()
        field.value = text
        if (enter) field.form.requestSubmit(); else field.dispatchEvent(new Event('input'))
        while (root.dataset.drawn === before) {
            await frame()
            if (performance.now() - start > 10000) throw new Error(root.querySelector('.wt-message').textContent)
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
def lab(short, chrome, tmp_path_factory):
    """A JupyterLab server and a page in its own window; None if it is to be short."""
    if short:
        yield None
        return
    with driving.serve("jupyterlab", tmp_path_factory.mktemp("lab")) as server:
        page = chrome.new_context(viewport=driving.SIZE).new_page()
        page.set_default_timeout(driving.MINUTE)
        yield server, page
        page.close()


def in_jupyterlab(lab, kind):
    """The same explorer in a notebook, whose kernel runs; what times a prompt there."""
    server, page = lab
    source = f'from walkthrough import widgets\nwidgets.{kind}Explorer("two-layer", "x")'
    driving.open_notebook(page, server, server.write(kind, source))
    driving.run_all_cells(page)
    page.wait_for_selector(".wt-token")
    return lambda text: page.evaluate(TIMING, [[text], True])[0]


def in_this_process(explorer):
    """What times the kernel's answer alone."""

    def timed(text):
        start = perf_counter()
        explorer.answer({"prompt": text.replace("\\n", "\n")})
        return 1000 * (perf_counter() - start)

    return timed


@pytest.mark.parametrize("kind", KINDS)
def test_prompts_of_256_tokens(page, served, lab, kind, rounds):
    (root, url), model, count = served, models.load("two-layer"), rounds(15)
    explorer = getattr(widgets, f"{kind}Explorer")(model, "x")
    html = f'<!doctype html><meta charset="utf-8"><meta name="walkthrough-engine" content="engine/">{explorer.page()}'
    (root / "page.html").write_text(html, encoding="utf-8")
    page.goto(url + "page.html")
    page.wait_for_selector(".wt-token")
    here = lambda text: page.evaluate(TIMING, [[text], False])[0]
    there, road = (
        (in_jupyterlab(lab, kind), "the kernel by JupyterLab")
        if lab
        else (in_this_process(explorer), "the kernel's answer alone")
    )
    prompts = {  # the first line of a new one differs: all of it is new
        "a new prompt": [f"{chr(97 + i)} = 1\n{LONG}" for i in range(count + 2)],
        "a keystroke": [LONG + "\n" + "abcdefghijklmnopqrst"[: i + 1] for i in range(count + 2)],
    }
    lengths = {model.to_tokens(texts[-1]).shape[1] for texts in prompts.values()}
    print(f"\n{kind} explorer, {' and '.join(map(str, sorted(lengths)))} tokens", end="")
    for what, texts in prompts.items():
        took = [(here(text), there(text)) for text in (text.replace("\n", "\\n") for text in texts)]
        engine, kernel = (
            statistics.median(each) for each in zip(*took[2:])
        )  # at first weights are fetched, loops compiled
        print(f"\n{what}: the page's engine {engine:.0f} ms, {road} {kernel:.0f} ms", end="")
    print()
    if lab:
        driving.clear(lab[1])
