"""The course's site, built once by its own command; a plugin for the tests that look at it."""

import functools
import http.server
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).parent.parent
PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 900}


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of the built site."""
    folder = tmp_path_factory.mktemp("site") / "html"
    built = subprocess.run(
        [sys.executable, ROOT / "docs" / "build.py", folder], capture_output=True, text=True, encoding="utf-8"
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.fixture(scope="session")
def pages(site):
    """Every page, parsed, by its path on the site."""
    files = [path for path in site.rglob("*.html") if "_static" not in path.parts]  # the theme has templates there
    return {
        path.relative_to(site).as_posix(): BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        for path in files
    }


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A file server that does not print what it is asked."""

    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def site_url(site):
    """The site's address while it is served on this machine."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Listener:
    """What a page asked of other hosts, and what it complained of."""

    def __init__(self, page, home):
        self.outside, self.errors = [], []
        page.on("request", lambda r: r.url.startswith((home, "data:", "blob:")) or self.outside.append(r.url))
        page.on("console", lambda m: m.type in ("error", "warning") and self.errors.append(m.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))


@pytest.fixture(scope="module")
def profiles():
    """Browser profiles by their settings: a page takes half as long where the one before it has left scripts in the cache."""
    opened = {}
    yield opened
    for profile in opened.values():
        profile.close()


@pytest.fixture
def open_page(chrome, profiles):
    """Opens a page, and returns it with its listener; no page finds what another test's has stored, or was allowed.

    What else outlives a page, as a stopped clock does, needs a profile `alone`.
    """
    opened, own = [], []

    def open_page(url, home, viewport=DESK, alone=False, **options):
        settings = json.dumps([viewport, options], sort_keys=True)
        if alone or settings not in profiles:
            profile = chrome.new_context(viewport=viewport, **options)
            own.append(profile) if alone else profiles.update({settings: profile})
        page = (own[-1] if alone else profiles[settings]).new_page()
        opened.append(page)
        listener = Listener(page, home)
        page.goto(url)
        return page, listener

    yield open_page
    for page in opened:
        page.evaluate("() => { try { localStorage.clear() } catch {} }")  # where there is any, as on no file's page
        page.close()
    for profile in profiles.values():
        profile.clear_permissions()
        profile.clear_cookies()
    for profile in own:
        profile.close()
