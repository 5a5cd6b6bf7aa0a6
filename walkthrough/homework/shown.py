"""What a cell shows, collected as a notebook stores it: prints, pictures, results and errors, in their order and bounded."""

import io
from typing import Any

from jupyter_client.session import Session
from traitlets import Any as AnyTrait

MOST_TEXT = 20_000  # characters kept of what one cell prints
MOST_IMAGE = 2 * 2**20  # characters of one picture (base64)
MOST_IMAGES = 5 * 2**20  # characters of all pictures of one cell
KEPT = ("text/plain", "image/png")


class TooMuchOutput(Exception):
    """Raised in a cell that prints without end."""


class Shown(Session):
    """The outputs of the cell that runs. A kernel sends what it shows through a session; this one keeps it.

    `keep` is False while a function is called, of which nothing is shown.
    """

    outputs, room, displays = AnyTrait(), AnyTrait(), AnyTrait()

    def fresh(self, keep: bool) -> list[dict[str, Any]]:
        """Start anew; the list that will hold the outputs."""
        self.keep, self.images, self.clear = keep, 0, False
        self.outputs, self.displays, self.room = [], {}, {}
        return self.outputs

    def send(self, stream: Any, msg_or_type: Any, content: Any = None, *args: Any, **kwargs: Any) -> None:
        """Take a message of the kernel's for an output, if it is one."""
        if isinstance(msg_or_type, dict):
            kind, content = msg_or_type["header"]["msg_type"], msg_or_type["content"]
        else:
            kind = msg_or_type
        if not self.keep:
            return
        if kind == "clear_output":
            self.clear = content["wait"]
            if not self.clear:
                self.outputs.clear()
        elif kind == "error":
            lines = [str(line)[:MOST_TEXT] for line in content["traceback"]]
            self.add(
                {
                    "output_type": "error",
                    "ename": content["ename"],
                    "evalue": content["evalue"][:500],
                    "traceback": lines,
                }
            )
        elif kind in ("display_data", "update_display_data", "execute_result"):
            self.display(kind, content)

    def display(self, kind: str, content: dict[str, Any]) -> None:
        """Text and picture of something that is displayed; what scripts and widgets would show is left out."""
        data = {form: content["data"][form] for form in KEPT if form in content["data"]}
        data = {form: value[:MOST_TEXT] if form == "text/plain" else value for form, value in data.items()}
        size = len(data.get("image/png", ""))
        if size > MOST_IMAGE or self.images + size > MOST_IMAGES or not data:
            return
        self.images += size
        name = (content.get("transient") or {}).get("display_id")
        if kind == "update_display_data":
            for output in self.displays.get(name, ()):
                output["data"] = data
            return
        output = {"output_type": kind, "data": data, "metadata": {}}
        if kind == "execute_result":
            output["execution_count"] = content.get("execution_count")
        self.add(output)
        if name is not None:
            self.displays.setdefault(name, []).append(output)

    def add(self, output: dict[str, Any]) -> None:
        """One more output, behind a `clear_output(wait=True)` the only one."""
        if self.clear:
            self.outputs.clear()
            self.clear = False
        self.outputs.append(output)

    def printed(self, name: str, text: str) -> None:
        """Keep what fits of a print; raise TooMuchOutput at ten times the limit."""
        if not self.keep or not text:
            return
        asked = self.room.get(name, 0)
        self.room[name] = asked + len(text)
        kept = text[: max(0, MOST_TEXT - asked)]
        if kept:
            last = self.outputs[-1] if self.outputs and not self.clear else {}
            if last.get("name") == name:
                last["text"] += kept
            else:
                self.add({"output_type": "stream", "name": name, "text": kept})
        if self.room[name] > 10 * MOST_TEXT:
            raise TooMuchOutput(f"this cell printed more than {10 * MOST_TEXT:,} characters, and was stopped")


class Stream(io.TextIOBase):
    """Standard output or error of a kernel, which goes to what is shown."""

    encoding, errors = "utf-8", "replace"

    def __init__(self, name: str, shown: Shown):
        self.name, self.shown = f"<{name}>", shown
        self.kind = name

    def write(self, text: str) -> int:
        """Show a text."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self.shown.printed(self.kind, text)
        return len(text)

    def writable(self) -> bool:
        """Whether it can be written to: it can."""
        return True

    def close(self) -> None:
        """A submission that closes it must be able to print on."""
