"""Every text in a file, also in archives within archives, in notebooks' outputs and in pictures; and what cannot be read.

Files are told by what is in them, not by their names: a renamed zip is opened, too.
"""

import base64
import binascii
import bz2
import gzip
import html
import io
import json
import lzma
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DEEPEST = 8  # archives in archives
LARGEST = 2**29  # bytes that one file may unpack to
PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"\0\0\1\0", b"\0\0\0\x1cftyp")
FONTS = (b"wOFF", b"wOF2", b"OTTO", b"\0\1\0\0")
CLOSED = {b"Rar!": "a rar archive", b"7z\xbc\xaf": "a 7z archive", b"\x28\xb5\x2f\xfd": "a zstd archive",
          b"%PDF": "a PDF", b"\xd0\xcf\x11\xe0": "an old Office document", b"SQLite": "a database",
          b"\x7fELF": "a program", b"\x93NUMPY": "a table of numpy", b"\x80\x04": "a pickle", b"\x80\x05": "a pickle"}  # fmt: skip
INLINE = re.compile(r"base64,\s*([A-Za-z0-9+/\s]{40,}={0,2})")


class Unreadable(Exception):
    """What stands in a file cannot be read; the message says what it is."""


def texts(place: Path, passed_over: str = "") -> Iterator[tuple[str, str | Unreadable]]:
    """Every text in a file or folder, and every file's name: where it is, and what it says, or why it cannot be read.

    Weights hold no text but their header. Files under a folder of the name `passed_over` are not looked at. Raises
    ValueError if there is no such place.
    """
    if not place.exists():
        raise ValueError(f"there is no file or folder {place}")
    for file in [place] if place.is_file() else sorted(place.rglob("*")):
        if file.is_symlink() and not file.resolve().is_relative_to(place.resolve()):
            yield str(file), Unreadable("a link that leads out of the folder")
        elif file.is_file() and passed_over not in file.parts:
            yield str(file), file.name
            yield from within(str(file), file.read_bytes())


def within(name: str, data: bytes, depth: int = 0) -> Iterator[tuple[str, str | Unreadable]]:
    """Every text in the bytes of one file; an archive's members are named behind a colon."""
    if depth > DEEPEST:
        yield name, Unreadable(f"more than {DEEPEST} archives in one another")
        return
    try:
        inside = members(data)
        if inside is None:
            yield from plain(name, data, depth)
            return
        if data.startswith(PICTURES):  # and a zip behind it
            yield from plain(name, data, depth)
        for member, content in inside:
            yield f"{name}: {member}", member
            yield from within(f"{name}: {member}", content, depth + 1)
    except Unreadable as reason:
        yield name, reason
    except (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, tarfile.TarError, zlib.error,
            lzma.LZMAError, ValueError) as reason:  # fmt: skip
        yield name, Unreadable(f"broken, or locked with a password ({type(reason).__name__})")


def members(data: bytes) -> Iterator[tuple[str, bytes]] | None:
    """What is in an archive, by name; None for what is none. Raises Unreadable for a kind that is not opened here."""
    for sign, kind in CLOSED.items():
        if data.startswith(sign):
            raise Unreadable(kind)
    for sign, opener in ((b"\x1f\x8b", gzip), (b"BZh", bz2), (b"\xfd7zXZ", lzma)):
        if data.startswith(sign):
            with opener.open(io.BytesIO(data), "rb") as packed:
                content = packed.read(LARGEST + 1)
            return iter([("unpacked", checked(content))])
    if data[:1] == b"\x78" and data[1:2] in (b"\x01", b"\x5e", b"\x9c", b"\xda"):  # as git keeps files
        content = checked(zlib.decompressobj().decompress(data, LARGEST + 1))
        return iter([("unpacked", content.partition(b"\0")[2] if content.startswith(b"blob ") else content)])
    if zipfile.is_zipfile(io.BytesIO(data)):
        return from_zip(data)
    if data[257:262] == b"ustar":
        return from_tar(data)
    return None


def checked(content: bytes) -> bytes:
    """The same bytes. Raises Unreadable if there are too many."""
    if len(content) > LARGEST:
        raise Unreadable(f"more than {LARGEST // 2**20} MB when unpacked")
    return content


