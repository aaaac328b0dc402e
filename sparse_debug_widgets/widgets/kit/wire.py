"""Arrays and JSON on the wire between kernel and browser; ``kit/wire.js`` mirrors this module.

An array travels as a head ``{"dtype", "shape"}`` and a little-endian, C-ordered buffer. In a trait the
buffer sits beside its head (ipywidgets lifts it out of the JSON); in a message heads are numbered and the
buffers follow; in a standalone page all buffers form one deflated, base64-coded archive.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sparse_debug_widgets.core.checks import reject

Array = npt.NDArray[Any]
Head = dict[str, Any]

DTYPES = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64")


def encode(array: Array) -> tuple[Head, bytes]:
    """Head and buffer of an array; 64-bit integers are sent as 32-bit ones where they fit.

    Raises:
        InputError: A dtype that the browser cannot read, or integers beyond 32 bits.
    """
    source = np.asarray(array)
    if source.dtype.kind in "iu" and source.dtype.itemsize == 8:
        limits = np.iinfo(np.int32)
        if source.size and (source.min() < limits.min or source.max() > limits.max):
            reject("the array", "the wire", "hold integers of 32 bits", f"{source.min()} to {source.max()}")
        source = source.astype(np.int32)
    name = source.dtype.name
    if name not in DTYPES:
        reject("the array", "the wire", f"have one of the dtypes {', '.join(DTYPES)}", name)
    little = np.ascontiguousarray(source, dtype=source.dtype.newbyteorder("<"))
    return {"dtype": name, "shape": list(source.shape)}, little.tobytes()


def decode(head: Mapping[str, Any], buffer: bytes | bytearray | memoryview) -> Array:
    """The array that a head and a buffer stand for (read-only view of the buffer).

    Raises:
        InputError: Unknown dtype, malformed shape, or a buffer of another size.
    """
    name, shape = head.get("dtype"), head.get("shape")
    if name not in DTYPES:
        reject("the head of an array", "the wire", f"name one of the dtypes {', '.join(DTYPES)}", name)
    if not isinstance(shape, Sequence) or not all(type(size) is int and size >= 0 for size in shape):
        reject("the head of an array", "the wire", "have a shape of whole numbers", shape)
    dtype = np.dtype(str(name)).newbyteorder("<")
    size = math.prod(shape) * dtype.itemsize
    raw = memoryview(buffer).cast("B")
    if raw.nbytes != size:
        fits = f"shape {list(shape)} of {name}"
        reject("the buffer of an array", fits, f"have {size} bytes", f"{raw.nbytes} bytes")
    return np.frombuffer(raw, dtype=dtype).reshape(tuple(shape))


def in_trait(arrays: Mapping[str, Array]) -> dict[str, Head]:
    """Arrays as a JSON-able dict whose buffers ipywidgets sends as binary."""
    coded = {name: encode(array) for name, array in arrays.items()}
    return {name: {**head, "data": buffer} for name, (head, buffer) in coded.items()}


def in_message(arrays: Mapping[str, Array]) -> tuple[dict[str, Head], list[bytes]]:
    """Arrays as numbered heads and the list of buffers that goes beside the message."""
    heads: dict[str, Head] = {}
    buffers: list[bytes] = []
    for name, array in arrays.items():
        head, buffer = encode(array)
        heads[name] = {**head, "buffer": len(buffers)}
        buffers.append(buffer)
    return heads, buffers


def from_message(heads: Mapping[str, Any], buffers: Sequence[bytes | memoryview]) -> dict[str, Array]:
    """The arrays of a message.

    Raises:
        InputError: A head points at a buffer that did not come, or does not fit it.
    """
    arrays = {}
    for name, head in heads.items():
        number = head.get("buffer")
        if type(number) is not int or not 0 <= number < len(buffers):
            must = f"bring the buffer of {name!r}"
            reject("the message", "its array heads", must, f"{len(buffers)} buffers")
        arrays[name] = decode(head, buffers[number])
    return arrays


class Archive:
    """Buffers of a standalone page: collected, then deflated and coded as one text."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, arrays: Mapping[str, Array]) -> dict[str, Head]:
        """Take arrays in; their heads say at which byte each begins."""
        heads = {}
        for name, array in arrays.items():
            head, buffer = encode(array)
            heads[name] = {**head, "offset": self._size}
            padded = buffer + bytes(-len(buffer) % 8)
            self._parts.append(padded)
            self._size += len(padded)
        return heads

    def text(self) -> str:
        """The archive for ``DecompressionStream("deflate")``, as base64."""
        return base64.b64encode(zlib.compress(b"".join(self._parts), level=9)).decode("ascii")


def jsonable(value: Any) -> Any:  # noqa: ANN401 (any JSON value in, any JSON value out)
    """The value as plain JSON: NumPy scalars unwrapped, non-finite numbers as null (JSON has none)."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return value


def script_json(value: Any) -> str:  # noqa: ANN401 (any JSON value)
    """JSON that may stand inside a script element whatever the labels contain."""
    text = json.dumps(jsonable(value), ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
