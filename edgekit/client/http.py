"""The management API of a fleet server, one method an endpoint.

    client = FleetClient("https://fleet.example:8443", token)
    for device in client.devices():
        print(device.id, device.running)

Every method raises NetworkError when the server does not answer, and otherwise what the server's
refusal stands for: RefusedError, ConflictError, TrustError, UsageError, FormatError.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from edgekit.client.calls.accounts import AccountCalls
from edgekit.client.calls.admission import AdmissionCalls
from edgekit.client.calls.base import API
from edgekit.client.calls.benchmarks import BenchmarkCalls
from edgekit.client.calls.devices import DeviceCalls
from edgekit.client.calls.experiments import ExperimentCalls
from edgekit.client.calls.field import FieldCalls
from edgekit.client.calls.keeping import KeepingCalls
from edgekit.client.calls.parameters import ParameterCalls
from edgekit.client.calls.releases import ReleaseCalls
from edgekit.client.calls.rollouts import RolloutCalls
from edgekit.client.calls.trust import TrustCalls
from edgekit.client.connection import Connection
from edgekit.client.wire.server import Health
from edgekit.errors import StorageError, UsageError

SERVER_VARIABLE = "EDGEKIT_SERVER"
TOKEN_VARIABLE = "EDGEKIT_TOKEN"  # noqa: S105 (the name of a variable)
TOKEN_FILE_VARIABLE = "EDGEKIT_TOKEN_FILE"  # noqa: S105 (the name of a variable)


def read_token(file: Path) -> str:
    """Return the token in a file, without the white space around it.

    Raises:
        StorageError: The file cannot be read.
        UsageError: It is empty, or no text.
    """
    try:
        token = file.read_text(encoding="ascii").strip()
    except OSError as error:
        raise StorageError(f"cannot read ({error.strerror})", where=str(file)) from error
    except UnicodeDecodeError as error:
        raise UsageError("holds no token", where=str(file)) from error
    if not token:
        raise UsageError("is empty", where=str(file), todo="put the admin token into it")
    return token


class FleetClient(
    AccountCalls,
    AdmissionCalls,
    BenchmarkCalls,
    DeviceCalls,
    ExperimentCalls,
    FieldCalls,
    KeepingCalls,
    ParameterCalls,
    ReleaseCalls,
    RolloutCalls,
    TrustCalls,
):
    """Typed client of one fleet server.

    Args:
        server_url: Such as "https://fleet.example:8443".
        token: Admin token, as `edgekit server init` wrote it.
    """

    def __init__(self, server_url: str, token: str = "") -> None:
        self._connection = Connection(server_url, token)
        self.server_url = self._connection.server_url

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Return a client from EDGEKIT_SERVER and EDGEKIT_TOKEN or EDGEKIT_TOKEN_FILE.

        Raises:
            UsageError: EDGEKIT_SERVER is not set.
        """
        values = os.environ if environment is None else environment
        if not values.get(SERVER_VARIABLE):
            raise UsageError("no server is named", todo=f"set {SERVER_VARIABLE}")
        token = values.get(TOKEN_VARIABLE, "")
        if not token and values.get(TOKEN_FILE_VARIABLE):
            token = read_token(Path(values[TOKEN_FILE_VARIABLE]))
        return cls(values[SERVER_VARIABLE], token)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def health(self) -> Health:
        """Return what the server says about itself; needs no token."""
        return self._connection.ask(Health, "GET", f"{API}/health")
