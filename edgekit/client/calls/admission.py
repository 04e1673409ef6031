"""Calls about who may speak: enrolment, admission, tokens and gateways."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from edgekit.client.calls.base import API, Calls, device_path
from edgekit.client.wire.admission import (
    Because,
    DeviceToken,
    EnrolmentToken,
    GatewayToken,
    NewDevice,
    NewEnrolmentToken,
    NewGateway,
)
from edgekit.client.wire.devices import DeviceView


class AdmissionCalls(Calls):
    """Calls about who may speak: enrolment, admission, tokens and gateways."""

    def create_enrolment_token(self, wanted: NewEnrolmentToken) -> EnrolmentToken:
        """Make a token with which devices may become known; it is shown only here."""
        return self._connection.ask(EnrolmentToken, "POST", f"{API}/enrolment-tokens", body=wanted)

    def add_device(self, device: str, labels: Mapping[str, str]) -> DeviceToken:
        """Make a device known that cannot enrol by itself; its token is shown only here."""
        body = NewDevice(id=device, labels=dict(labels))
        return self._connection.ask(DeviceToken, "POST", f"{API}/devices", body=body)

    def rotate_token(self, device: str) -> DeviceToken:
        """Make a device's next token; the present one is valid until the next is used."""
        return self._connection.ask(DeviceToken, "POST", f"{device_path(device)}/rotate")

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

    def _because(self, device: str, verb: str, reason: str) -> DeviceView:
        body = Because(reason=reason)
        return self._connection.ask(DeviceView, "POST", f"{device_path(device)}/{verb}", body=body)

    def add_gateway(self, name: str) -> GatewayToken:
        """Make a token for a gateway; it is shown only here."""
        body = NewGateway(name=name)
        return self._connection.ask(GatewayToken, "POST", f"{API}/gateways", body=body)

    def drop_gateway(self, name: str) -> None:
        """Make a gateway's tokens worthless."""
        path = f"{API}/gateways/{quote(name, safe='')}"
        self._connection.ask(dict[str, str], "DELETE", path)
