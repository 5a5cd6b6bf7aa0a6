"""A secret is found in whatever it is packed; and what cannot be opened is said, not passed over."""

import base64
import bz2
import gzip
import io
import json
import struct
import tarfile
import zipfile
import zlib

import nbformat
import pytest

from walkthrough.homework import leaks, opened


@pytest.fixture(scope="module")
def secret(small_course):
    """A solution of the small course, as text."""
    cell = nbformat.read(small_course / "source" / "hw1" / "hw1.ipynb", 4).cells[1]
    return leaks.between(cell.source, "BEGIN SOLUTION", "END SOLUTION")[0]


def zipped(data, name="notes.txt"):
    """A zip with one file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(name, data)
    return out.getvalue()


def tarred(data, kind, name="a/notes.txt"):
    """A tar with one file; `kind` says how it is packed."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{kind}") as packed:
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        packed.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def png(kind, content):
    """A PNG without pixels, with one text chunk."""
    chunk = lambda name, body: struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return b"\x89PNG\r\n\x1a\n" + chunk(kind, content) + chunk(b"IEND", b"")


def jpeg(comment):
    """A JPEG's beginning, with a comment."""
    return b"\xff\xd8\xff\xfe" + struct.pack(">H", 2 + len(comment)) + comment + b"\xff\xd9"


def notebook(**cell):
    """A notebook with one code cell, as a file."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", **cell)])
    return nbformat.writes(made).encode()


def html_of(text):
    """A text as a page colours code: a mark around each word."""
    shown = "".join(f"<span class='n'>{word}</span> " for word in text.replace("<", "&lt;").split(" "))
    return nbformat.v4.new_output("display_data", {"text/html": f"<pre>{shown}</pre>"})


def drawn(text):
    """An output with a picture that says something beside its pixels."""
    data = base64.b64encode(png(b"tEXt", b"Comment\0" + text.encode())).decode()
    return nbformat.v4.new_output("display_data", {"image/png": data})


PACKED = {
    "zip": lambda text: zipped(text),
    "wheel in a tar.gz": lambda text: tarred(zipped(text, "walkthrough/x.py"), "gz", "dist/a.whl"),
    "tar": lambda text: tarred(text.encode(), ""),
    "tar.bz2": lambda text: tarred(text.encode(), "bz2"),
    "tar.xz in a zip": lambda text: zipped(tarred(text.encode(), "xz"), "x.bin"),
    "gz": lambda text: gzip.compress(text.encode()),
    "bz2": lambda text: bz2.compress(text.encode()),
    "a git object": lambda text: zlib.compress(b"blob 9\0" + text.encode()),
    "UTF-16": lambda text: text.encode("utf-16"),
    "Latin-1": lambda text: f"# é\n{text}".encode("latin-1"),
    "comments": lambda text: "\n".join(f"# {line}" for line in text.splitlines() * 2).encode(),
    "a diff": lambda text: "\n".join(f"+{line}" for line in text.splitlines()).encode(),
    "metadata": lambda text: json.dumps({"cells": [], "metadata": {"x": text}, "nbformat": 4, "nbformat_minor": 5}).encode(),
    "an output": lambda text: notebook(outputs=[nbformat.v4.new_output("stream", text=text)]),
    "an output's HTML": lambda text: notebook(outputs=[html_of(text)]),
    "an output's picture": lambda text: notebook(outputs=[drawn(text)]),
    "a page's picture": lambda text: f"<img src='data:image/png;base64,{drawn(text).data['image/png']}'>".encode(),
    "a PNG's text": lambda text: png(b"tEXt", b"Comment\0" + text.encode()),
    "a PNG's packed text": lambda text: png(b"zTXt", b"Comment\0\0" + zlib.compress(text.encode())),
    "a PNG's long text": lambda text: png(b"iTXt", b"C\0\1\0\0\0" + zlib.compress(text.encode())),
    "a JPEG's comment": lambda text: jpeg(text.encode()),
    "behind a picture": lambda text: png(b"tEXt", b"a\0b") + zipped(text),
}  # fmt: skip


@pytest.mark.parametrize("how", PACKED)
def test_a_secret_is_found_however_it_is_packed(how, secret, small_course, tmp_path):
    file = tmp_path / "given"
    file.write_bytes(PACKED[how](secret))
    assert any("cell hw1-1-answer" in found for found in leaks.search(small_course, [file]))
    file.write_bytes(PACKED[how]("def product(a, b):\n    return a @ b"))
    assert leaks.search(small_course, [file]) == []


def locked(data):
    """A zip whose one file claims to be encrypted."""
    made = bytearray(zipped(data))
    made[6] |= 1
    made[made.index(b"PK\1\2") + 8] |= 1
    return bytes(made)


def nested(data, times):
    """A zip in a zip in a zip."""
    for _ in range(times):
        data = zipped(data, "x.zip")
    return data


REFUSED = {
    "locked": lambda: locked("x"), "cut off": lambda: gzip.compress(b"x" * 99)[:-9], "rar": lambda: b"Rar!\x1a\7\0",
    "7z": lambda: b"7z\xbc\xaf\x27\x1c", "PDF": lambda: b"%PDF-1.7 ...", "compiled": lambda: b"\xa7\r\r\n\0\0\0\0code",
    "database": lambda: b"SQLite format 3\0", "too deep": lambda: nested("x", 12), "pickle": lambda: b"\x80\4\x95\0\0",
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_read_is_said_and_counts_as_a_find(kind, small_course, tmp_path):
    (tmp_path / "given").write_bytes(REFUSED[kind]())
    (found,) = leaks.search(small_course, [tmp_path / "given"])
    assert "given" in found
    assert "cannot be searched" in found


def test_more_than_fits_is_not_unpacked(small_course, tmp_path, monkeypatch):
    monkeypatch.setattr(opened, "LARGEST", 1000)
    for data in (zipped("x" * 2000), gzip.compress(b"x" * 2000)):
        (tmp_path / "given").write_bytes(data)
        assert "MB when unpacked" in leaks.search(small_course, [tmp_path / "given"])[0]


@pytest.mark.parametrize("name", ["graders/hw9.py", "a/graders/x.py", "a/plant.py", "secret.txt", "answers_hw3.py"])
def test_the_teachers_own_files_are_found_by_name_and_the_secret_by_its_text(name, small_course, tmp_path):
    (tmp_path / "given.zip").write_bytes(zipped("nothing", name))
    assert any("teacher's own file" in found for found in leaks.search(small_course, [tmp_path / "given.zip"]))
    (tmp_path / "notes.md").write_text((small_course / "secret.txt").read_text("utf-8"), encoding="utf-8")
    assert "holds the course's secret" in leaks.search(small_course, [tmp_path / "notes.md"])[0]


def test_a_place_that_is_not_there_and_a_link_out_are_no_silence(small_course, tmp_path):
    with pytest.raises(ValueError, match="no file or folder"):
        leaks.search(small_course, [tmp_path / "none"])
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(small_course / "secret.txt")
    assert "leads out of the folder" in leaks.search(small_course, [tmp_path / "folder"])[0]
