"""Byte-level BPE, the slow and obvious way: split, write bytes as letters, and make the best merge until none is left."""

from itertools import pairwise

import regex

WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def letters() -> dict[int, str]:
    """GPT-2's letter for each byte: itself where it can be printed, else one from 256 on."""
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printed]
    return {byte: chr(byte) for byte in printed} | {byte: chr(256 + i) for i, byte in enumerate(others)}


def pieces(text: str) -> list[str]:
    """llama.cpp's "smollm": every numeral by itself, and what is between them by GPT-2's pattern."""
    between = [part for part in regex.split(r"(\p{N})", text) if part]
    return [piece for part in between for piece in regex.findall(WORDS, part)]


def encode(text: str, tokens: list[str], merges: list[str]) -> list[int]:
    """The ids of a text without special tokens; a letter that is no token is dropped."""
    rank = {tuple(merge.split(" ")): i for i, merge in enumerate(merges)}
    number = {token: i for i, token in enumerate(tokens)}
    table, ids = letters(), []
    for piece in pieces(text):
        parts = [table[byte] for byte in piece.encode() if table[byte] in number]
        while pairs := [(rank[pair], i) for i, pair in enumerate(pairwise(parts)) if pair in rank]:
            _, i = min(pairs)
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
        ids += [number[part] for part in parts]
    return ids
