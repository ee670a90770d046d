"""The Open Inference Protocol, version 2, over HTTP: bodies to arrays and back, with binary tensors.

After KServe's open-inference-protocol (its REST part) and Triton's extension for binary tensor data.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops.serving import jsons
from mlops.serving.headers import HEADER_LENGTH

Array = NDArray[Any]

DATATYPES = {
    "bool": "BOOL",
    "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64",
    "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64",
    "float16": "FP16", "float32": "FP32", "float64": "FP64",
    "str": "BYTES",
}  # fmt: skip
_NUMPY = {datatype: name for name, datatype in DATATYPES.items()}


class Malformed(ValueError):
    """A body that is not of the protocol."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field


@dataclass(frozen=True, slots=True)
class Inference:
    """A request: arrays by name, the outputs that are wanted (all where None is named), and which of them as
    binary tensors."""

    id: str
    inputs: dict[str, Array]
    outputs: tuple[str, ...]
    binary: frozenset[str]
    all_binary: bool


def read_request(body: bytes, header_length: int | None) -> Inference:
    """The request in a body whose JSON is `header_length` bytes long, all of it without one. Raises
    `Malformed`, which names the field."""
    header = body if header_length is None else body[:header_length]
    if header_length is not None and not 0 <= header_length <= len(body):
        raise Malformed(HEADER_LENGTH, f"{header_length} is not within the body of {len(body)} bytes")
    try:
        content = jsons.read(header)
    except ValueError as error:
        raise Malformed("body", f"is not JSON: {str(error)[:200]}") from None
    if not isinstance(content, dict) or not isinstance(content.get("inputs"), list):
        raise Malformed("inputs", "is not a list of tensors")
    inputs, rest = {}, memoryview(body)[len(header) :]
    for given in content["inputs"]:
        name, array, taken = _tensor(given, rest)
        if name in inputs:
            raise Malformed(name, "is given twice")
        inputs[name], rest = array, rest[taken:]
    if len(rest):
        raise Malformed("inputs", f"the body has {len(rest)} bytes more than its tensors")
    wanted = content.get("outputs") or []
    if not isinstance(wanted, list) or not all(
        isinstance(each, dict) and isinstance(each.get("name"), str) for each in wanted
    ):
        raise Malformed("outputs", "is not a list of objects with a name")
    return Inference(
        str(content.get("id") or ""),
        inputs,
        tuple(each["name"] for each in wanted),
        frozenset(each["name"] for each in wanted if _flag(each, "binary_data")),
        _flag(content, "binary_data_output"),
    )