def from_zip(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The files of a zip (a wheel, an Office document and an .npz are zips, too), and its comments."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if archive.comment:
            yield "comment", archive.comment
        left = LARGEST
        for entry in archive.infolist():
            left -= entry.file_size
            if left < 0:
                raise Unreadable(f"more than {LARGEST // 2**20} MB when unpacked")
            if not entry.is_dir():
                yield entry.filename, archive.read(entry)


def from_tar(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The plain files of a tar."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for entry in archive:
            if file := archive.extractfile(entry) if entry.isfile() else None:
                yield entry.name, file.read()


def plain(name: str, data: bytes, depth: int) -> Iterator[tuple[str, str | Unreadable]]:
    """The text of a file that is no archive: of a notebook each stored text, of a picture what is written beside it."""
    if data.startswith(b"\x89PNG"):
        for text in png_texts(data):
            yield name, text
    elif data.startswith((*PICTURES, *FONTS)):
        yield name, "\n".join(run.decode("latin-1") for run in re.findall(rb"[\t\r\n -~]{12,}", data))
        yield name, "\n".join(run.decode("utf-16-le") for run in re.findall(rb"(?:[\t\r\n -~]\0){12,}", data))
    elif len(data) > 8 and data[8:9] == b"{" and struct.unpack("<Q", data[:8])[0] < min(len(data), 10**8):
        yield name, data[8 : 8 + struct.unpack("<Q", data[:8])[0]].decode("utf-8", "replace")  # safetensors' header
    else:
        yield from stored(name, decoded(data), depth)


def decoded(data: bytes) -> str:
    """The bytes of a text file as text. Raises Unreadable for what is no text."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise Unreadable("neither text nor a kind of file that is known here")


def stored(name: str, text: str, depth: int) -> Iterator[tuple[str, str | Unreadable]]:
    """A text, as it stands and without marks and signs before its lines; each text in it, if it is JSON; files in it."""
    yield name, text
    if text.lstrip()[:1] in ("{", "["):
        try:
            tree = json.loads(text)
        except ValueError:
            tree = None
        for kind, part in strings(tree):
            if kind.startswith("image/") and "svg" not in kind:
                yield from encoded(name, part, depth)
            else:
                yield from variants(name, part, depth)
    else:
        yield from variants(name, text, depth)


def variants(name: str, text: str, depth: int) -> Iterator[tuple[str, str | Unreadable]]:
    """One text in the forms in which it may be hidden: as it is, without HTML's marks, without signs before its lines."""
    yield name, text
    if "<" in text or "&" in text:
        yield name, html.unescape(re.sub(r"<[^<>]{0,2000}>", "", text))
    if re.search(r"^[ \t]*(?:[#>+\-|*]|\d+[ :|])", text, re.MULTILINE):
        yield name, re.sub(r"^[ \t]*(?:[#>+\-|*]+|\d+[ :|]?)", "", text, flags=re.MULTILINE)
    for part in INLINE.findall(text):
        yield from encoded(name, part, depth)


def encoded(name: str, part: str, depth: int) -> Iterator[tuple[str, str | Unreadable]]:
    """A file written out in base64."""
    try:
        data = base64.b64decode(re.sub(r"\s", "", part), validate=True)
    except (binascii.Error, ValueError):
        yield name, part
        return
    yield from within(f"{name}: picture", data, depth + 1)


def strings(tree: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Each text in a JSON tree, with the key that it stands under; the lines of one text are put together."""
    if isinstance(tree, str):
        yield key, tree
    elif isinstance(tree, dict):
        for name, part in tree.items():
            yield from strings(part, name)
    elif isinstance(tree, list):
        if tree and all(isinstance(part, str) for part in tree):
            yield key, "".join(tree)
        else:
            for part in tree:
                yield from strings(part, key)


def png_texts(data: bytes) -> Iterator[str]:
    """What is written in a PNG beside its pixels: its text chunks, packed or not (PNG specification, 11.3.3)."""
    place = 8
    while place + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[place : place + 8])
        content = data[place + 8 : place + 8 + length]
        place += 12 + length
        if kind == b"tEXt":
            yield content.decode("latin-1")
        elif kind == b"zTXt":
            yield zlib.decompress(content.partition(b"\0")[2][1:]).decode("latin-1")
        elif kind == b"iTXt":
            flag, rest = content.partition(b"\0")[2][:1], content.partition(b"\0")[2][2:].split(b"\0", 2)[-1]
            yield (zlib.decompress(rest) if flag == b"\1" else rest).decode("utf-8", "replace")
        elif kind == b"eXIf":
            yield "\n".join(run.decode("latin-1") for run in re.findall(rb"[\t\r\n -~]{12,}", content))
        elif kind == b"IEND" and data[place:].strip(b"\0"):
            yield data[place:].decode("latin-1")
