"""edgekit device: see devices, let new ones in, label them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from edgekit import codec
from edgekit.cli import device_admission, device_parameters
from edgekit.cli.asking import asks, show_answer
from edgekit.cli.options import AsJson, Device, pairs, seconds
from edgekit.cli.output import joined, print_pairs, print_table, say, short, when
from edgekit.client.http import FleetClient
from edgekit.client.wire.admission import NewEnrolmentToken
from edgekit.client.wire.devices import DeviceView, HistoryEntry, RanView, TelemetryTotals
from edgekit.errors import StorageError
from edgekit.protocol import EnrolmentFile

app = typer.Typer(help="See devices, let new ones in, label them.")


def _print_devices(devices: list[DeviceView]) -> None:
    print_table(
        ("device", "runs", "variant", "labels", "last seen"),
        (
            (d.id, _runs(d), joined(d.variants), joined(d.labels), when(d.last_seen_at))
            for d in devices
        ),
    )


def _print_device(view: DeviceView) -> None:
    profile = view.profile
    print_pairs(
        (
            ("device", view.id),
            ("enrolled", when(view.enrolled_at)),
            ("last seen", when(view.last_seen_at)),
            ("runs", _runs(view)),
            ("committed", joined(view.committed)),
            ("state", f"{view.state} {view.alarm}".strip()),
            ("installed by hand", joined(view.pins)),
            ("labels", joined(view.labels)),
            ("attributes", joined(view.attributes)),
            ("runtimes", joined(profile.runtimes) if profile else ""),
            ("machine", f"{profile.arch}, {profile.cpu_count} cores" if profile else ""),
        )
    )


def _print_offered(entries: list[HistoryEntry]) -> None:
    print_table(
        ("offered", "model", "version", "variant", "kind", "state", "reason", "detail"),
        (
            (when(e.offered_at), e.model, e.version, e.variant, e.kind, e.state, e.reason, e.detail)
            for e in entries
        ),
    )


def _print_ran(ran: list[RanView]) -> None:
    print_table(
        ("model", "version", "variant", "sha256", "since", "made from"),
        (
            (
                *(r.model, r.version, r.variant, short(r.digest), when(r.since)),
                f"{r.lineage.source} by {r.lineage.recipe}" if r.lineage else "",
            )
            for r in ran
        ),
    )


def _print_totals(totals: list[TelemetryTotals]) -> None:
    print_table(
        ("model", "digest", "windows", "inferences", "errors", "mean latency ms", "until"),
        (
            (
                *(t.model, short(t.digest), t.windows, t.inferences, t.errors),
                *(t.mean_latency_ms, when(t.last_ended_at)),
            )
            for t in totals
        ),
    )


def _runs(device: DeviceView) -> str:
    return joined(
        {m: f"{device.committed.get(m, '?')}@{short(d)}" for m, d in device.running.items()}
    )


@asks(app, "list", shows=_print_devices)
def list_devices(
    client: FleetClient,
    selector: Annotated[str, typer.Option(help="Labels that must match: site=berlin,line=2")] = "",
) -> list[DeviceView]:
    """List devices with what they really run."""
    return list(client.devices(selector))


@asks(app, shows=_print_device)
def show(client: FleetClient, device: Device) -> DeviceView:
    """Show one device: profile, labels, what it runs."""
    return client.device(device)


@asks(app)
def history(
    client: FleetClient,
    device: Device,
    at: Annotated[str, typer.Option(help="Only what it ran then: 2026-11-21T12:00:00Z")] = "",
    as_json: AsJson = False,
) -> None:
    """Show every deployment of a device and how it ended, or what it ran at a time."""
    if at:
        show_answer(client.ran(device, at), _print_ran, as_json=as_json)
    else:
        show_answer(client.history(device), _print_offered, as_json=as_json)


@asks(app, shows=_print_totals)
def telemetry(client: FleetClient, device: Device) -> list[TelemetryTotals]:
    """Show what arrived from a device, per model and digest."""
    return client.telemetry(device)


@asks(app)
def enrolment(
    client: FleetClient,
    *,
    out: Annotated[Path, typer.Option("--out", help="File to carry to the devices.")],
    uses: Annotated[int, typer.Option(help="How many devices may use it.", min=1)] = 1,
    life: Annotated[str, typer.Option(help="How long it is valid: 90s, 30m, 1h, 2d.")] = "1d",
    label: Annotated[list[str] | None, typer.Option(help="key=value for each device.")] = None,
    device: Annotated[
        list[str] | None, typer.Option(help="Only for this device; it may replace its hardware.")
    ] = None,
    queue: Annotated[
        bool, typer.Option("--queue", help="Each device waits for `device accept`.")
    ] = False,
) -> None:
    """Write a file with which devices become known to the server."""
    wanted = NewEnrolmentToken(
        uses=uses,
        life_s=seconds(life),
        labels=pairs(label or []),
        accept=not queue,
        device_ids=tuple(device or ()),
    )
    made = client.create_enrolment_token(wanted)
    file = EnrolmentFile(server=client.server_url, token=made.token, root_sha256=made.root_sha256)
    _write_private(out, codec.encode(file))
    say(f"{out}: lets {made.uses} devices in until {when(made.expires_at)} UTC")


@asks(app)
def label(
    client: FleetClient,
    device: Device,
    labels: Annotated[list[str], typer.Argument(help="key=value sets, key= removes.")],
) -> None:
    """Set or remove labels of a device; others stay."""
    changes = pairs(labels)
    read, tag = client.tagged_device(device)
    merged = {**read.labels, **changes}
    kept = {key: value for key, value in merged.items() if value}
    client.set_labels(device, kept, if_match=tag)
    say(f"{device}: {joined(kept) or 'no labels'}")


@asks(app)
def retry(client: FleetClient, device: Device) -> None:
    """Offer a device again what it refused or what failed there."""
    client.retry(device)
    say(f"{device}: may be offered again what failed there")


app.add_typer(device_admission.app)
app.add_typer(device_parameters.app, name="parameters")


def _write_private(path: Path, data: bytes) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as out:
            out.write(data)
    except OSError as error:
        raise StorageError(f"cannot write ({error.strerror})", where=str(path)) from error
