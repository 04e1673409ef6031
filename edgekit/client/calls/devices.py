"""The part of the management API's client that is about single devices and who may speak."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from edgekit.client.connection import Connection
from edgekit.client.wire.admission import (
    Because,
    DeviceToken,
    GatewayToken,
    NewDevice,
    NewGateway,
)
from edgekit.client.wire.devices import DeviceView, Diagnosis, Pin, RanView
from edgekit.client.wire.diagnoses import DiagnosisRequest
from edgekit.client.wire.server import FreezeView

API = "/api/v1"


class DeviceCalls:
    """Methods of FleetClient; not for use alone."""

    _connection: Connection

    def add_device(self, device: str, labels: Mapping[str, str]) -> DeviceToken:
        """Make a device known that cannot enrol by itself; its token is shown only here."""
        body = NewDevice(id=device, labels=dict(labels))
        return self._connection.ask(DeviceToken, "POST", f"{API}/devices", body=body)

    def rotate_token(self, device: str) -> DeviceToken:
        """Make a device's next token; the present one is valid until the next is used."""
        return self._connection.ask(DeviceToken, "POST", f"{_device(device)}/rotate")

    def revoke(self, device: str, reason: str = "") -> DeviceView:
        """Make a device's token worthless."""
        return self._because(device, "revoke", reason)

    def quarantine(self, device: str, reason: str = "") -> DeviceView:
        """Offer a device nothing more until it is accepted."""
        return self._because(device, "quarantine", reason)

    def accept(self, device: str) -> DeviceView:
        """Let in a device that waits or is quarantined."""
        return self._because(device, "accept", "")

    def reject(self, device: str, reason: str = "") -> DeviceView:
        """Keep a device out that waits."""
        return self._because(device, "reject", reason)

    def confirm(self, device: str) -> DeviceView:
        """Confirm, for the device, the offer that waits for that."""
        return self._because(device, "confirm", "")

    def pin(self, device: str, model: str, version: str) -> DeviceView:
        """Install one release on one device, whatever rollouts say."""
        path = f"{_device(device)}/pins/{quote(model, safe='')}"
        return self._connection.ask(DeviceView, "PUT", path, body=Pin(version=version))

    def unpin(self, device: str, model: str) -> DeviceView:
        """Let rollouts decide again."""
        path = f"{_device(device)}/pins/{quote(model, safe='')}"
        return self._connection.ask(DeviceView, "DELETE", path)

    def ran(self, device: str, at: str) -> list[RanView]:
        """Return what a device ran at a time (ISO 8601)."""
        query: dict[str, str | int] = {"at": at}
        path = f"{_device(device)}/running"
        return self._connection.ask(list[RanView], "GET", path, query=query)

    def diagnose(self, device: str) -> Diagnosis:
        """Return why a device runs what it runs."""
        return self._connection.ask(Diagnosis, "GET", f"{_device(device)}/diagnosis")

    def ask_diagnosis(self, device: str) -> DiagnosisRequest:
        """Ask a device for its diagnose bundle."""
        return self._connection.ask(DiagnosisRequest, "POST", f"{_device(device)}/diagnoses")

    def diagnosis(self, device: str, number: int) -> DiagnosisRequest:
        """Return how far such a request is."""
        path = f"{_device(device)}/diagnoses/{number}"
        return self._connection.ask(DiagnosisRequest, "GET", path)

    def diagnosis_bundle(self, device: str, number: int) -> bytes:
        """Return a diagnose bundle, a tar.gz."""
        return self._connection.fetch(f"{_device(device)}/diagnoses/{number}/bundle")

    def add_gateway(self, name: str) -> GatewayToken:
        """Make a token for a gateway; it is shown only here."""
        body = NewGateway(name=name)
        return self._connection.ask(GatewayToken, "POST", f"{API}/gateways", body=body)

    def drop_gateway(self, name: str) -> None:
        """Make a gateway's tokens worthless."""
        path = f"{API}/gateways/{quote(name, safe='')}"
        self._connection.ask(dict[str, str], "DELETE", path)

    def freeze(self, reason: str = "") -> FreezeView:
        """Stop every offer of the fleet."""
        return self._connection.ask(
            FreezeView, "PUT", f"{API}/freeze", body=FreezeView(frozen=True, reason=reason)
        )

    def unfreeze(self) -> FreezeView:
        """Offer again."""
        body = FreezeView(frozen=False)
        return self._connection.ask(FreezeView, "PUT", f"{API}/freeze", body=body)

    def frozen(self) -> FreezeView:
        """Return whether offers are stopped."""
        return self._connection.ask(FreezeView, "GET", f"{API}/freeze")

    def _because(self, device: str, verb: str, reason: str) -> DeviceView:
        body = Because(reason=reason)
        return self._connection.ask(DeviceView, "POST", f"{_device(device)}/{verb}", body=body)


def _device(device: str) -> str:
    return f"{API}/devices/{quote(device, safe='')}"
