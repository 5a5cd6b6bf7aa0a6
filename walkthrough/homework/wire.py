"""Values on their way between the grader and a submission: JSON and safetensors, so that nothing is ever unpickled."""

import json
import struct
from io import BufferedIOBase
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from walkthrough import models

LARGEST = 64 * 2**20  # bytes in a message


def pack(value: Any) -> bytes:
    """Any value made of numbers, texts, tensors, course models, and lists, tuples and dicts of them.

    Raises TypeError for anything else.
    """
    tensors: dict[str, Tensor] = {}
    tree = flatten(value, tensors)
    return save_safetensors(tensors, metadata={"tree": json.dumps(tree)})


def unpack(message: bytes, models_too: bool = False) -> Any:
    """What was packed; a tuple comes back as a list.

    Raises ValueError for a message that `pack` did not write, and for a model where none is expected.
    """
    try:
        length = struct.unpack("<Q", message[:8])[0]
        tree = json.loads(json.loads(message[8 : 8 + length])["__metadata__"]["tree"])
        return restore(tree, load_safetensors(message), models_too)
    except Exception as error:
        raise ValueError(f"this is not a message of the grader's: {type(error).__name__}") from error


def flatten(value: Any, tensors: dict[str, Tensor]) -> Any:
    """A tree that JSON can hold; the tensors in it go to `tensors` and leave their names."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [flatten(item, tensors) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: flatten(item, tensors) for key, item in value.items()}}
    if hasattr(value, "original_model"):
        state, cfg = value.original_model.state_dict(), value.cfg
        weights = {key.replace("._original_component", ""): tensor for key, tensor in state.items()}
        shape = {key: getattr(cfg, key) for key in ("n_layers", "d_model", "n_heads", "n_ctx", "d_vocab")}
        said = {"model": cfg.model_name, "shape": shape, "tokenizer": value.tokenizer is not None}
        return said | {"weights": flatten(weights, tensors)}
    value = getattr(value, "AB", value)  # a FactoredMatrix
    if isinstance(value, np.ndarray | np.generic):
        value = torch.as_tensor(value)
    if not isinstance(value, Tensor):
        raise TypeError(f"a value of type {type(value).__name__} cannot be handed in: give numbers, texts or tensors")
    name, value = str(len(tensors)), value.detach().cpu()
    tensors[name] = (torch.view_as_real(value) if value.is_complex() else value).clone().contiguous()
    return {"tensor": name, "complex": value.is_complex()}


def restore(tree: Any, tensors: dict[str, Tensor], models_too: bool) -> Any:
    """The value that `flatten` made the tree of."""
    if isinstance(tree, list):
        return [restore(item, tensors, models_too) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if "dict" in tree:
        return {key: restore(item, tensors, models_too) for key, item in tree["dict"].items()}
    if "tensor" in tree:
        found = tensors[tree["tensor"]]
        return torch.view_as_complex(found) if tree["complex"] else found
    if not models_too:
        raise ValueError("a model")
    network = models.PaperModel(models.config(**tree["shape"]))
    network.load_state_dict(restore(tree["weights"], tensors, models_too), strict=False)
    tokenizer = models.load_tokenizer() if tree["tokenizer"] else None
    return models.bridge(network, tokenizer, tree["model"])


def write(stream: BufferedIOBase, value: Any) -> None:
    """Send one value."""
    send(stream, pack(value))


def send(stream: BufferedIOBase, message: bytes) -> None:
    """Send what was packed, behind its length."""
    stream.write(struct.pack("<Q", len(message)) + message)
    stream.flush()


def read(stream: BufferedIOBase, models_too: bool = False) -> Any:
    """Receive one value. Raises EOFError when the other side is gone, and ValueError for what is not a message."""
    length = struct.unpack("<Q", exactly(stream, 8))[0]
    if length > LARGEST:
        raise ValueError(f"a message of more than {LARGEST // 2**20} MB was sent")
    return unpack(exactly(stream, length), models_too)


def exactly(stream: BufferedIOBase, length: int) -> bytes:
    """That many bytes; EOFError if the stream ends before."""
    data = stream.read(length)
    if len(data) < length:
        raise EOFError("the other side is gone")
    return data
