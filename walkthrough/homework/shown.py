"""What a cell shows, collected as a notebook stores it: prints, pictures, results and errors, in their order and bounded."""

import io
from typing import Any

from jupyter_client.session import Session
from traitlets import Any as AnyTrait

MOST_TEXT = 20_000  # characters kept of what one cell prints
MOST_DISPLAYED = 10 * MOST_TEXT  # characters of all results of one cell, pictures aside
MOST_SHOWS = 500  # results, pictures and runs of prints that are kept of one cell
MOST_IMAGE = 2 * 2**20  # characters of one picture (base64)
MOST_IMAGES = 5 * 2**20  # characters of all pictures of one cell
KEPT = ("text/plain", "image/png")
MORE = "\n[there was more, which was not kept; the cell ran on]\n"


class Shown(Session):
    """The outputs of the cell that runs. A kernel sends what it shows through a session; this one keeps it.

    `keep` is False while a function is called, of which nothing is shown.
    """

    outputs, room, displays = AnyTrait(), AnyTrait(), AnyTrait()

    def fresh(self, keep: bool) -> list[dict[str, Any]]:
        """Start anew; the list that will hold the outputs."""
        self.keep, self.images, self.clear, self.cut = keep, 0, False, False
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
                self.empty()
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
        text = len(data.get("text/plain", ""))
        if self.room_for(text, "displayed", MOST_DISPLAYED) < text:
            return self.more()
        self.add(output)
        if name is not None:
            self.displays.setdefault(name, []).append(output)

    def add(self, output: dict[str, Any]) -> None:
        """One more output; of too many, errors only."""
        self.cleared()
        if len(self.outputs) < MOST_SHOWS or output["output_type"] == "error":
            self.outputs.append(output)
        else:
            self.more()

    def room_for(self, size: int, name: str, most: int) -> int:
        """How many of so many characters can still be kept."""
        self.cleared()
        used = self.room.get(name, 0)
        self.room[name] = used + size
        return max(0, min(size, most - used))

    def cleared(self) -> None:
        """Behind a `clear_output(wait=True)`, what comes next is the first."""
        if self.clear:
            self.empty()

    def empty(self) -> None:
        """Forget what was shown; there is room again."""
        self.outputs.clear()
        self.room, self.cut, self.clear = {}, False, False

    def more(self) -> None:
        """Say once that not all is kept."""
        if not self.cut:
            self.cut = True
            self.outputs.append({"output_type": "stream", "name": "stderr", "text": MORE})

    def printed(self, name: str, text: str) -> None:
        """Keep what fits of a print, and let the cell go on: one that never ends is found by its time."""
        if not self.keep or not text or (self.cut and not self.clear and self.room.get(name, 0) >= MOST_TEXT):
            return
        if kept := text[: self.room_for(len(text), name, MOST_TEXT)]:
            last = self.outputs[-1] if self.outputs else {}
            if last.get("name") == name:
                last["text"] += kept
            else:
                self.add({"output_type": "stream", "name": name, "text": kept})
        if len(kept) < len(text):
            self.more()


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
