from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from edgekit import codec
from edgekit.errors import FormatError


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    name: str
    count: int = 0
    tags: dict[str, str] = field(default_factory=dict)


def test_equal_values_give_equal_bytes_with_sorted_keys():
    data = codec.encode(Thing(name="ä", tags={"b": "1", "a": "2"}))
    assert data == '{"count":0,"name":"ä","tags":{"a":"2","b":"1"}}'.encode()
    assert codec.decode(data, Thing, where="x") == Thing(name="ä", tags={"a": "2", "b": "1"})


def test_unknown_fields_of_a_newer_writer_are_accepted():
    assert codec.decode(b'{"name":"n","new":[1]}', Thing, where="x") == Thing(name="n")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b'{"count":1}',
        b'{"name":1}',
        b'{"name":"n","count":"1"}',
        b'{"name":"\xff"}',
        b'{"name":"n","new":' + b"[" * 100_000,
    ],
)
def test_what_does_not_match_is_refused_with_its_place(data):
    with pytest.raises(FormatError, match=r"^file\.json: not a valid Thing"):
        codec.decode(data, Thing, where="file.json")


def test_the_message_names_the_field():
    with pytest.raises(FormatError, match=r"\$\.count"):
        codec.convert({"name": "n", "count": "many"}, Thing, where="x")


@pytest.mark.parametrize("version", ["1.0", "1.7", "1"])
def test_a_known_major_version_is_read(version):
    codec.check_major(version, 1, where="x")


@pytest.mark.parametrize("version", ["2.0", "0.9", "", "one", "11.0", "-1"])
def test_an_unknown_major_version_is_refused(version):
    with pytest.raises(FormatError, match="unknown"):
        codec.check_major(version, 1, where="x")
