"""Thrift's compact protocol, as far as the metadata of a Parquet file need it: to decode, change and encode them.

Reference: Apache Thrift, "Thrift compact protocol encoding". Names and types of fields: Parquet's parquet.thrift.
"""

import functools
import itertools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

TRUE, FALSE, I8, I16, I32, I64, DOUBLE, BINARY, LIST, SET, _MAP, STRUCT = range(1, 13)


class Field(NamedTuple):
    """A value and its type. Of a list the value is a :class:`List`, of a struct a :data:`Struct`."""

    kind: int
    value: Any


class List(NamedTuple):
    """A list: its elements, and their type."""

    kind: int
    items: list[Any]


type Struct = dict[int, Field]  # by the number of the field


def i32(value: int) -> Field:
    """Return a 32-bit integer as a field."""
    return Field(I32, value)


def i64(value: int) -> Field:
    """Return a 64-bit integer as a field."""
    return Field(I64, value)


def struct(fields: Struct) -> Field:
    """Return a struct as a field."""
    return Field(STRUCT, fields)


def structs(items: Sequence[Struct | bytes]) -> Field:
    """Return a list of structs, decoded or not."""
    return Field(LIST, List(STRUCT, list(items)))


def decode(data: bytes, closed: Sequence[int] = ()) -> Struct:
    """Decode the struct that the data begin with.

    Args:
        data: encoded.
        closed: where there is a list of structs to be left as they are, in bytes: the number of its field in the
            structs of the list before, and so on up to the field of the whole. A footer has hundreds of columns, and
            to pass over one takes an eighth of decoding and encoding it.

    Raises:
        ValueError: it has a type that Parquet's metadata do not use.
    """

    def left(rest: Iterator[int]) -> bytes:
        start = len(data) - operator.length_hint(rest)
        _pass_struct(rest)
        return data[start : len(data) - operator.length_hint(rest)]

    decode_one: Callable[[Iterator[int]], Any] = left if closed else _struct
    for number in reversed(closed):
        items = functools.partial(_list, decode_one=decode_one)
        decode_one = functools.partial(_struct, own={number: items})
    return decode_one(iter(data))


def encode(fields: Struct) -> bytes:
    """Encode a struct."""
    out = bytearray()
    _put_struct(out, fields)
    return bytes(out)


def varint(value: int) -> bytes:
    """Encode an unsigned number."""
    out = bytearray()
    _put_varint(out, value)
    return bytes(out)


# --- to decode: everything takes its bytes from one iterator, which is quicker than to count them -------------------


def _varint(data: Iterator[int]) -> int:
    byte = next(data)
    if byte < 0x80:  # as most are
        return byte
    value, shift = byte & 0x7F, 7
    while (byte := next(data)) >= 0x80:
        value |= (byte & 0x7F) << shift
        shift += 7
    return value | byte << shift


def _signed(data: Iterator[int]) -> int:
    value = _varint(data)
    return (value >> 1) ^ -(value & 1)


def _binary(data: Iterator[int]) -> bytes:
    return bytes(itertools.islice(data, _varint(data)))


def _double(data: Iterator[int]) -> bytes:
    return bytes(itertools.islice(data, 8))


def _list(data: Iterator[int], decode_one: Callable[[Iterator[int]], Any] | None = None) -> List:
    kind, count = _list_head(data)
    decode_one = decode_one or _DECODERS[kind]
    return List(kind, [decode_one(data) for _ in range(count)])


def _list_head(data: Iterator[int]) -> tuple[int, int]:
    """Decode the head of a list: the kind of its elements, and how many there are."""
    head = next(data)
    count = head >> 4
    return head & 0x0F, count if count < 15 else _varint(data)


def _struct(data: Iterator[int], own: Mapping[int, Callable[[Iterator[int]], Any]] = MappingProxyType({})) -> Struct:
    """Decode a struct; ``own`` says by numbers of fields how to decode them, if not as their kind is."""
    fields: Struct = {}
    number = 0
    while head := next(data):
        kind, step = head & 0x0F, head >> 4
        number = number + step if step else _signed(data)
        if kind <= FALSE:  # a truth value is its type
            fields[number] = Field(kind, None)
        else:
            decode_one = own.get(number) or _DECODERS[kind]
            fields[number] = Field(kind, decode_one(data))
    return fields


class _ByKind(dict[int, Callable[[Iterator[int]], Any]]):
    def __missing__(self, kind: int) -> Any:
        raise ValueError(f"type {kind} of the compact protocol")


# of a list, truth values take a byte each
_DECODERS = _ByKind(
    {
        **dict.fromkeys((TRUE, FALSE, I8), next),
        **dict.fromkeys((I16, I32, I64), _signed),
        **dict.fromkeys((LIST, SET), _list),
        DOUBLE: _double,
        BINARY: _binary,
        STRUCT: _struct,
    }
)


# --- to pass over what nobody asks for --------------------------------------------------------------------------


def _pass_varint(data: Iterator[int]) -> None:
    while next(data) >= 0x80:
        pass


def _pass_bytes(data: Iterator[int], count: int) -> None:
    next(itertools.islice(data, count, count), None)


def _pass_list(data: Iterator[int]) -> None:
    kind, count = _list_head(data)
    pass_one = _PASSERS[kind]
    for _ in range(count):
        pass_one(data)


def _pass_struct(data: Iterator[int]) -> None:
    while head := next(data):
        if head < 0x10:  # the number follows
            _pass_varint(data)
        if (kind := head & 0x0F) > FALSE:
            _PASSERS[kind](data)


_PASSERS = _ByKind(
    {
        **dict.fromkeys((TRUE, FALSE, I8), next),
        **dict.fromkeys((I16, I32, I64), _pass_varint),
        **dict.fromkeys((LIST, SET), _pass_list),
        DOUBLE: lambda data: _pass_bytes(data, 8),
        BINARY: lambda data: _pass_bytes(data, _varint(data)),
        STRUCT: _pass_struct,
    }
)


# --- to encode --------------------------------------------------------------------------------------------------


def _put_varint(out: bytearray, value: int) -> None:
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _put_signed(out: bytearray, value: int) -> None:
    if 0 <= value < 0x40:  # as most are
        out.append(value << 1)
    else:
        _put_varint(out, value << 1 if value >= 0 else ~(value << 1))


def _put_binary(out: bytearray, value: bytes) -> None:
    _put_varint(out, len(value))
    out += value


def _put_list(out: bytearray, value: List) -> None:
    count = len(value.items)
    out.append(min(count, 15) << 4 | value.kind)
    if count >= 15:
        _put_varint(out, count)
    put = _ENCODERS[value.kind]
    for item in value.items:
        put(out, item)


def _put_struct(out: bytearray, fields: Struct | bytes) -> None:
    if isinstance(fields, bytes):  # left as it was
        out += fields
        return
    before = 0
    for number in sorted(fields):
        kind, value = fields[number]
        if 0 < number - before < 16:
            out.append((number - before) << 4 | kind)
        else:
            out.append(kind)
            _put_signed(out, number)
        before = number
        if kind > FALSE:
            _ENCODERS[kind](out, value)
    out.append(0)


_ENCODERS: dict[int, Callable[[bytearray, Any], None]] = {
    **dict.fromkeys((TRUE, FALSE, I8), bytearray.append),
    **dict.fromkeys((I16, I32, I64), _put_signed),
    **dict.fromkeys((LIST, SET), _put_list),
    DOUBLE: bytearray.extend,
    BINARY: _put_binary,
    STRUCT: _put_struct,
}
