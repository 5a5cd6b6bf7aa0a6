"""Firefox without a driver: a server that puts a short script into each of its pages, which asks what to do and says what came of it."""

import functools
import http.server
import json
import os
import queue
import shutil
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

NO_FIREFOX = "this test needs Firefox: apt-get install firefox-esr, or its path in WALKTHROUGH_FIREFOX"
PATIENCE = 120  # seconds
# What a new profile would do on its own: greet, ask, and look for news.
PREFERENCES = {
    "app.normandy.enabled": False, "app.update.enabled": False, "browser.aboutwelcome.enabled": False,
    "browser.safebrowsing.downloads.remote.enabled": False, "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore", "datareporting.healthreport.uploadEnabled": False,
    "datareporting.policy.dataSubmissionEnabled": False, "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False, "services.settings.server": "", "toolkit.telemetry.enabled": False,
}  # fmt: skip
# It comes first in the page, so that it hears what the page's own scripts complain of.
LISTENING = """<script>{
    const complaints = (window.complaints = [])
    addEventListener('error', event => complaints.push(String(event.message ?? event.target)), true)
    addEventListener('unhandledrejection', event => complaints.push(String(event.reason)))
    for (const kind of ['error', 'warn']) {
        const own = console[kind]
        console[kind] = (...words) => { complaints.push(words.join(' ')); own.apply(console, words) }
    }
    addEventListener('load', async () => {
        for (;;) {
            const {url, script, argument} = await (await fetch('/-/next', {method: 'POST'})).json()
            if (url) return location.assign(url)
            let said
            try { said = {value: await (0, eval)(`(${script})`)(argument) ?? null} } catch (fault) { said = {error: String(fault)} }
            await fetch('/-/said', {method: 'POST', body: JSON.stringify(said)})
        }
    })
}</script>"""


def firefox() -> str | None:
    """The path of Firefox; None where there is none."""
    return os.environ.get("WALKTHROUGH_FIREFOX") or shutil.which("firefox-esr") or shutil.which("firefox")


class Fox:
    """A page in Firefox, with those of playwright's methods that the engine's tests use."""

    def __init__(self, url):
        self.url, self.orders, self.answers = url, queue.Queue(), queue.Queue()

    @property
    def empty(self):
        """The address of a page with nothing on it."""
        return f"{self.url}-/empty"

    def goto(self, url):
        """Open a page of this server, and wait until it is loaded."""
        self.orders.put({"url": url})  # the script of the page that is left takes no order after this one
        self.evaluate("() => null")

    def evaluate(self, script, argument=None):
        """What a function of the page gives for an argument."""
        self.orders.put({"script": script, "argument": argument})
        said = self.answers.get(timeout=PATIENCE)
        if "error" in said:
            raise RuntimeError(said["error"])
        return said["value"]

    def wait_for(self, condition, argument=None):
        """Wait until a function of the page gives something true."""
        script = f"""async argument => {{
            for (let i = 0; i < 400; i++) {{
                if (await ({condition})(argument)) return true
                await new Promise(go => setTimeout(go, 50))
            }}
            return false
        }}"""
        assert self.evaluate(script, argument), f"{condition}\n{self.evaluate('() => document.body.innerText')[:2000]}"


class Handler(http.server.SimpleHTTPRequestHandler):
    """A folder's files, pages with the script in their heads, an empty page, and the two addresses of the script."""

    def __init__(self, *arguments, fox, **options):
        self.fox = fox
        super().__init__(*arguments, **options)

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path == "/-/empty":
            return self.reply(f"<!doctype html><html><head>{LISTENING}<title>x</title></head></html>", "text/html")
        path = Path(self.translate_path(self.path))
        if path.suffix != ".html" or not path.is_file():
            return super().do_GET()
        self.reply(path.read_text(encoding="utf-8").replace("<head>", f"<head>{LISTENING}", 1), "text/html")

    def do_POST(self):
        if self.path == "/-/next":
            return self.reply(json.dumps(self.fox.orders.get()), "application/json")
        self.fox.answers.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.reply("{}", "application/json")

    def reply(self, text, kind):
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def opened(root: Path, profile: Path, *options: str):
    """Firefox with a new profile, at an empty page beside the served folder `root`; skips where there is none, or it does not start."""
    if (program := firefox()) is None:
        pytest.skip(NO_FIREFOX)
    profile.mkdir()
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items()]
    (profile / "user.js").write_text("\n".join(lines), encoding="utf-8")
    fox = Fox("")
    handler = functools.partial(Handler, fox=fox, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        fox.url = f"http://127.0.0.1:{server.server_port}/"
        with (profile / "firefox.log").open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                [program, "--headless", "--no-remote", "--profile", str(profile), *options, fox.empty],
                env=os.environ | {"HOME": str(profile), "MOZ_CRASHREPORTER_DISABLE": "1"}, stdout=log, stderr=log,
            )  # fmt: skip
            try:
                try:
                    fox.evaluate("() => null")
                except queue.Empty:
                    pytest.skip(f"{program} is here, but opened no page in {PATIENCE} seconds")
                yield fox
            finally:
                process.terminate()
                process.wait(30)
                server.shutdown()