def write_answer(
    found: Mapping[str, Array], asked: Inference, *, model: str, version: str
) -> tuple[bytes, int | None]:
    """The answer's body, and the length of its JSON where binary tensors follow it. Raises `Malformed` for an
    output that there is not."""
    unknown = [name for name in asked.outputs if name not in found]
    if unknown:
        raise Malformed("outputs", f"there is no {unknown[0]!r}; there are {', '.join(found)}")
    outputs, blobs = [], []
    for name in asked.outputs or tuple(found):
        array = found[name]
        told: dict[str, Any] = {
            "name": name, "datatype": datatype_of(array), "shape": list(array.shape),
        }  # fmt: skip
        if asked.all_binary or name in asked.binary:
            blobs.append(_packed(array))
            told["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            told["data"] = _flat(array)
        outputs.append(told)
    answer: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": outputs}
    if asked.id:
        answer["id"] = asked.id
    header = jsons.write(answer)
    return b"".join([header, *blobs]), len(header) if blobs else None


def datatype_of(array: Array) -> str:
    """The protocol's name of an array's type."""
    return "BYTES" if array.dtype.kind in "UOS" else DATATYPES[array.dtype.name]


def tensors(signature: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """A signature's arrays as the model's metadata lists them; -1 is any length."""
    return [
        {"name": each["name"], "datatype": DATATYPES[each["dtype"]], "shape": list(each["shape"])}
        for each in signature or ()
    ]


def _tensor(given: Any, rest: memoryview) -> tuple[str, Array, int]:
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        raise Malformed("inputs", "holds a tensor without a name")
    name, datatype, shape = given["name"], given.get("datatype"), given.get("shape")
    if datatype not in _NUMPY:
        raise Malformed(name, f"is of datatype {datatype!r}; known are {', '.join(_NUMPY)}")
    if not isinstance(shape, list) or not all(type(length) is int and length >= 0 for length in shape):
        raise Malformed(name, f"has the shape {shape!r}, which is no list of lengths")
    count, size = math.prod(shape), _size(given, name)
    if size is None:
        return name, _from_data(name, datatype, shape, given.get("data")), 0
    if size > len(rest):
        raise Malformed(name, f"says {size} bytes of binary data, and {len(rest)} are left")
    return name, _from_bytes(name, datatype, count, bytes(rest[:size])).reshape(shape), size


def _size(given: Mapping[str, Any], name: str) -> int | None:
    parameters = given.get("parameters") or {}
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is not None and (type(size) is not int or size < 0):
        raise Malformed(name, f"has the binary_data_size {size!r}, which is no number of bytes")
    return size


def _from_data(name: str, datatype: str, shape: list[int], data: Any) -> Array:
    try:
        given = np.asarray(data)
    except (ValueError, OverflowError):
        raise Malformed(name, "has rows of different lengths") from None
    if given.size != math.prod(shape):
        raise Malformed(name, f"holds {given.size} values, and its shape {shape} takes {math.prod(shape)}")
    wanted = np.dtype(_NUMPY[datatype])
    if not given.size:
        return np.zeros(shape, wanted)
    takes = {"f": "fiu", "i": "iu", "u": "iu", "b": "b", "U": "U"}[wanted.kind]
    if given.dtype.kind not in takes:
        raise Malformed(name, f"holds values that are not {datatype}")
    return given.reshape(shape) if wanted.kind == "U" else given.reshape(shape).astype(wanted)


def _from_bytes(name: str, datatype: str, count: int, blob: bytes) -> Array:
    if datatype == "BYTES":
        return np.asarray(_texts(name, blob, count))
    wanted = np.dtype(_NUMPY[datatype]).newbyteorder("<")
    if len(blob) != count * wanted.itemsize:
        raise Malformed(name, f"has {len(blob)} bytes, and its shape takes {count * wanted.itemsize}")
    return np.frombuffer(blob, wanted)


def _texts(name: str, blob: bytes, count: int) -> list[str]:
    texts, place = [], 0
    try:
        while place < len(blob):
            (length,) = struct.unpack_from("<I", blob, place)
            text = blob[place + 4 : place + 4 + length]
            if len(text) != length:
                raise Malformed(name, "ends within a text")
            texts.append(text.decode())
            place += 4 + length
    except (struct.error, UnicodeDecodeError) as error:
        raise Malformed(name, f"is not a row of texts: {error}") from None
    if len(texts) != count:
        raise Malformed(name, f"holds {len(texts)} texts, and its shape takes {count}")
    return texts


def _packed(array: Array) -> bytes:
    if datatype_of(array) == "BYTES":
        encoded = [str(value).encode() for value in array.ravel()]
        return b"".join(struct.pack("<I", len(text)) + text for text in encoded)
    return array.astype(array.dtype.newbyteorder("<")).tobytes()


def _flat(array: Array) -> list[Any]:
    flat = array.ravel()
    if array.dtype.kind == "f" and not np.isfinite(flat).all():
        return [value if math.isfinite(value) else None for value in flat.tolist()]
    listed: list[Any] = flat.tolist()
    return listed


def _flag(given: Mapping[str, Any], name: str) -> bool:
    parameters = given.get("parameters")
    return isinstance(parameters, dict) and parameters.get(name) is True
