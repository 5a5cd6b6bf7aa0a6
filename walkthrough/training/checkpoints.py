"""A run that is not finished, on disk: everything that the next step depends on."""

import json
import os
from pathlib import Path

from safetensors.torch import load, save

from walkthrough.models import PaperModel


def checkpoint_file(folder: Path, name: str) -> Path:
    """Where a run that is not finished is kept."""
    return folder / f"{name}.checkpoint.safetensors"


def save_checkpoint(
    file: Path, model: PaperModel, opts: dict, step: int, identity: dict, notes: dict | None = None
) -> None:
    """Everything the next step depends on, as tensors; written beside the old one, then put in its place at once."""
    tensors = {f"model.{name}": p for name, p in model.named_parameters()}
    for kind, optimiser in opts.items():
        for i, state in optimiser.state_dict()["state"].items():
            tensors |= {f"{kind}.{i}.{key}": value for key, value in state.items()}
    partial = file.with_suffix(".partial")
    metadata = {"step": str(step), "identity": json.dumps(identity, sort_keys=True), "notes": json.dumps(notes or {})}
    partial.write_bytes(save(tensors, metadata))
    os.replace(partial, file)


def read_checkpoint(file: Path) -> tuple[dict[str, str], dict]:
    """Metadata and tensors; safetensors itself gives metadata only of files that it opens by their path."""
    stored = file.read_bytes()
    header = stored[8 : 8 + int.from_bytes(stored[:8], "little")]
    return json.loads(header)["__metadata__"], load(stored)


def load_checkpoint(file: Path, model: PaperModel, opts: dict, identity: dict) -> int:
    """Restore a run in place and return the step that comes next; 0 if there is no checkpoint yet.

    Raises ValueError if the checkpoint belongs to another recipe or another corpus.
    """
    if not file.exists():
        return 0
    metadata, tensors = read_checkpoint(file)
    if metadata["identity"] != json.dumps(identity, sort_keys=True):
        raise ValueError(f"{file} was written by another recipe or corpus: give another folder, or delete it")
    model.load_state_dict({key[6:]: t for key, t in tensors.items() if key.startswith("model.")}, strict=False)
    for kind, optimiser in opts.items():
        state: dict[int, dict] = {}
        for key, tensor in tensors.items():
            owner, _, rest = key.partition(".")
            if owner == kind:
                index, name = rest.split(".")
                state.setdefault(int(index), {})[name] = tensor
        optimiser.load_state_dict(optimiser.state_dict() | {"state": state})
    return int(metadata["step"])
