"""The course's site, built once by its own command; a plugin for the tests that look at it."""

import functools
import http.server
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of the built site."""
    folder = tmp_path_factory.mktemp("site") / "html"
    built = subprocess.run(
        [sys.executable, ROOT / "docs" / "build.py", folder], capture_output=True, text=True, encoding="utf-8"
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


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
