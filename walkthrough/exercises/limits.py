"""Whether an attempt keeps to small matrices: it is run once on inputs so wide that no machine could hold their square."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

WIDE = 2**24  # a table of so many rows and columns takes a million gigabytes, more than any address space has


def wide(rows: int, columns: int, value: float = 2.0**-12) -> Tensor:
    """A matrix of one number everywhere, which takes no room: give it WIDE rows or WIDE columns, and not both.

    With a power of two as its value, sums over WIDE entries are exact in float32.
    """
    return torch.tensor(value).expand(rows, columns)


def small_only(sentence: str, *inputs: Any) -> Callable[[Any], str | None]:
    """The `limit` of an exercise: says the sentence to an attempt that asks for too large a table on these inputs.

    Nothing else is judged here: the check's other inputs tell whether the answer is right. A table is noticed however
    it is made, with torch or with NumPy.
    """

    def limit(attempt: Any) -> str | None:
        """The sentence, or None if the attempt got through; another one if it stopped for another reason."""
        if not callable(attempt):
            return None
        try:
            attempt(*copy.deepcopy(inputs))
        except (RuntimeError, MemoryError, ValueError) as error:
            return sentence if out_of_memory(error) else stopped(error)
        except Exception as error:
            return stopped(error)
        return None

    return limit


def out_of_memory(error: Exception) -> bool:
    """Whether torch (in its words on any system) or NumPy was asked for more memory than there is."""
    words = str(error).lower()
    return isinstance(error, MemoryError) or any(
        part in words for part in ("allocate", "not enough memory", "out of memory", "maximum possible size")
    )


def stopped(error: Exception) -> str:
    """What to say of an attempt that is right on small inputs and stops on wide ones."""
    reason = (str(error).splitlines() or [""])[0]
    return f"right on small matrices, but on very wide ones your code stopped with {type(error).__name__}: {reason}"
