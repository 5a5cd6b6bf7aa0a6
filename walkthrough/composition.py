"""Heads that read what earlier heads wrote: composition scores, and the circuits of two heads in a row."""

import torch
from jaxtyping import Float
from torch import Tensor

from walkthrough.models import check_head


def composition_scores(model, kind: str, layers: tuple[int, int] = (0, 1)) -> Float[Tensor, "write read"]:
    """How much each head of a later layer (read) reads, as Q, K or V, of what each head of an earlier one wrote.

    ‖product‖ / (‖W_OV‖ ‖what reads it‖) in Frobenius norms, from 0 to 1; about 1/√d_model for unrelated heads. Raises
    ValueError for another kind, or for layers in the wrong order (Elhage et al. 2021, "Two-Layer" models).
    """
    if kind not in ("Q", "K", "V"):
        raise ValueError(f"there is no {kind!r}-composition: a head reads what others wrote as Q, K or V")
    earlier, later = layers
    check_pair(model, (earlier, 0), (later, 0))
    writes, W_QK = model.OV[earlier].AB, model.QK[later].AB
    reads = {"Q": W_QK, "K": W_QK.mT, "V": model.OV[later].AB}[kind]
    size = lambda matrix: matrix.norm(dim=(-2, -1))
    return torch.stack([size(W_OV @ reads) / (size(W_OV) * size(reads)) for W_OV in writes])


def k_composed_circuit(model, first: tuple[int, int], second: tuple[int, int]):
    """How much the second head, from each token (row), looks for keys that the first head built of each token (column).

    A FactoredMatrix [d_vocab d_vocab] of rank d_head, in the units that the softmax takes: divided by √d_head. Heads
    are (layer, head). Raises ValueError if there is no such head, or if the first is not in an earlier layer. The
    paper's W_E^T W_QK W_OV W_E, the W of the term Id ⊗ A ⊗ W (Elhage et al. 2021, "Two-Layer" models).
    """
    check_pair(model, first, second)
    return model.W_E @ model.QK[second] @ model.OV[first].T @ model.W_E.T * model.cfg.d_head**-0.5


def virtual_ov_circuit(model, first: tuple[int, int], second: tuple[int, int]):
    """What each token (row), moved by the first head and then by the second, adds to each output token's logit (column).

    A FactoredMatrix [d_vocab d_vocab] of rank d_head, in logits: the OV circuit of a virtual head. Heads are (layer,
    head). Raises ValueError if there is no such head, or if the first is not in an earlier layer. The transpose of the
    paper's W_U W_OV W_OV W_E (Elhage et al. 2021, "Two-Layer" models).
    """
    check_pair(model, first, second)
    return model.W_E @ model.OV[first] @ model.OV[second] @ model.W_U


def check_pair(model, first: tuple[int, int], second: tuple[int, int]) -> None:
    """Raise ValueError unless both heads exist and the first is in an earlier layer than the second."""
    check_head(model, *first)
    check_head(model, *second)
    if first[0] >= second[0]:
        raise ValueError(
            f"head {second[0]}:{second[1]} cannot read what {first[0]}:{first[1]} writes: "
            "the first head must be in an earlier layer"
        )
