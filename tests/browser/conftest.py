"""A real browser, a JupyterLab and a Notebook 7 server; where there is no Chromium, what needs them is skipped.

`WALKTHROUGH_CHROMIUM=path` names another Chromium than the system's.
"""

import driving
import pytest

from walkthrough import models


@pytest.fixture(scope="session")
def chromium():
    """The path of Chromium."""
    pytest.importorskip("playwright", reason='browser tests need playwright: python -m pip install -e ".[test]"')
    path = driving.chromium()
    if path is None:
        pytest.skip(driving.NO_CHROMIUM)
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
@pytest.fixture(scope="package")
def chrome(chromium):
    """Headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=driving.QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def context(chrome):
    """One browser profile for all tests: the second page that opens JupyterLab finds it in the cache."""
    context = chrome.new_context(viewport=driving.SIZE)
    context.set_default_timeout(driving.MINUTE)
    return context


@pytest.fixture(scope="package")
def lab_page(context):
    """One page for all notebooks that are opened in JupyterLab: loading it is what takes longest."""
    return context.new_page()


@pytest.fixture
def page(request, context):
    """A new page, or the page that shows JupyterLab; afterwards the kernels of its notebooks are shut down."""
    asked = [
        *request.fixturenames,
        *(request.node.callspec.params.values() if hasattr(request.node, "callspec") else ()),
    ]
    if "lab" not in asked:
        page = context.new_page()
        yield page
        return driving.close(page)
    page = request.getfixturevalue("lab_page")
    yield page
    driving.clear(page)
    driving.set_theme(page, "light")
    page.set_viewport_size(driving.SIZE)


@pytest.fixture(scope="session")
def model():
    """The two-layer model, which explorers are tried on."""
    return models.load("two-layer")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test tells what its page showed."""
    report = yield
    if report.failed and (page := item.funcargs.get("page")) and not page.is_closed():
        driving.keep_picture(page, f"failed_{item.name}")
        shown = page.evaluate(
            "() => [...document.querySelectorAll('.jp-Dialog, .jp-OutputArea')].map(x => x.outerHTML)"
        )
        report.sections.append(
            ("page", f"{page.url}\n{page.inner_text('body')[:3000]}\n{[html[:800] for html in shown]}")
        )
    return report
