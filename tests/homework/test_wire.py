"""What goes between the grader and a submission arrives as it was, and nothing else is believed."""

import io
import struct

import numpy as np
import pytest
import torch
from transformer_lens import FactoredMatrix

from walkthrough import models
from walkthrough.exercises.check import Verdict
from walkthrough.homework import wire
from walkthrough.homework.task import Task, verdict
from walkthrough.marks import NOT_ATTEMPTED


def test_values_arrive_as_they_were():
    tensors = {"wide": torch.randn(3, 2, dtype=torch.float64).T, "bits": torch.tensor([True, False])}
    value = {"a": [1, 2.5, None, True, "text"], **tensors, "nan": float("inf"), "none": torch.zeros(0, 3)}
    back = wire.unpack(wire.pack(value))
    assert back["a"] == value["a"]
    assert back["nan"] == value["nan"]
    for name, tensor in tensors.items():
        assert torch.equal(back[name], tensor)
        assert back[name].dtype == tensor.dtype
    assert back["none"].shape == (0, 3)


def test_what_was_left_as_it_was_given_arrives_as_that_and_is_not_called_wrong():
    task = Task("finding", 3, "notebook 00", lambda seed: [()], judge=lambda answer: "no")
    reply = wire.unpack(wire.pack({"value": ...}))  # as the worker sends it
    assert verdict(task, reply["value"], 0) == Verdict(NOT_ATTEMPTED, "not attempted yet")
    assert verdict(task, wire.unpack(wire.pack({"untouched": True})), 0).mark == "✗"
    with pytest.raises(TypeError, match="type ellipsis, which cannot be marked"):
        wire.pack({"a": ...})


def test_tensors_that_share_memory_complex_ones_arrays_and_factored_ones_too():
    x = torch.randn(4, 4)
    a, b, c, d = wire.unpack(wire.pack((x, x[1:], torch.linalg.eigvals(x), FactoredMatrix(x[:, :2], x[:2]))))
    assert torch.equal(a[1:], b)
    assert torch.equal(c, torch.linalg.eigvals(x))
    assert torch.allclose(d, x[:, :2] @ x[:2])
    assert torch.equal(wire.unpack(wire.pack(np.arange(3.0))), torch.arange(3.0, dtype=torch.float64))


def test_arrays_and_tensors_in_unusual_storage_arrive_with_their_values():
    x = np.arange(6.0).reshape(2, 3)
    for stored in (x[::-1], x[:, ::-1], x.astype(">f4"), x.astype(np.longdouble), np.asfortranarray(x), x.T[1]):
        assert wire.unpack(wire.pack(stored)).tolist() == stored.tolist()
    thin = torch.tensor([[0.0, 2.0], [0.0, 0.0]])
    for stored in (thin.to_sparse(), thin.to_sparse_csr(), thin.requires_grad_()):
        assert wire.unpack(wire.pack([stored]))[0].tolist() == [[0.0, 2.0], [0.0, 0.0]]
    whole = torch.tensor([1 + 2j, 3j])
    assert wire.unpack(wire.pack(whole.conj())).tolist() == [1 - 2j, -3j]
    assert wire.unpack(wire.pack(whole.conj().imag)).tolist() == [-2, -3]


def test_a_sparse_tensor_too_large_to_be_written_out_is_refused_in_words():
    huge = torch.sparse_coo_tensor(torch.tensor([[7], [7]]), torch.tensor([1.0]), (10**6, 10**6))
    with pytest.raises(TypeError, match=r"a sparse tensor of shape \[1000000, 1000000\], which is too large"):
        wire.pack(huge)


def test_a_tuple_stays_a_tuple_for_it_may_be_an_index():
    back = wire.unpack(wire.pack({"head": (1, 0), "heads": [(0, 1), [2]]}))
    assert back == {"head": (1, 0), "heads": [(0, 1), [2]]}
    assert torch.arange(6).view(2, 3)[back["head"]] == 3


def test_what_the_grader_expands_takes_no_room_and_a_submission_cannot_do_it():
    wide = torch.randn(2, 1, 3).expand(2, 10**9, 3)
    message = wire.pack([wide], ours=True)
    assert len(message) < 1000
    (back,) = wire.unpack(message, ours=True)
    assert back.shape == wide.shape
    assert torch.equal(back[:, 7], wide[:, 0])
    with pytest.raises(ValueError, match="not a message"):
        wire.unpack(message)
    assert torch.equal(wire.unpack(wire.pack(torch.ones(1, 3).expand(4, 3))), torch.ones(4, 3))


def test_a_model_arrives_with_its_weights():
    model = models.tiny(2, seed=5)
    back = wire.unpack(wire.pack([model]), ours=True)[0]
    tokens = torch.randint(64, (2, 9))
    assert torch.equal(back(tokens), model(tokens))
    shipped = wire.unpack(wire.pack(models.load("one-layer")), ours=True)
    assert shipped.to_string([0]) == models.BOS
    assert shipped.cfg.model_name == "one-layer"


def test_a_model_that_bears_a_shipped_ones_name_is_sent_as_it_is():
    model = models.bridge(models.PaperModel(models.config(1, 32, 4, 32, 64), 3), name="homework")
    tokens = torch.randint(64, (1, 9))
    assert torch.equal(wire.unpack(wire.pack(model), ours=True)(tokens), model(tokens))


def test_the_grader_takes_no_model_from_a_submission():
    with pytest.raises(ValueError, match="not a message"):
        wire.unpack(wire.pack(models.tiny(1)))


@pytest.mark.parametrize("value", [lambda: 1, {1: 2}, object(), {"x": {3}}])
def test_what_cannot_be_sent_is_refused_by_its_type(value):
    with pytest.raises(TypeError, match=r"cannot be marked|keys are not texts"):
        wire.pack(value)


@pytest.mark.parametrize("noise", [b"", b"x", b"\xff" * 40, struct.pack("<Q", 2) + b"{}", wire.pack(1)[:-4] + b"\x00"])
def test_noise_is_refused(noise):
    with pytest.raises(ValueError, match="not a message"):
        wire.unpack(noise)


def test_a_stream_that_ends_or_promises_too_much():
    with pytest.raises(EOFError):
        wire.read(io.BytesIO(struct.pack("<Q", 10) + b"abc"))
    with pytest.raises(ValueError, match="larger than 8 MB"):
        wire.read(io.BytesIO(struct.pack("<Q", 2**60)))
