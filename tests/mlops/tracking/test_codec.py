"""The journal's records as bytes."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.tracking import codec

KEYS = st.lists(st.text(max_size=20), unique=True, max_size=12)
INT64 = st.integers(-(2**63), 2**63 - 1)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def bits(values: tuple[float, ...]) -> list[bytes]:
    return [struct.pack("<d", math.nan if math.isnan(each) else each) for each in values]


@given(keys=KEYS, step=INT64, time_ms=INT64, data=st.data())
def test_points_come_back_to_the_bit(keys: list[str], step: int, time_ms: int, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.floats(), min_size=len(keys), max_size=len(keys)))
    schema = codec.schema(7, keys)
    decoder = codec.Decoder()
    assert decoder.decode(schema.definition) is None
    found = decoder.decode(schema.pack(codec.POINTS, time_ms, step, 7, *values))
    assert isinstance(found, codec.Points)
    assert (found.time_ms, found.step, list(found.keys)) == (time_ms, step, keys)
    assert bits(found.values) == bits(tuple(values))


@given(sets=st.lists(KEYS, min_size=1, max_size=20), data=st.data())
def test_points_of_many_schemas_in_any_order(sets: list[list[str]], data: st.DataObject) -> None:
    schemas = [codec.schema(number, keys) for number, keys in enumerate(sets, 1)]
    decoder = codec.Decoder()
    for schema in schemas:
        decoder.decode(schema.definition)
    for index in data.draw(st.lists(st.integers(0, len(sets) - 1), max_size=20)):
        values = [float(number) for number in range(len(sets[index]))]
        found = decoder.decode(schemas[index].pack(codec.POINTS, 1, 2, index + 1, *values))
        assert isinstance(found, codec.Points)
        assert (list(found.keys), list(found.values)) == (sets[index], values)


@given(operation=st.dictionaries(st.text(), JSON))
def test_operations_come_back(operation: dict[str, object]) -> None:
    assert codec.Decoder().decode(codec.encode(operation)) == operation


@pytest.mark.parametrize("value", [math.nan, math.inf, object(), b"bytes", {1, 2}])
def test_what_json_cannot_hold_is_refused_at_once(value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        codec.encode({"op": value})


@given(payload=st.binary(min_size=1))
def test_bytes_that_are_no_record_are_a_value_error(payload: bytes) -> None:
    try:
        found = codec.Decoder().decode(payload)
    except ValueError:
        return
    assert found is None or isinstance(found, (dict, codec.Points))


@pytest.mark.parametrize(
    "payload",
    [
        b"\x09unknown kind",
        b"",
        codec.schema(1, ["a"]).pack(codec.POINTS, 1, 1, 1, 1.0),  # its keys were never named
        bytes([codec.JSON]) + b"[1]",
        bytes([codec.JSON]) + b"{",
        bytes([codec.JSON]) + b"\xff",
        bytes([codec.KEYS]),
        struct.pack("<BI", codec.KEYS, 1) + b"3",
    ],
)
def test_unreadable_records_are_value_errors(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        codec.Decoder().decode(payload)


def test_points_cut_short_are_a_value_error() -> None:
    schema, decoder = codec.schema(1, ["a", "b"]), codec.Decoder()
    decoder.decode(schema.definition)
    whole = schema.pack(codec.POINTS, 1, 1, 1, 1.0, 2.0)
    for length in range(1, len(whole)):
        with pytest.raises(ValueError, match="no record"):
            decoder.decode(whole[:length])
