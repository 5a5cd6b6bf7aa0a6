"""Every file of what was handed in, in folders and zips, and in zips within them. Nothing is ever extracted."""

import contextlib
import io
import os
import stat
import struct
import time
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

MOST_BYTES = 200 * 2**20  # of one file, unpacked
MOST_FILES = 20_000  # in one zip
DEEPEST = 3  # zips within zips
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)


@dataclass(frozen=True)
class Found:
    """One file: its path with `/`, its time in seconds, its bytes when asked for, and why it is refused, if it is."""

    name: str
    modified: float
    read: Callable[[], bytes]
    refused: str = ""


def found(handed_in: Path, but: Path) -> Iterator[Found]:
    """Every file in a folder or zip, or the one notebook that it is; the folder `but` is passed by.

    Raises ValueError for anything else. Links are never followed.
    """
    if handed_in.is_dir():
        yield from in_folder(handed_in, but)
    elif zipfile.is_zipfile(handed_in):
        yield from in_zip(handed_in, "", 1)
    elif handed_in.suffix.lower() == ".ipynb" and handed_in.is_file():
        yield one_file(handed_in, handed_in.name)
    elif handed_in.exists():
        raise ValueError(f"{handed_in} is neither a folder nor a zip that can be opened, nor a notebook")
    else:
        raise ValueError(f"there is no {handed_in}: give the folder or zip with what was handed in")


def in_folder(folder: Path, but: Path) -> Iterator[Found]:
    """Every file below a folder, in the order of their names."""

    def stop(error: OSError) -> None:
        """A folder that cannot be read must not go unnoticed."""
        raise error

    for place, folders, files in os.walk(folder, onerror=stop):
        folders[:] = sorted(name for name in folders if not os.path.samefile(Path(place, name), but))
        for name in sorted([*files, *folders]):
            path = Path(place, name)
            shown = unicodedata.normalize("NFC", path.relative_to(folder).as_posix())
            if path.is_symlink():
                yield Found(shown, 0.0, bytes, "it is a link, and links are not followed")
            elif path.is_dir():
                yield from a_folder(shown)
            elif name.lower().endswith(".zip"):
                yield from in_zip(path, f"{shown}/", 1)
            else:
                yield one_file(path, shown)


def one_file(path: Path, shown: str) -> Found:
    """A file on the disk."""
    known = path.stat()
    refused = "it is too large" if known.st_size > MOST_BYTES else ""
    return Found(shown, known.st_mtime, path.read_bytes, refused if path.is_file() else "it is no ordinary file")


def a_folder(shown: str) -> Iterator[Found]:
    """A folder that is called as if it were a notebook; no other folder is worth a word."""
    if shown.lower().endswith(".ipynb"):
        yield Found(shown, 0.0, bytes, "it is a folder, not a file")


def in_zip(source: Path | io.BytesIO, place: str, depth: int) -> Iterator[Found]:
    """Every file in a zip, under the path `place`; the zip itself, with the reason, if it cannot be opened."""
    shown = place.rstrip("/")
    try:
        opened = zipfile.ZipFile(source)
        entries = opened.infolist()
    except BROKEN:
        yield Found(shown, 0.0, bytes, "it is no zip that can be opened")
        return
    if depth > DEEPEST or len(entries) > MOST_FILES:
        yield Found(shown, 0.0, bytes, "it holds too many files, or too many zips within zips")
        return
    for entry in entries:
        yield from in_entry(opened, entry, place, depth)


def in_entry(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, place: str, depth: int) -> Iterator[Found]:
    """What one entry of a zip holds: a file, or the files of a zip."""
    name = entry_name(entry)
    shown = place + name.rstrip("/")

    def read() -> bytes:
        """The entry's bytes."""
        return opened.read(entry)

    if name.endswith("/"):
        yield from a_folder(shown)
        return
    refused = ""
    if name.startswith("/") or ".." in name.split("/") or name[1:2] == ":":
        refused = "its path leads out of the zip"
    elif stat.S_ISLNK(entry.external_attr >> 16):
        refused = "it is a link, and links are not followed"
    elif entry.flag_bits & 1:
        refused = "it is locked with a password"
    elif entry.file_size > MOST_BYTES:
        refused = "it is too large"
    elif name.lower().endswith(".zip"):
        try:
            inner = io.BytesIO(opened.read(entry))
        except BROKEN:
            refused = "it is no zip that can be opened"
        else:
            yield from in_zip(inner, f"{shown}/", depth + 1)
            return
    yield Found(shown, entry_time(entry), read, refused)


def entry_name(entry: zipfile.ZipInfo) -> str:
    """An entry's path: UTF-8 also where a zip (as made on a Mac) does not say that it is; else cp437, as the zip says."""
    name = entry.filename
    if not entry.flag_bits & 0x800:
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return unicodedata.normalize("NFC", name.replace("\\", "/"))


def entry_time(entry: zipfile.ZipInfo) -> float:
    """When an entry was changed: in UTC if the zip tells (the "extended timestamp"), else by the clock of its maker."""
    extra = entry.extra
    while len(extra) >= 4:
        kind, size = struct.unpack("<HH", extra[:4])
        if kind == 0x5455 and size >= 5 and extra[4] & 1 and len(extra) >= 9:
            return float(struct.unpack("<i", extra[5:9])[0])
        extra = extra[4 + size :]
    try:
        return time.mktime((*entry.date_time, 0, 0, -1))
    except (OverflowError, ValueError):
        return 0.0
