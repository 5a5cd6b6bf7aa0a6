"""The notebooks in a real JupyterLab, driven in headless Chromium; skipped where playwright or Chromium is missing.

`WALKTHROUGH_SCREENSHOTS=folder python -m pytest tests/browser` keeps pictures of what was seen.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab server on a copy of the notebooks."""
    root = tmp_path_factory.mktemp("lab")
    shutil.copytree(NOTEBOOKS, root, dirs_exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.port={port}",
         "--ServerApp.ip=127.0.0.1", "--IdentityProvider.token=t", f"--ServerApp.root_dir={root}",
         "--LabApp.extension_manager=readonly", "--LabApp.news_url="],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{url}/api/status?token=t", timeout=2)
            break
        except OSError:
            time.sleep(0.2)
    yield url
    server.terminate()
    server.wait(20)


@pytest.fixture(scope="module")
def chrome():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


def run_all(lab, chrome, name):
    """Open a notebook, run all its cells, wait until the kernel rests; the page, and what it asked of other hosts."""
    page = chrome.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(180_000)
    outside = []
    ours = (lab, lab.replace("http", "ws"), "data:", "blob:")
    page.on("request", lambda request: request.url.startswith(ours) or outside.append(request.url))
    page.goto(f"{lab}/lab/tree/{name}.ipynb?token=t&reset")
    page.wait_for_selector(".jp-Toolbar-kernelName:has-text('Python 3')")
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status='idle']")
    page.click(".jp-Notebook .jp-Cell >> nth=0")
    page.click("text=Run >> nth=0")
    page.click("text=Run All Cells >> nth=0")
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status='busy']")
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status='idle']")
    return page, outside


def keep(page, name):
    if folder := os.environ.get("WALKTHROUGH_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png")


@pytest.mark.parametrize("name", sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")))
def test_a_notebook_runs_in_the_browser_and_asks_nothing_of_the_outside(lab, chrome, name):
    page, outside = run_all(lab, chrome, name)
    assert page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    assert page.locator(".jp-RenderedText:has-text('Traceback')").count() == 0
    assert outside == []
    page.locator(".jp-RenderedImage").first.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    keep(page, name)
    page.close()


def test_moving_the_slider_changes_the_picture(lab, chrome):
    page, _ = run_all(lab, chrome, "00_start_here")
    picture = page.locator("img.widget-image, .widget-image img, .jupyter-widgets.widget-image").first
    picture.scroll_into_view_if_needed()
    before = picture.get_attribute("src")
    handle = page.locator(".widget-slider .noUi-handle").nth(1)
    handle.focus()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    page.wait_for_function("([img, before]) => img.src !== before", arg=[picture.element_handle(), before])
    page.wait_for_timeout(1000)
    keep(page, "slider")
    page.close()
