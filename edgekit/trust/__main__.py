"""`python -m edgekit.trust`: verify for the agent in a process of its own.

A `Request` (JSON) on standard input, an `Answer` (one JSON line) on standard output; the exit
code is 0 or that of the error. No command line: a token would show in the list of processes.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from edgekit import codec
from edgekit.errors import EdgeKitError, NetworkError
from edgekit.trust.process import Answer, Request
from edgekit.trust.reasons import Reason, UntrustedError
from edgekit.trust.targets import TargetInfo


def main() -> int:
    """Answer one request; returns the exit code."""
    try:
        target = _look_up(codec.decode(sys.stdin.buffer.read(), Request, where="request"))
        answer, code = Answer(ok=True, target=target), 0
    except EdgeKitError as error:
        answer = Answer(ok=False, reason=_reason(error), message=str(error))
        code = error.exit_code
    sys.stdout.buffer.write(codec.encode(answer) + b"\n")
    return code


def _look_up(request: Request) -> TargetInfo:
    from edgekit.trust.fetching import HttpFetch
    from edgekit.trust.verifying import Clock, TrustStore

    fetch = HttpFetch(
        request.metadata_url,
        request.headers,
        timeout_s=request.timeout_s,
        total_s=request.total_s,
    )
    now = datetime.now(UTC)  # noqa: TID251 (this is a composition root)
    return TrustStore(Path(request.folder)).target(
        request.path,
        model=request.model,
        version=request.version,
        variant=request.variant,
        fetch=fetch,
        clock=Clock(now=now, synchronised=request.clock_synchronised),
    )


def _reason(error: EdgeKitError) -> str:
    match error:
        case UntrustedError():
            return error.reason
        case NetworkError():
            return Reason.UNAVAILABLE
        case _:
            return ""


if __name__ == "__main__":
    sys.exit(main())
