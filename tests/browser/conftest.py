"""A real browser, a JupyterLab and a Notebook 7 server; where there is no Chromium, what needs them is skipped.

`WALKTHROUGH_CHROMIUM=path` names another Chromium than the system's.
"""

import os
import shutil

import driving
import pytest

from walkthrough import models

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


@pytest.fixture(scope="session")
def chromium():
    """The path of Chromium."""
    pytest.importorskip("playwright", reason='browser tests need playwright: python -m pip install -e ".[test]"')
    path = os.environ.get("WALKTHROUGH_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("browser tests need Chromium: apt-get install chromium, or its path in WALKTHROUGH_CHROMIUM")
    return path


@pytest.fixture(scope="session")
def lab(chromium, tmp_path_factory):
    """A JupyterLab server on a copy of the notebooks."""
    with driving.serve("jupyterlab", tmp_path_factory.mktemp("lab")) as server:
        yield server


@pytest.fixture(scope="session")
def notebook7(chromium, tmp_path_factory):
    """A Notebook 7 server on another copy of the notebooks."""
    with driving.serve("notebook", tmp_path_factory.mktemp("notebook7")) as server:
        yield server


# Not for the session: while playwright runs, its event loop does, and nbval and asyncio.run fail on the same worker.
@pytest.fixture(scope="module")
def chrome(chromium):
    """Headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def context(chrome):
    """One browser profile for a module: the second page that opens JupyterLab finds it in the cache."""
    context = chrome.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(driving.MINUTE)
    return context


@pytest.fixture
def page(context):
    """A new page; afterwards it is closed, and the kernel of its notebook shut down."""
    page = context.new_page()
    yield page
    driving.close(page)


@pytest.fixture(scope="session")
def model():
    """The two-layer model, which explorers are tried on."""
    return models.load("two-layer")
