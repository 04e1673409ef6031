"""Calls about single devices: what they run, ran and sent, and what is set there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import quote

from edgekit.client.calls.base import API, PAGE_DEVICES, Calls, device_path
from edgekit.client.wire.devices import (
    DeviceView,
    Diagnosis,
    HistoryEntry,
    Pin,
    RanView,
    TelemetryTotals,
)
from edgekit.client.wire.diagnoses import DiagnosisRequest


class DeviceCalls(Calls):
    """Calls about single devices: what they run, ran and sent, and what is set there."""

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
        return self._connection.ask(DeviceView, "GET", device_path(device))

    def tagged_device(self, device: str) -> tuple[DeviceView, str]:
        """Return one device and its entity tag, for a change that depends on what was read."""
        view, headers = self._connection.read(DeviceView, device_path(device))
        return view, headers.get("ETag", "")

    def history(self, device: str) -> list[HistoryEntry]:
        """Return every deployment of a device, oldest first."""
        return self._connection.ask(list[HistoryEntry], "GET", f"{device_path(device)}/history")

    def telemetry(self, device: str) -> list[TelemetryTotals]:
        """Return what arrived from a device, per model, digest and spool."""
        return self._connection.ask(
            list[TelemetryTotals], "GET", f"{device_path(device)}/telemetry"
        )

    def set_labels(
        self, device: str, labels: Mapping[str, str], *, if_match: str = ""
    ) -> DeviceView:
        """Replace the labels of a device.

        Args:
            device: Its id.
            labels: All that it shall have.
            if_match: Tag of the device as it was read; ConflictError if somebody was faster.
        """
        path = f"{device_path(device)}/labels"
        return self._connection.ask(DeviceView, "PUT", path, body=dict(labels), if_match=if_match)

    def retry(self, device: str) -> list[HistoryEntry]:
        """Offer a device again what it refused or what failed there; returns its history."""
        return self._connection.ask(list[HistoryEntry], "POST", f"{device_path(device)}/retry")

    def pin(self, device: str, model: str, version: str) -> DeviceView:
        """Install one release on one device, whatever rollouts say."""
        path = f"{device_path(device)}/pins/{quote(model, safe='')}"
        return self._connection.ask(DeviceView, "PUT", path, body=Pin(version=version))

    def unpin(self, device: str, model: str) -> DeviceView:
        """Let rollouts decide again."""
        path = f"{device_path(device)}/pins/{quote(model, safe='')}"
        return self._connection.ask(DeviceView, "DELETE", path)

    def ran(self, device: str, at: str) -> list[RanView]:
        """Return what a device ran at a time (ISO 8601)."""
        query: dict[str, str | int] = {"at": at}
        path = f"{device_path(device)}/running"
        return self._connection.ask(list[RanView], "GET", path, query=query)

    def diagnose(self, device: str) -> Diagnosis:
        """Return why a device runs what it runs."""
        return self._connection.ask(Diagnosis, "GET", f"{device_path(device)}/diagnosis")

    def ask_diagnosis(self, device: str) -> DiagnosisRequest:
        """Ask a device for its diagnose bundle."""
        return self._connection.ask(DiagnosisRequest, "POST", f"{device_path(device)}/diagnoses")

    def diagnosis(self, device: str, number: int) -> DiagnosisRequest:
        """Return how far such a request is."""
        path = f"{device_path(device)}/diagnoses/{number}"
        return self._connection.ask(DiagnosisRequest, "GET", path)

    def diagnosis_bundle(self, device: str, number: int) -> bytes:
        """Return a diagnose bundle, a tar.gz."""
        return self._connection.fetch(f"{device_path(device)}/diagnoses/{number}/bundle")
