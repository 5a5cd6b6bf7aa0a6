"""`--short` runs each benchmark with as few rounds as show that it works: what CI does, where times mean nothing."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "browser"))
import driving


def pytest_addoption(parser):
    parser.addoption("--short", action="store_true", help="a single round of each benchmark, on the smallest sizes")


@pytest.fixture(scope="session")
def short(request):
    """Whether only to show that the benchmarks work."""
    return request.config.getoption("--short")


@pytest.fixture(scope="session")
def rounds(short):
    """How many rounds to run of those that a full benchmark would."""
    return lambda full: 1 if short else full


@pytest.fixture(scope="module")
def chrome():
    """Headless Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if (path := driving.chromium()) is None:
        pytest.skip(driving.NO_CHROMIUM)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=driving.QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page(chrome):
    """A page in it."""
    return chrome.new_page(viewport=driving.SIZE)
