"""Thrift's compact protocol, as far as the metadata of a Parquet file need it: to decode, change and encode them.

Reference: Apache Thrift, "Thrift compact protocol encoding". Names and types of fields: Parquet's parquet.thrift.
"""

from typing import Any, NamedTuple

TRUE, FALSE, I8, I16, I32, I64, DOUBLE, BINARY, LIST, SET, _MAP, STRUCT = range(1, 13)


class Field(NamedTuple):
    """A value and its type. Of a list the value is a :class:`List`, of a struct a :data:`Struct`."""

    kind: int
    value: Any


class List(NamedTuple):
    """The elements of a list, and their type."""

    kind: int
    items: list[Any]


type Struct = dict[int, Field]  # by the number of the field


def i32(value: int) -> Field:
    return Field(I32, value)


def i64(value: int) -> Field:
    return Field(I64, value)


def struct(fields: Struct) -> Field:
    return Field(STRUCT, fields)


def structs(items: list[Struct]) -> Field:
    return Field(LIST, List(STRUCT, items))


def decode(data: bytes) -> Struct:
    """The struct that the data begin with.

    Raises:
        ValueError: it has a type that Parquet's metadata do not use.
    """
    return _Decoder(data).struct()


def encode(fields: Struct) -> bytes:
    out = bytearray()
    _put_struct(out, fields)
    return bytes(out)


def varint(value: int) -> bytes:
    """An unsigned number."""
    out = bytearray()
    _put_varint(out, value)
    return bytes(out)


class _Decoder:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _varint(self) -> int:
        if self._data[self._at] < 0x80:
            return self._byte()
        value, shift = 0, 0
        while True:
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def _signed(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _bytes(self, count: int) -> bytes:
        self._at += count
        return self._data[self._at - count : self._at]

    def struct(self) -> Struct:
        fields: Struct = {}
        number = 0
        while head := self._byte():
            kind = head & 0x0F
            number = number + (head >> 4) if head >> 4 else self._signed()
            fields[number] = Field(kind, None if kind in (TRUE, FALSE) else self._value(kind))
        return fields

    def _value(self, kind: int) -> Any:
        if kind in (I16, I32, I64):
            return self._signed()
        if kind == BINARY:
            return self._bytes(self._varint())
        if kind == STRUCT:
            return self.struct()
        if kind in (LIST, SET):
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._varint()
            return List(head & 0x0F, [self._value(head & 0x0F) for _ in range(count)])
        if kind in (I8, TRUE, FALSE):  # of a list, truth values take a byte each
            return self._byte()
        if kind == DOUBLE:
            return self._bytes(8)
        raise ValueError(f"type {kind} of the compact protocol")


def _put_varint(out: bytearray, value: int) -> None:
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _put_signed(out: bytearray, value: int) -> None:
    _put_varint(out, value << 1 if value >= 0 else ~(value << 1))


def _put_struct(out: bytearray, fields: Struct) -> None:
    before = 0
    for number, (kind, value) in sorted(fields.items()):
        if 0 < number - before < 16:
            out.append((number - before) << 4 | kind)
        else:
            out.append(kind)
            _put_signed(out, number)
        before = number
        if kind not in (TRUE, FALSE):
            _put(out, kind, value)
    out.append(0)


def _put(out: bytearray, kind: int, value: Any) -> None:
    if kind in (I16, I32, I64):
        _put_signed(out, value)
    elif kind == BINARY:
        _put_varint(out, len(value))
        out += value
    elif kind == STRUCT:
        _put_struct(out, value)
    elif kind in (LIST, SET):
        count = len(value.items)
        out.append(min(count, 15) << 4 | value.kind)
        if count >= 15:
            _put_varint(out, count)
        for item in value.items:
            _put(out, value.kind, item)
    elif kind == DOUBLE:
        out += value
    else:
        out.append(value)
