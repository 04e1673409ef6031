"""The management API of a fleet server, one method an endpoint.

    client = FleetClient("https://fleet.example:8443", token)
    for device in client.devices():
        print(device.id, device.running)

Every method raises NetworkError when the server does not answer, and otherwise what the server's
refusal stands for: RefusedError, ConflictError, TrustError, UsageError, FormatError.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

from edgekit.client.calls.devices import DeviceCalls
from edgekit.client.calls.experiments import ExperimentCalls
from edgekit.client.calls.field import FieldCalls
from edgekit.client.calls.keeping import KeepingCalls
from edgekit.client.calls.parameters import ParameterCalls
from edgekit.client.connection import Connection
from edgekit.client.wire.accounts import (
    AccountChange,
    AccountView,
    AuditLine,
    MadeToken,
    NewAccount,
    NewToken,
    TokenView,
)
from edgekit.client.wire.admission import EnrolmentToken, NewEnrolmentToken
from edgekit.client.wire.benchmarks import BenchmarkView, FieldAlarmView, NewBenchmark
from edgekit.client.wire.devices import DeviceView, HistoryEntry, TelemetryTotals
from edgekit.client.wire.releases import NewRelease, ReleaseView
from edgekit.client.wire.rollouts import (
    DeploymentView,
    NewRollout,
    PlanRow,
    RolloutView,
)
from edgekit.client.wire.server import Health
from edgekit.client.wire.trust import OnlineKeys, TrustMetadata, TrustView
from edgekit.errors import StorageError, UsageError

T = TypeVar("T")

API = "/api/v1"
PAGE_DEVICES = 500
PAGE_ENTRIES = 200
PAGE_LINES = 1000
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


class FleetClient(DeviceCalls, ExperimentCalls, FieldCalls, KeepingCalls, ParameterCalls):
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

    # Devices

    def create_enrolment_token(self, wanted: NewEnrolmentToken) -> EnrolmentToken:
        """Make a token with which devices may become known; it is shown only here."""
        return self._connection.ask(EnrolmentToken, "POST", f"{API}/enrolment-tokens", body=wanted)

    def devices(self, selector: str = "") -> Iterator[DeviceView]:
        """Yield every device, page by page.

        Args:
            selector: Labels that all must match, "site=berlin,line=2"; empty for all devices.
        """
        after = ""
        while page := self.device_page(selector=selector, after=after):
            yield from page
            if page[-1].id == after:
                return
            after = page[-1].id

    def device_page(
        self, *, selector: str = "", after: str = "", limit: int = PAGE_DEVICES
    ) -> list[DeviceView]:
        """Return at most `limit` devices whose id comes after `after`."""
        query: dict[str, str | int] = {"limit": limit}
        if after:
            query["after"] = after
        if selector:
            query["selector"] = selector
        return self._connection.ask(list[DeviceView], "GET", f"{API}/devices", query=query)

    def device(self, device: str) -> DeviceView:
        """Return one device."""
        return self._connection.ask(DeviceView, "GET", _device(device))

    def tagged_device(self, device: str) -> tuple[DeviceView, str]:
        """Return one device and its entity tag, for a change that depends on what was read."""
        view, headers = self._connection.read(DeviceView, _device(device))
        return view, headers.get("ETag", "")

    def history(self, device: str) -> list[HistoryEntry]:
        """Return every deployment of a device, oldest first."""
        return self._connection.ask(list[HistoryEntry], "GET", f"{_device(device)}/history")

    def telemetry(self, device: str) -> list[TelemetryTotals]:
        """Return what arrived from a device, per model, digest and spool."""
        return self._connection.ask(list[TelemetryTotals], "GET", f"{_device(device)}/telemetry")

    def set_labels(
        self, device: str, labels: Mapping[str, str], *, if_match: str = ""
    ) -> DeviceView:
        """Replace the labels of a device.

        Args:
            device: Its id.
            labels: All that it shall have.
            if_match: Tag of the device as it was read; ConflictError if somebody was faster.
        """
        path = f"{_device(device)}/labels"
        return self._connection.ask(DeviceView, "PUT", path, body=dict(labels), if_match=if_match)

    def retry(self, device: str) -> list[HistoryEntry]:
        """Offer a device again what it refused or what failed there; returns its history."""
        return self._connection.ask(list[HistoryEntry], "POST", f"{_device(device)}/retry")

    # Trust

    def trust(self) -> TrustView:
        """Return which trust metadata the server serves, and for how long it is valid."""
        return self._connection.ask(TrustView, "GET", f"{API}/trust")

    def online_keys(self) -> OnlineKeys:
        """Return the public keys that root metadata has to name for the server."""
        return self._connection.ask(OnlineKeys, "GET", f"{API}/trust/online-keys")

    def trust_metadata(self, role: str) -> bytes | None:
        """Return the newest signed metadata of "root", "targets" or a model; None if none."""
        path = f"{API}/trust/metadata/{quote(role, safe='')}"
        found = self._connection.find(TrustMetadata, path)
        return None if found is None else found.metadata.encode()

    def put_root(self, metadata: bytes) -> None:
        """Hand over new root metadata."""
        self._put_metadata("root", metadata)

    def put_targets(self, metadata: bytes) -> None:
        """Hand over new top-level targets metadata."""
        self._put_metadata("targets", metadata)

    def _put_metadata(self, role: str, metadata: bytes) -> None:
        body = TrustMetadata(metadata=metadata.decode())
        self._connection.ask(TrustView, "PUT", f"{API}/trust/{role}", body=body)

    # Releases

    def upload_blob(self, file: Path, *, sha256: str, size: int) -> bool:
        """Stream a file to the server unless it is there; say whether it was sent."""
        path = f"{API}/blobs/{sha256}"
        if self._connection.has(path):
            return False
        self._connection.upload(path, file, size=size)
        return True

    def create_release(self, release: NewRelease) -> ReleaseView:
        """Publish a release whose bundles were uploaded."""
        return self._connection.ask(ReleaseView, "POST", f"{API}/releases", body=release)

    def releases(self) -> list[ReleaseView]:
        """Return every release."""
        return list(self._paged(ReleaseView, f"{API}/releases", lambda r: f"{r.model}/{r.version}"))

    def release(self, model: str, version: str) -> ReleaseView:
        """Return one release."""
        return self._connection.ask(ReleaseView, "GET", _release(model, version))

    def withdraw(self, model: str, version: str) -> ReleaseView:
        """Stop offering a release; devices that run it keep running it."""
        return self._connection.ask(ReleaseView, "POST", f"{_release(model, version)}/withdraw")

    def post_revocation(self, model: str, version: str, metadata: bytes) -> ReleaseView:
        """Revoke a release by the model's signed list without it; see `publishing.revoke`."""
        body = TrustMetadata(metadata=metadata.decode())
        path = f"{_release(model, version)}/revoke"
        return self._connection.ask(ReleaseView, "POST", path, body=body)

    def _paged(self, kind: type[T], path: str, cursor: Callable[[T], str]) -> Iterator[T]:
        """Yield a list page by page, as long as the server names a next one."""
        query: dict[str, str | int] = {"limit": PAGE_ENTRIES}
        while True:
            page, headers = self._connection.read(list[kind], path, query=query)  # type: ignore[valid-type]
            yield from page
            if 'rel="next"' not in headers.get("Link", "") or not page:
                return
            query["after"] = cursor(page[-1])

    # Rollouts

    def create_rollout(self, rollout: NewRollout) -> RolloutView:
        """Start a rollout."""
        return self._connection.ask(RolloutView, "POST", f"{API}/rollouts", body=rollout)

    def plan_rollout(self, rollout: NewRollout) -> list[PlanRow]:
        """Return whom a rollout would reach; changes nothing."""
        return self._connection.ask(list[PlanRow], "POST", f"{API}/rollouts/plan", body=rollout)

    def rollouts(self) -> list[RolloutView]:
        """Return every rollout."""
        return list(self._paged(RolloutView, f"{API}/rollouts", lambda r: r.id))

    def rollout(self, rollout: str) -> RolloutView:
        """Return one rollout with everything that happened in it."""
        return self._connection.ask(RolloutView, "GET", _rollout(rollout))

    def deployments(self, rollout: str) -> list[DeploymentView]:
        """Return the devices of a rollout."""
        return self._connection.ask(list[DeploymentView], "GET", f"{_rollout(rollout)}/deployments")

    def pause(self, rollout: str) -> RolloutView:
        """Offer the release to nobody else until `resume`."""
        return self._connection.ask(RolloutView, "POST", f"{_rollout(rollout)}/pause")

    def resume(self, rollout: str) -> RolloutView:
        """Go on with a paused or held rollout."""
        return self._connection.ask(RolloutView, "POST", f"{_rollout(rollout)}/resume")

    def promote(self, rollout: str) -> RolloutView:
        """Go to the next stage without waiting for the gate."""
        return self._connection.ask(RolloutView, "POST", f"{_rollout(rollout)}/promote")

    def rollout_schema(self) -> dict[str, Any]:
        """Return the JSON schema of a rollout file."""
        return self._connection.ask(dict[str, Any], "GET", f"{API}/rollouts/schema")

    def approve(self, rollout: str) -> RolloutView:
        """Let the stage open that waits for a second person."""
        return self._connection.ask(RolloutView, "POST", f"{_rollout(rollout)}/approve")

    def retry_rollout(self, rollout: str) -> RolloutView:
        """Offer again, where the release failed, at most twice a device."""
        return self._connection.ask(RolloutView, "POST", f"{_rollout(rollout)}/retry")

    def abort(self, rollout: str) -> RolloutView:
        """Stop a rollout; devices that run the release go back."""
        return self._connection.ask(RolloutView, "POST", f"{_rollout(rollout)}/abort")

    # People

    def create_account(self, account: NewAccount) -> AccountView:
        """Add an account."""
        return self._connection.ask(AccountView, "POST", f"{API}/accounts", body=account)

    def accounts(self) -> list[AccountView]:
        """Return every account."""
        return self._connection.ask(list[AccountView], "GET", f"{API}/accounts")

    def change_account(self, name: str, change: AccountChange) -> AccountView:
        """Change what is not None of an account."""
        path = f"{API}/accounts/{quote(name, safe='')}"
        return self._connection.ask(AccountView, "PATCH", path, body=change)

    def create_token(self, token: NewToken) -> MadeToken:
        """Make a token for an account; it is shown only here."""
        return self._connection.ask(MadeToken, "POST", f"{API}/tokens", body=token)

    def tokens(self) -> list[TokenView]:
        """Return every token, without what would let anybody use it."""
        return self._connection.ask(list[TokenView], "GET", f"{API}/tokens")

    def revoke_token(self, token_id: str) -> TokenView:
        """End a token's life."""
        path = f"{API}/tokens/{quote(token_id, safe='')}"
        return self._connection.ask(TokenView, "DELETE", path)

    def audit(self, *, after: int = 0) -> Iterator[AuditLine]:
        """Yield who did what from where behind a line, oldest first, page by page."""
        query: dict[str, str | int] = {"limit": PAGE_LINES}
        while page := self._connection.ask(
            list[AuditLine], "GET", f"{API}/audit", query={**query, "after": after}
        ):
            yield from page
            after = page[-1].id

    # Benchmarks on devices

    def create_benchmarks(self, wanted: NewBenchmark) -> list[BenchmarkView]:
        """Ask devices to measure a bundle; returns a job for each."""
        path = f"{API}/benchmarks"
        return self._connection.ask(list[BenchmarkView], "POST", path, body=wanted)

    def benchmarks(self, digest: str = "") -> list[BenchmarkView]:
        """Return jobs, newest first, of one bundle or of all."""
        path, query = f"{API}/benchmarks", {"digest": digest}
        return self._connection.ask(list[BenchmarkView], "GET", path, query=query)

    def benchmark(self, number: int) -> BenchmarkView:
        """Return one job."""
        return self._connection.ask(BenchmarkView, "GET", f"{API}/benchmarks/{number}")

    def field_alarms(self) -> list[FieldAlarmView]:
        """Return every device whose telemetry left the interval of its benchmark."""
        path = f"{API}/benchmarks/alarms"
        return self._connection.ask(list[FieldAlarmView], "GET", path)


def _device(device: str) -> str:
    return f"{API}/devices/{quote(device, safe='')}"


def _release(model: str, version: str) -> str:
    return f"{API}/releases/{quote(model, safe='')}/{quote(version, safe='')}"


def _rollout(rollout: str) -> str:
    return f"{API}/rollouts/{quote(rollout, safe='')}"
