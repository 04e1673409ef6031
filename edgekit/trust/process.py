"""Asking another process to verify, so that the agent itself never imports tuf.

`ask` starts `python -m edgekit.trust`, gives it one `Request` as JSON on standard input and reads
one `Answer` as a JSON line. Imports no tuf and no cryptography.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field

from edgekit import codec
from edgekit.errors import (
    EdgeKitError,
    FormatError,
    NetworkError,
    RefusedError,
    StorageError,
    TrustError,
    UsageError,
)
from edgekit.trust.reasons import Reason, UntrustedError
from edgekit.trust.targets import TargetInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Refresh the trust folder and look up one bundle.

    Attributes:
        folder: Trust folder of the device, pinned at enrolment.
        metadata_url: Address of the server's metadata folder.
        path: Target path of the bundle, as the server offered it.
        model: Model that the bundle must be for.
        version: Version that it must be.
        variant: Variant that it must be.
        clock_synchronised: Whether something set the system clock since the boot.
        headers: Sent with each request; may hold a token, hence standard input.
        timeout_s: Longest silence on the socket.
        total_s: Longest time for all downloads together.
    """

    folder: str
    metadata_url: str
    path: str
    model: str
    version: str
    variant: str
    clock_synchronised: bool = False
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    timeout_s: float = 10.0
    total_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the other process found.

    Attributes:
        ok: Whether the target may be installed.
        target: The target if `ok`.
        reason: A word of `Reason` if not `ok`; empty where trust was not the question.
        message: One clear line if not `ok`.
    """

    ok: bool
    target: TargetInfo | None = None
    reason: str = ""
    message: str = ""


def ask(request: Request) -> TargetInfo:
    """Return the target that trusted metadata lists for the request.

    Waits for the other process up to `request.total_s` and ten seconds, then ends it.

    Raises:
        UntrustedError: Refused, with the reason.
        NetworkError: No usable answer from the server in time.
        RefusedError: The server refused the request (401, 403).
        StorageError: The trust folder cannot be read or written.
        TrustError: The other process ended without a usable answer.
    """
    limit_s = request.total_s + 10
    try:
        done = subprocess.run(
            [sys.executable, "-m", "edgekit.trust"],
            input=codec.encode(request),
            capture_output=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NetworkError(
            f"verification took more than {limit_s:g} s", where=request.metadata_url
        ) from error
    except OSError as error:
        raise TrustError(f"verification cannot start: {error.strerror}") from error
    try:
        answer = codec.decode(done.stdout, Answer, where="verification")
    except FormatError as error:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise TrustError(
            f"verification ended with code {done.returncode}: {lines[-1] if lines else 'silently'}",
            where=request.folder,
        ) from error
    if answer.ok and answer.target is not None:
        return answer.target
    raise _refusal(answer, done.returncode)


def _refusal(answer: Answer, code: int) -> EdgeKitError:
    """Return the error that the other process met, by its reason or else by its exit code."""
    message = answer.message or "verification gave no target and no reason"
    if code == UntrustedError.exit_code and answer.reason in set(Reason):
        return UntrustedError(Reason(answer.reason), message)
    kinds = (NetworkError, RefusedError, StorageError, UsageError)
    return {kind.exit_code: kind for kind in kinds}.get(code, TrustError)(message)
