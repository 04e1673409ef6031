"""Bundles in an S3-compatible bucket, with a folder beside it as cache.

Uploads are gathered and verified in the folder; a blob exists when the bucket has it. What comes
out of the bucket is verified again before it is used.

<prefix>ab/abcd...  whole blobs, never changed
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from edgekit.bundle import file_digest
from edgekit.errors import MissingExtraError, StorageError, UsageError
from fleet_server.domain.garbage import Stored
from fleet_server.services.errors import UnavailableError
from fleet_server.store.blobs import FolderBlobs

SCHEME = "s3://"
_ATTEMPTS = 4
_MISSING = {"404", "NoSuchKey", "NotFound"}


class S3Blobs:
    """Blobs of several servers in one bucket. Credentials come from where boto3 looks for them.

    Args:
        address: s3://bucket or s3://bucket/prefix.
        cache: Folder of this server's own; may be emptied while it does not run.
        endpoint: Address of a store other than Amazon's; empty for that one.
    """

    def __init__(self, address: str, cache: Path, *, endpoint: str = "") -> None:
        bucket, _, prefix = address.removeprefix(SCHEME).partition("/")
        if not address.startswith(SCHEME) or not bucket:
            raise UsageError("is no address of a bucket", where=address, todo="s3://bucket/prefix")
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._folder = cache
        self._cache = FolderBlobs(cache)
        self._client = _client(endpoint)

    def find(self, sha256: str) -> Path | None:
        """Return where a whole blob lies, fetched from the bucket if need be.

        Raises:
            StorageError: The bucket does not answer, or holds other bytes under this name.
        """
        return self._cache.find(sha256) or self._fetch(sha256)

    def received(self, sha256: str) -> int:
        """Return how many bytes of an unfinished upload are at this server."""
        return self._cache.received(sha256)

    def open_part(self, sha256: str, *, offset: int) -> BinaryIO:
        """Open an unfinished upload for writing at `offset`."""
        return self._cache.open_part(sha256, offset=offset)

    def finish(self, sha256: str) -> Path:
        """Verify an upload and put it into the bucket; durable there on return.

        Raises:
            FormatError: The bytes have another digest; they are dropped.
            StorageError: The bucket does not take it.
        """
        path = self._cache.finish(sha256)
        try:
            self._client.upload_file(str(path), self._bucket, self._key(sha256))
        except _errors() as error:
            path.unlink(missing_ok=True)
            raise UnavailableError(
                f"cannot be written ({error})", where=self._where(sha256)
            ) from error
        return path

    def all(self) -> Iterator[Stored]:
        """Yield every blob of the bucket.

        Raises:
            StorageError: The bucket does not answer.
        """
        pages = self._client.get_paginator("list_objects_v2")
        try:
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix):
                for entry in page.get("Contents", ()):
                    digest = entry["Key"].rpartition("/")[2]
                    if entry["Key"] == self._key(digest):
                        yield Stored(
                            digest=digest, size=entry["Size"], stored_at=entry["LastModified"]
                        )
        except _errors() as error:
            raise UnavailableError(
                f"cannot be listed ({error})", where=f"{SCHEME}{self._bucket}"
            ) from error

    def delete(self, sha256: str) -> None:
        """Take a blob out of the bucket and of this server's cache; other caches keep theirs.

        Raises:
            StorageError: The bucket does not answer.
        """
        try:
            self._client.delete_object(Bucket=self._bucket, Key=self._key(sha256))
        except _errors() as error:
            raise UnavailableError(
                f"cannot be taken away ({error})", where=self._where(sha256)
            ) from error
        self._cache.delete(sha256)

    def drop_unfinished(self, *, before: datetime) -> int:
        """Take away uploads at this server that were last written before a time."""
        return self._cache.drop_unfinished(before=before)

    def _fetch(self, sha256: str) -> Path | None:
        handle, name = tempfile.mkstemp(dir=self._folder / "incoming", prefix="fetched-")
        os.close(handle)
        part = Path(name)
        try:
            self._client.download_file(self._bucket, self._key(sha256), name)
            if file_digest(part) != sha256:
                raise StorageError(
                    "holds other bytes than its name says", where=self._where(sha256)
                )
            place = self._folder / sha256[:2] / sha256
            place.parent.mkdir(mode=0o700, exist_ok=True)
            part.replace(place)
        except _errors() as error:
            if _code(error) in _MISSING:
                return None
            raise UnavailableError(
                f"cannot be read ({error})", where=self._where(sha256)
            ) from error
        finally:
            part.unlink(missing_ok=True)
        return place

    def _key(self, sha256: str) -> str:
        return f"{self._prefix}{sha256[:2]}/{sha256}"

    def _where(self, sha256: str) -> str:
        return f"{SCHEME}{self._bucket}/{self._key(sha256)}"


def _client(endpoint: str) -> Any:  # noqa: ANN401 (boto3 makes its classes at run time)
    try:
        import boto3
        from botocore.config import Config
    except ModuleNotFoundError as error:
        raise MissingExtraError("boto3", "s3") from error
    config = Config(
        connect_timeout=5, read_timeout=30, retries={"max_attempts": _ATTEMPTS, "mode": "standard"}
    )
    return boto3.client("s3", endpoint_url=endpoint or None, config=config)


def _errors() -> tuple[type[Exception], ...]:
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    return (Boto3Error, BotoCoreError, ClientError, OSError)


def _code(error: Exception) -> str:
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))
