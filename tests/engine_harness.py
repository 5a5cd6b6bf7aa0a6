"""The page's engine, asked from Python: in Node where there is one, else in headless Chromium."""

import base64
import json
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from walkthrough import models
from walkthrough.widgets.page import STATIC

ENGINE = STATIC / "engine"
KINDS = {"Float32Array": np.float32, "Uint8Array": np.uint8, "Int32Array": np.int32, "Float64Array": np.float64}


def unpacked(value):
    """JSON with typed arrays as numpy's."""
    if isinstance(value, dict) and value.keys() == {"kind", "base64"}:
        return np.frombuffer(base64.b64decode(value["base64"]), KINDS[value["kind"]])
    if isinstance(value, dict):
        return {key: unpacked(part) for key, part in value.items()}
    return [unpacked(part) for part in value] if isinstance(value, list) and not plain(value) else value


def plain(values):
    return not values or isinstance(values[0], (int, float, str))


class Asked:
    """`ask(explorer, models, question)`: the answer, or ValueError with the engine's sentence."""

    def __init__(self, send):
        self.send = send

    def __call__(self, explorer, models, **question):
        models = [["", models]] if isinstance(models, str) else models
        said = self.send({"explorer": explorer, "models": models, "question": question})
        if "error" in said:
            raise ValueError(said["error"])
        return unpacked(said["answer"])


def started(folders):
    """The engine, in Node or in Chromium; `folders` is pytest's `tmp_path_factory`."""
    return in_node() if shutil.which("node") else in_chromium(folders.mktemp("page"))


@contextmanager
def in_node():
    node = shutil.which("node")
    process = subprocess.Popen(
        [node, str(Path(__file__).with_name("engine_node.mjs")), str(ENGINE), str(models.WEIGHTS)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8",
    )  # fmt: skip

    def send(message):
        process.stdin.write(json.dumps(message) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    try:
        yield Asked(send)
    finally:
        process.stdin.close()
        process.wait(30)


IN_THE_PAGE = """async ([ask, sources, files, message]) => {
    window.made ??= (async () => {
        const module = await import(URL.createObjectURL(new Blob([ask], {type: 'text/javascript'})))
        return module.engineAt({sources})
    })()
    const engine = await window.made, given = (window.given ??= new Set())
    for (const [name, text] of Object.entries(files)) if (!given.has(name)) {
        given.add(name)
        await engine.give({name}, Uint8Array.from(atob(text), c => c.charCodeAt(0)))
    }
    const packed = (_, value) => {
        if (!ArrayBuffer.isView(value)) return value
        const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
        let text = ''
        for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192))
        return {kind: value.constructor.name, base64: btoa(text)}
    }
    try { return JSON.stringify({answer: await engine.ask(message)}, packed) }
    catch (fault) { return JSON.stringify({error: fault.message}) }
}"""


def sources():
    """The engine's modules by their names."""
    files = [*ENGINE.glob("*.js"), *ENGINE.glob("vendor/*.mjs")]
    return {file.relative_to(ENGINE).as_posix(): file.read_text(encoding="utf-8") for file in files}


def in_page(page, url):
    """The engine in a worker of a browser's page; `url` is any page."""
    page.goto(url)
    parts, sent = sources(), set()

    def send(message):
        names = {"tokenizer.json"}
        for _, about in message["models"]:
            names |= (
                {f"{about}.json", f"{about}.safetensors"}
                if isinstance(about, str)
                else {about["file"], about.get("tokenizer", "tokenizer.json")}
            )
        new = {name: base64.b64encode((models.WEIGHTS / name).read_bytes()).decode() for name in names - sent}
        sent.update(new)
        return json.loads(page.evaluate(IN_THE_PAGE, [parts["ask.js"], parts, new, message]))

    return Asked(send)


@contextmanager
def in_chromium(folder):
    import sys

    sys.path.append(str(Path(__file__).parent / "browser"))
    import driving

    sync_api = pytest.importorskip("playwright.sync_api")
    if (path := driving.chromium()) is None:
        pytest.skip("the engine's tests need Node or Chromium, and here is neither")
    (folder / "empty.html").write_text("<!doctype html><title>x</title>", encoding="utf-8")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=driving.QUIET)
        yield in_page(browser.new_page(), (folder / "empty.html").as_uri())
        browser.close()
