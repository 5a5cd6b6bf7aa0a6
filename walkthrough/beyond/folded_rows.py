"""Circuits over a large vocabulary, streamed: a few rows of all heads at once, and the largest entries of one circuit."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough.beyond.folded_circuits import turned, unembedding
from walkthrough.beyond.frozen_scores import score_scale
from walkthrough.beyond.frozen_weights import check_known, grouped_head, norm_before


class TokenRows:
    """What all heads of any decoder do with a few tokens: two products with the vocabulary, and no factor for each head.

    The numbers are those of `folded_qk_circuit` and `folded_ov_circuit`. The embeddings, each divided by its scale, and
    W_U are kept as they are now: make another of these when weights have changed. Raises ValueError for a model whose
    circuits are not known.
    """

    def __init__(self, model) -> None:
        check_known(model, "distances", "scores", "writes", "between", "logits")
        norm, outputs = norm_before(model, 0), unembedding(model)
        self.model = model
        self.unit = norm.centred(model.W_E) / norm.scale(model.W_E)  # [d_vocab d_model]: no layer's gain is in it
        self.outputs = outputs - outputs.mean(-1, keepdim=True)  # [d_model d_vocab]

    def heads(self) -> list[tuple[int, int]]:
        """(layer, head)s, in the order of what the other two return."""
        return [(layer, head) for layer in range(self.model.cfg.n_layers) for head in range(self.model.cfg.n_heads)]

    def looking(
        self, tokens: Int[Tensor, " token"], against: int, distance: int = 0
    ) -> Float[Tensor, "head token d_vocab"]:  # fmt: skip
        """Score of each token of the vocabulary, as a query, for each of `tokens` over that for the token `against`.

        A column of the QK circuit, `distance` positions before the query.
        """
        reads, constants = [], []
        for layer, head in self.heads():
            of_head, norm = grouped_head(self.model, layer, head), norm_before(self.model, layer)
            keys = ((self.unit[tokens] - self.unit[against]) * norm.gain) @ of_head.W_K
            met = turned(self.model, turned(self.model, keys, 0), -distance) * score_scale(self.model, layer)
            reads.append((norm.gain[:, None] * of_head.W_Q) @ met.T)
            constants.append((norm.bias @ of_head.W_Q + of_head.b_Q) @ met.T)
        scores = torch.cat(constants)[:, None] + torch.cat(reads, 1).T @ self.unit.T
        return scores.unflatten(0, (-1, len(tokens)))

    def raising(self, tokens: Int[Tensor, " token"]) -> Float[Tensor, "head token d_vocab"]:
        """What each of `tokens`, once looked at, adds to all logits over their mean: a row of the centred OV circuit."""
        written = []
        for layer, head in self.heads():
            of_head, gain = grouped_head(self.model, layer, head), norm_before(self.model, layer).gain
            written.append(self.unit[tokens] * gain @ of_head.W_V @ of_head.W_O)
        return (torch.cat(written) @ self.outputs).unflatten(0, (-1, len(tokens)))


def balanced(circuit) -> tuple[Float[Tensor, "row d_head"], Float[Tensor, "d_head column"]]:
    """Factors of the same circuit, along its singular vectors, each with the root of their sizes.

    Then no row is long in a direction in which no column is.
    """
    (Q_A, R_A), (Q_B, R_B) = torch.linalg.qr(circuit.A), torch.linalg.qr(circuit.B.T)
    U, sizes, Vh = torch.linalg.svd(R_A @ R_B.T)
    return Q_A @ (U * sizes.sqrt()), (Q_B @ (Vh.T * sizes.sqrt())).T


def pruned_largest(circuit, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """`searches.largest_entries`, the same entries, without a look at those that cannot be among them.

    An entry is at most the length of its row of one balanced factor times that of its column of the other. Rows are taken
    longest first, 8 and then 256 at a time, and only the columns that are long enough for them: over 49,152 tokens that
    leaves about one entry in a hundred.
    """
    A, B = balanced(circuit)
    lengths, order = A.norm(dim=1).sort(descending=True)
    wide, columns = B.norm(dim=0).sort(descending=True)
    B, values, places = B[:, columns], A.new_empty(0), order.new_empty(0, 2)
    for start in (0, *range(8, len(A), 256)):
        some, length = order[start : start + 256 if start else 8], lengths[start]
        bound = values[-1] if len(values) == k else wide.new_tensor(-torch.inf)
        few = int((length * wide >= bound).sum())
        if few == 0:
            break
        panel = A[some] @ B[:, :few]
        row, column = (panel >= bound).nonzero().T
        values = torch.cat([values, panel[row, column]])
        places = torch.cat([places, torch.stack([some[row], columns[column]], 1)])
        values, kept = values.topk(min(k, len(values)))
        places = places[kept]
    return values, places[:, 0], places[:, 1]
