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

UNTOUCHED = {"dict": {"value": {"untouched": True}}}  # a reply with the `...` that stands where an answer is to be
LARGEST = {True: 64 * 2**20, False: 8 * 2**20}  # bytes in a message of the grader's, and in one of a submission's


def pack(value: Any, ours: bool = False) -> bytes:
    """Any value made of numbers, texts, tensors, course models, and lists, tuples and dicts of them.

    `ours` is a message of the grader's: what is expanded in it stays so, and takes no room. Raises TypeError for any
    other value.
    """
    tensors: dict[str, Tensor] = {}
    untouched = isinstance(value, dict) and value.get("value") is ...
    tree = UNTOUCHED if untouched else flatten(value, tensors, ours)
    return save_safetensors(tensors, metadata={"tree": json.dumps(tree)})


def unpack(message: bytes, ours: bool = False) -> Any:
    """What was packed.

    Raises ValueError for a message that `pack` did not write; from a submission, models and expanded tensors are none.
    """
    try:
        length = struct.unpack("<Q", message[:8])[0]
        tree = json.loads(json.loads(message[8 : 8 + length])["__metadata__"]["tree"])
        return {"value": ...} if tree == UNTOUCHED else restore(tree, load_safetensors(message), ours)
    except Exception as error:
        raise ValueError("it is not a message of the grader's") from error


def flatten(value: Any, tensors: dict[str, Tensor], ours: bool) -> Any:
    """A tree that JSON can hold; the tensors in it go to `tensors` and leave their names."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [flatten(item, tensors, ours) for item in value]
    if isinstance(value, tuple):
        return {"tuple": flatten(list(value), tensors, ours)}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: flatten(item, tensors, ours) for key, item in value.items()}}
    if hasattr(value, "original_model"):
        state, cfg = value.original_model.state_dict(), value.cfg
        weights = {key.replace("._original_component", ""): tensor for key, tensor in state.items()}
        shape = {key: getattr(cfg, key) for key in ("n_layers", "d_model", "n_heads", "n_ctx", "d_vocab")}
        said = {"model": cfg.model_name, "shape": shape, "tokenizer": value.tokenizer is not None}
        return said | {"weights": flatten(weights, tensors, ours)}
    value = getattr(value, "AB", value)  # a FactoredMatrix
    if isinstance(value, np.ndarray | np.generic):
        value = of_numpy(np.asarray(value))
    if isinstance(value, dict):
        raise TypeError("your answer holds a dict whose keys are not texts, which cannot be marked")
    if not isinstance(value, Tensor):
        raise TypeError(
            f"your answer holds a value of type {type(value).__name__}, which cannot be marked: give numbers, texts, "
            "tensors, or lists, tuples and dicts of them"
        )
    name, value = str(len(tensors)), dense(value.detach()).cpu().resolve_conj()
    said = {"tensor": name, "complex": value.is_complex()}
    if ours and 0 in value.stride():
        said["shape"] = list(value.shape)
        value = value[tuple(slice(None) if step else slice(1) for step in value.stride())]
    tensors[name] = (torch.view_as_real(value) if value.is_complex() else value).clone().contiguous()
    return said


def of_numpy(value: np.ndarray) -> Tensor:
    """An array as a tensor, also if it runs backwards in memory, in another byte order, or holds longer numbers than torch knows."""
    kind = np.float64 if value.dtype == np.longdouble else value.dtype.newbyteorder("=")
    return torch.as_tensor(value.astype(kind, order="C"))


def dense(value: Tensor) -> Tensor:
    """A tensor with all its zeros. Raises TypeError for a sparse one that has too many of them."""
    if value.layout == torch.strided:
        return value
    if value.numel() * value.element_size() > LARGEST[False]:
        raise TypeError(
            f"your answer is a sparse tensor of shape {list(value.shape)}, which is too large to be written out"
        )
    return value.to_dense()


def restore(tree: Any, tensors: dict[str, Tensor], ours: bool) -> Any:
    """The value that `flatten` made the tree of."""
    if isinstance(tree, list):
        return [restore(item, tensors, ours) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if "tuple" in tree:
        return tuple(restore(tree["tuple"], tensors, ours))
    if "dict" in tree:
        return {key: restore(item, tensors, ours) for key, item in tree["dict"].items()}
    if "tensor" in tree:
        found = torch.view_as_complex(tensors[tree["tensor"]]) if tree["complex"] else tensors[tree["tensor"]]
        if "shape" not in tree:
            return found
        if ours:
            return found.expand(tree["shape"])
    if not ours:
        raise ValueError("it holds a model, or a tensor of any size")
    network = models.PaperModel(models.config(**tree["shape"]))
    network.load_state_dict(restore(tree["weights"], tensors, ours), strict=False)
    tokenizer = models.load_tokenizer() if tree["tokenizer"] else None
    return models.bridge(network, tokenizer, tree["model"])


def write(stream: BufferedIOBase, value: Any, ours: bool = False) -> None:
    """Send one value."""
    send(stream, pack(value, ours))


def send(stream: BufferedIOBase, message: bytes) -> None:
    """Send what was packed, behind its length."""
    stream.write(struct.pack("<Q", len(message)) + message)
    stream.flush()


def read(stream: BufferedIOBase, ours: bool = False) -> Any:
    """Receive one value. Raises EOFError when the other side is gone, and ValueError for what is not a message."""
    length = struct.unpack("<Q", exactly(stream, 8))[0]
    if length > LARGEST[ours]:
        raise ValueError(f"it is larger than {LARGEST[ours] // 2**20} MB")
    return unpack(exactly(stream, length), ours)


def exactly(stream: BufferedIOBase, length: int) -> bytes:
    """That many bytes; EOFError if the stream ends before."""
    data = stream.read(length)
    if len(data) < length:
        raise EOFError("the other side is gone")
    return data
