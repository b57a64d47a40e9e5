"""Small files in the ONNX format, written by hand (protobuf, as onnx.proto says)."""

from __future__ import annotations

import struct


def _varint(number: int) -> bytes:
    found = bytearray()
    while True:
        number, low = number >> 7, number & 127
        found.append(low | (128 if number else 0))
        if not number:
            return bytes(found)


def _field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _tensor_type(*sizes: int | str, kind: int = 1) -> bytes:
    dimensions = b"".join(_field(1, _field(2, size) if isinstance(size, str) else _field(1, size)) for size in sizes)
    return _field(1, _field(1, kind) + _field(2, dimensions))  # 1: float, 7: int64


def matmul(weights: list[list[float]]) -> bytes:
    """Return a graph that multiplies rows by weights."""
    rows, columns = len(weights), len(weights[0])
    flat = [number for row in weights for number in row]
    tensor = _field(1, rows) + _field(1, columns) + _field(2, 1) + _field(8, "w")
    tensor += _field(9, struct.pack(f"<{len(flat)}f", *flat))
    node = _field(1, "x") + _field(1, "w") + _field(2, "y") + _field(4, "MatMul")
    graph = _field(1, node) + _field(2, "g") + _field(5, tensor)
    graph += _field(11, _field(1, "x") + _field(2, _tensor_type("n", rows)))
    graph += _field(12, _field(1, "y") + _field(2, _tensor_type("n", columns)))
    return _field(1, 8) + _field(8, _field(1, "") + _field(2, 13)) + _field(7, graph)


def masked(other: str, *, mean: bool) -> bytes:
    """Return a graph of two inputs, ``x`` and another one, that multiplies them, and takes the mean of the places."""
    product = "p" if mean else "y"
    nodes = [_field(1, "x") + _field(1, other) + _field(2, product) + _field(4, "Mul")]
    if mean:
        axes = _field(1, "axes") + _field(8, 1) + _field(20, 7)
        keep = _field(1, "keepdims") + _field(3, 0) + _field(20, 2)
        nodes.append(_field(1, "p") + _field(2, "y") + _field(4, "ReduceMean") + _field(5, axes) + _field(5, keep))
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, "g")
    for name in ("x", other):
        graph += _field(11, _field(1, name) + _field(2, _tensor_type("n", "t")))
    graph += _field(12, _field(1, "y") + _field(2, _tensor_type("n") if mean else _tensor_type("n", "t")))
    return _field(1, 8) + _field(8, _field(1, "") + _field(2, 13)) + _field(7, graph)


def lookup(table: list[list[float]], *, pooled: bool = True, masked: bool = False) -> bytes:
    """Return a graph that looks up rows of a table by ``input_ids``.

    Args:
        table: Row 0 is that of places that are filled up.
        pooled: Whether it gives the largest number of each column, and not a row for each place.
        masked: Whether it takes an ``attention_mask``, and multiplies by it.
    """
    width = len(table[0])
    flat = [number for row in table for number in row]
    tensor = _field(1, len(table)) + _field(1, width) + _field(2, 1) + _field(8, "w")
    tensor += _field(9, struct.pack(f"<{len(flat)}f", *flat))
    names = ["input_ids", "attention_mask"] if masked else ["input_ids"]
    ids = "input_ids"
    nodes = []
    if masked:
        ids = "kept"
        nodes.append(_field(1, "input_ids") + _field(1, "attention_mask") + _field(2, ids) + _field(4, "Mul"))
    nodes.append(_field(1, "w") + _field(1, ids) + _field(2, "e" if pooled else "y") + _field(4, "Gather"))
    if pooled:
        axes = _field(1, "axes") + _field(8, 1) + _field(20, 7)
        keep = _field(1, "keepdims") + _field(3, 0) + _field(20, 2)
        nodes.append(_field(1, "e") + _field(2, "y") + _field(4, "ReduceMax") + _field(5, axes) + _field(5, keep))
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, "g") + _field(5, tensor)
    for name in names:
        graph += _field(11, _field(1, name) + _field(2, _tensor_type("n", "t", kind=7)))
    shape: tuple[int | str, ...] = ("n", width) if pooled else ("n", "t", width)
    graph += _field(12, _field(1, "y") + _field(2, _tensor_type(*shape)))
    return _field(1, 8) + _field(8, _field(1, "") + _field(2, 13)) + _field(7, graph)
