"""Several server processes on one PostgreSQL and one bucket, and what they survive.

PostgreSQL is real; the bucket is moto's server, which simulates S3.
"""

from __future__ import annotations

import hashlib
import os
import signal
from pathlib import Path

import boto3
import pytest

from edgekit.errors import FormatError, StorageError
from fleet_server.services.errors import UnavailableError
from fleet_server.store.objects import S3Blobs
from tests.integration.postgres import running_postgres
from tests.integration.server_fleet import (
    Engineer,
    Server,
    SimulatedDevice,
    configured,
    drive,
    until,
)

pytestmark = pytest.mark.integration


def leads(server: Server) -> bool:
    """Whether the process said last that it is its turn to schedule."""
    said = [line for line in server.log().splitlines() if "leads=" in line]
    return bool(said) and "leads=True" in said[-1]


def put(blobs: S3Blobs, data: bytes) -> str:
    name = hashlib.sha256(data).hexdigest()
    with blobs.open_part(name, offset=0) as file:
        file.write(data)
    blobs.finish(name)
    return name


def test_a_blob_in_a_bucket_is_found_by_every_server(bucket: str, tmp_path: Path) -> None:
    one, two = (S3Blobs("s3://bundles/a/b", tmp_path / n, endpoint=bucket) for n in ("1", "2"))
    data = os.urandom(100_000)
    name = put(one, data)
    found = two.find(name)
    assert found is not None
    assert found.read_bytes() == data
    assert two.find("0" * 64) is None
    assert list((tmp_path / "2" / "incoming").iterdir()) == []


def test_a_blob_is_taken_out_of_a_bucket(bucket: str, tmp_path: Path) -> None:
    one, two = (S3Blobs("s3://bundles/a", tmp_path / n, endpoint=bucket) for n in ("1", "2"))
    kept, gone = put(one, b"kept"), put(one, b"gone")
    other = S3Blobs("s3://bundles", tmp_path / "3", endpoint=bucket)
    beside = put(other, b"beside")
    assert {(b.digest, b.size) for b in two.all()} == {(kept, 4), (gone, 4)}
    assert all(b.stored_at.tzinfo for b in two.all())
    one.delete(gone)
    one.delete(gone)
    assert [b.digest for b in two.all()] == [kept]
    assert two.find(gone) is None
    assert one.find(gone) is None
    assert beside in {b.digest for b in other.all()}


def test_what_a_bucket_holds_is_verified(bucket: str, tmp_path: Path) -> None:
    blobs = S3Blobs("s3://bundles", tmp_path / "one", endpoint=bucket)
    name = put(blobs, b"bundle")
    client = boto3.client("s3", endpoint_url=bucket)
    client.put_object(Bucket="bundles", Key=f"{name[:2]}/{name}", Body=b"another")
    client.close()
    other = S3Blobs("s3://bundles", tmp_path / "two", endpoint=bucket)
    with pytest.raises(StorageError, match="other bytes"):
        other.find(name)
    with pytest.raises(FormatError):
        other.find("../../etc/passwd")


def test_a_bucket_that_does_not_take_a_blob_leaves_none(bucket: str, tmp_path: Path) -> None:
    blobs = S3Blobs("s3://missing", tmp_path / "one", endpoint=bucket)
    with pytest.raises(UnavailableError, match="cannot be written"):
        put(blobs, b"bundle")
    assert blobs.find(hashlib.sha256(b"bundle").hexdigest()) is None


def test_two_servers_share_the_work_and_one_schedules(
    postgres_url: str, bucket: str, tmp_path: Path
) -> None:
    data = configured(
        tmp_path / "data", database=postgres_url, blobs="s3://bundles", blobs_endpoint=bucket
    )
    one, two = Server(data), Server(data, log="log-two")
    with one:
        engineer = Engineer.create(one, tmp_path / "engineer")
        until(lambda: leads(one))
        two.start()
        try:
            device = SimulatedDevice.enrol(one, "d1")
            elsewhere = SimulatedDevice(two, "d1", device.token)
            assert "deploymentBase" not in elsewhere.poll()
            engineer.publish("1.0.0")
            rollout = engineer.roll_out("1.0.0")
            assert not leads(two)
            one.stop(signal.SIGKILL)  # it held the lock
            until(lambda: leads(two))
            assert drive(two, [elsewhere], rollout.id).phase == "finished"
            assert len(elsewhere.ran) == 1
        finally:
            two.stop()


def test_the_database_goes_and_comes_back(tmp_path: Path) -> None:
    with running_postgres() as postgres:
        data = configured(tmp_path / "data", database=postgres.url)
        with Server(data) as server:
            engineer = Engineer.create(server, tmp_path / "engineer")
            device = SimulatedDevice.enrol(server, "d1")
            until(lambda: device.poll() and device.poll())
            postgres.stop(signal.SIGQUIT)
            answer = server.ask("GET", "/api/v1/health")
            assert (answer.status, answer.headers["retry-after"]) == (503, "5")
            device.poll()  # what the server knows by heart it still answers
            device.running = {"digits": "0" * 64}
            answer = device.ask("GET", headers={"EdgeKit-Running": f"digits={'0' * 64}"})
            assert (answer.status, answer.headers["retry-after"]) == (503, "5")
            postgres.start()
            until(lambda: server.ask("GET", "/api/v1/health").status == 200)
            device.running = {}
            engineer.publish("1.0.0")
            rollout = engineer.roll_out("1.0.0")  # and the scheduler goes on by itself
            assert drive(server, [device], rollout.id).phase == "finished"
