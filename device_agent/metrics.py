"""The status as Prometheus text, and a loopback port that shows it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from device_agent.status import Status
from edgekit.errors import EdgeKitError, PortInUseError
from edgekit.machine import Probe

HOST = "127.0.0.1"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render(status: Status) -> str:
    """Return the status in Prometheus' text format.

    Source: Prometheus, "Exposition formats", text format 0.0.4.
    """
    lines = [
        *_family("edgekit_agent_up", "gauge", "Whether the agent runs."),
        f"edgekit_agent_up {int(status.agent_pid > 0)}",
        *_family("edgekit_agent_server_reached", "gauge", "Whether the last contact succeeded."),
        f"edgekit_agent_server_reached {int(not status.contact_error)}",
        *_family("edgekit_agent_update_state", "gauge", "1 for what the update is doing."),
        f"edgekit_agent_update_state{_labels(state=status.state)} 1",
    ]
    lines += _family("edgekit_model_serving", "gauge", "Whether the model answers.")
    for name, model in sorted(status.models.items()):
        labels = _labels(
            model=name, version=model.version, variant=model.variant, digest=model.digest[:12]
        )
        lines.append(f"edgekit_model_serving{labels} {int(model.serving)}")
    lines += _family("edgekit_model_inferences_total", "counter", "Answers of the worker.")
    lines += [
        f"edgekit_model_inferences_total{_labels(model=name)} {model.inferences}"
        for name, model in sorted(status.models.items())
    ]
    if status.spool is not None:
        lines += _spool(status)
    if status.machine is not None:
        lines += _machine(status.machine)
    return "\n".join(lines) + "\n"


def _machine(machine: Probe) -> list[str]:
    """Return what the machine tells; what it does not tell is no line."""
    told = [
        ("edgekit_machine_temperature_celsius", "gauge", machine.temperature_c),
        ("edgekit_machine_frequency_mhz", "gauge", machine.frequency_mhz),
        ("edgekit_machine_throttled", "gauge", machine.throttled),
        ("edgekit_machine_throttle_events_total", "counter", machine.throttle_count),
    ]
    lines = [
        line
        for name, kind, value in told
        if value is not None
        for line in (*_family(name, kind, "Of the processor."), f"{name} {float(value):g}")
    ]
    if machine.governor:
        lines += _family("edgekit_machine_power_mode", "gauge", "1 for the governor of frequency.")
        lines.append(f"edgekit_machine_power_mode{_labels(governor=machine.governor)} 1")
    return lines


def _spool(status: Status) -> list[str]:
    spool = status.spool
    assert spool is not None  # noqa: S101 (the caller looked)
    told = [
        ("edgekit_spool_waiting_windows", "gauge", spool.waiting),
        ("edgekit_spool_waiting_bytes", "gauge", spool.waiting_bytes),
        ("edgekit_spool_windows_total", "counter", spool.windows),
        ("edgekit_spool_dropped_windows_total", "counter", spool.dropped),
        ("edgekit_spool_refused_windows_total", "counter", spool.refused),
    ]
    return [
        line
        for name, kind, value in told
        for line in (*_family(name, kind, "Telemetry on the device."), f"{name} {value}")
    ]


def _family(name: str, kind: str, text: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"


def _labels(**pairs: str) -> str:
    inside = ",".join(f'{key}="{_escaped(value)}"' for key, value in pairs.items())
    return f"{{{inside}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class MetricsServer:
    """Answers GET /metrics on loopback in a thread of its own."""

    def __init__(self, port: int, status: Callable[[], Status]) -> None:
        """Listen.

        Raises:
            PortInUseError: Another process has the port.
        """
        handler = type("Handler", (_Handler,), {"status": staticmethod(status)})
        try:
            self._server = ThreadingHTTPServer((HOST, port), handler)
        except OSError as error:
            raise PortInUseError("cannot listen there", where=f"{HOST}:{port}") from error
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.server_port

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    status: Callable[[], Status]

    def do_GET(self) -> None:
        if self.path != "/metrics":
            return self.send_error(404)
        try:
            body = render(self.status()).encode()
        except EdgeKitError as error:
            return self.send_error(500, str(error))
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return None

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (http.server's name)
        """Write nothing."""
