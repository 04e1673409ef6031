from __future__ import annotations

import pytest

from edgekit import codec
from edgekit.protocol import (
    Chunk,
    ControllerBase,
    EdgeKitStatus,
    Execution,
    Feedback,
    Finished,
    Link,
    Metadatum,
    Outcome,
    Result,
    Status,
    parse_running,
    parse_sleep,
    running_header,
    sleep_text,
)


def test_running_models_survive_the_header():
    running = {"digits": "ab" * 32, "faces": "cd" * 32}
    header = running_header(dict(reversed(running.items())))
    assert header == f"digits={'ab' * 32},faces={'cd' * 32}"
    assert parse_running(header) == running


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", {}),
        ("digits", {}),
        ("=ab", {}),
        ("digits=", {}),
        (" a=1 , x,b=2", {"a": "1", "b": "2"}),
    ],
)
def test_parts_of_the_header_that_are_no_pair_are_ignored(value, expected):
    assert parse_running(value) == expected


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "00:00:01"), (1, "00:00:01"), (300, "00:05:00"), (3661, "01:01:01"), (1e9, "23:59:59")],
)
def test_a_polling_interval_is_written_as_ddi_wants_it(seconds, text):
    assert sleep_text(seconds) == text


@pytest.mark.parametrize(
    ("text", "seconds"), [("00:00:02", 2.0), ("01:01:01", 3661.0), ("soon", 300.0), ("1:2", 300.0)]
)
def test_a_polling_interval_that_is_none_gives_the_default(text, seconds):
    assert parse_sleep(text) == seconds


def test_links_stand_under_ddis_own_name():
    base = ControllerBase(_links={"deploymentBase": Link(href="http://host/1")})
    assert b'"_links":{"deploymentBase":{"href":"http://host/1"}}' in codec.encode(base)
    assert codec.decode(codec.encode(base), ControllerBase, where="x").links == base.links


def test_a_foreign_clients_feedback_is_read_without_our_property():
    data = b'{"id":"7","time":"x","status":{"execution":"closed","result":{"finished":"success"}}}'
    feedback = codec.decode(data, Feedback, where="x")
    assert feedback.status.result.finished is Finished.SUCCESS
    assert feedback.status.edgekit is None


def test_our_own_feedback_survives_the_wire():
    feedback = Feedback(
        status=Status(
            execution=Execution.CLOSED,
            result=Result(finished=Finished.FAILURE),
            details=("golden sample 3 differs",),
            edgekit=EdgeKitStatus(outcome=Outcome.REJECTED),
        )
    )
    assert codec.decode(codec.encode(feedback), Feedback, where="x") == feedback


def test_metadata_of_a_chunk_is_found_by_key():
    chunk = Chunk(
        part="bApp", version="1", name="n", artifacts=(), metadata=(Metadatum(key="k", value="v"),)
    )
    assert (chunk.meta("k"), chunk.meta("other")) == ("v", "")
