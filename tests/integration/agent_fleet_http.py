"""The sockets of the test server for agents: DDI and TUF over HTTP, as `agent_fleet` tells it.

It decides nothing: what is offered, cut, tampered with or lost stands in the Fleet.
"""

from __future__ import annotations

import gzip
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.integration.agent_fleet import Fleet, Offer

TOKEN = "t" * 64
DEVICE = "dev-1"
BASE = f"/DEFAULT/controller/v1/{DEVICE}"


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, *arguments: Any) -> None:
        self.open: set[Any] = set()
        super().__init__(*arguments)

    def get_request(self) -> Any:
        request = super().get_request()
        self.open.add(request[0])
        return request

    def hang_up(self) -> None:
        for connection in list(self.open):
            try:
                connection.shutdown(2)
            except OSError:
                continue

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, *_: Any) -> None:
        pass


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fleet: Fleet

    def do_GET(self) -> None:
        fleet, path = self.fleet, self.path.partition("?")[0]
        if path.startswith("/tuf/"):
            data = fleet.repository.read(path.removeprefix("/tuf/"))
            return self._send(404) if data is None else self._send(200, data)
        if not self._known():
            return None
        with fleet._lock:
            return self._get(path)

    def _get(self, path: str) -> None:
        fleet = self.fleet
        if path == BASE:
            fleet.polls += 1
            if fleet.busy:
                fleet.busy -= 1
                return self._send(503, headers={"Retry-After": "1"})
            fleet.running = self.headers.get("EdgeKit-Running", "")
            return self._json(self._poll())
        offer = self._offer(path, "deploymentBase")
        if offer is not None and path.endswith(f"/{offer.action}"):
            return self._json(_deployment(fleet, offer, fleet.deltas.get(offer.action)))
        if path.endswith("/delta"):
            fleet.ranges.append("delta")
            return self._send(200, fleet.deltas[path.split("/")[-2]][1])
        if "/artifacts/" in path:
            found = next(o for o in fleet.offers if path.endswith(f"/{o.action}"))
            return self._artifact(found)
        return self._send(404)

    def _poll(self) -> dict[str, Any]:
        url = f"{self.fleet.url}{BASE}"
        links = {
            "edgekit:telemetry": {"href": f"{url}/telemetry"},
            "edgekit:trust": {"href": f"{self.fleet.url}/tuf/"},
            "edgekit:profile": {"href": f"{url}/profile"},
        }
        if self.fleet.gives_tokens:
            links["edgekit:token"] = {"href": f"{url}/token"}
        if not self.fleet.attributes:
            links["configData"] = {"href": f"{url}/configData"}
        open_offers = [o for o in self.fleet.offers if not o.closed]
        if self.fleet.cancelling:
            links["cancelAction"] = {"href": f"{url}/cancelAction/{self.fleet.cancelling}"}
        elif open_offers:
            links["deploymentBase"] = {"href": f"{url}/deploymentBase/{open_offers[0].action}?c=1"}
        return {"config": {"polling": {"sleep": "00:00:01"}}, "_links": links}

    def _artifact(self, offer: Offer) -> None:
        data = offer.bundle.path.read_bytes()
        if self.fleet.tampered:
            data = data[:-30] + bytes([data[-30] ^ 1]) + data[-29:]
        wanted = self.headers.get("Range", "")
        self.fleet.ranges.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if wanted else {}
        cut, self.fleet.cut_after = self.fleet.cut_after, None
        if cut is not None:
            self.fleet.busy = self.fleet.busy_after_cut
        self._send(206 if wanted else 200, data[start:], headers=headers, cut=cut)

    def do_PUT(self) -> None:
        body = self._body()
        if self.path.endswith("/configData"):
            self.fleet.attributes = json.loads(body)["data"]
        else:
            self.fleet.profiles.append(json.loads(body))
        self._send(200)

    def do_POST(self) -> None:
        body = self._body()
        if self.path == "/api/v1/enrol":
            answer = {
                "device_id": json.loads(body)["device_id"],
                "device_token": TOKEN,
                "tenant": "DEFAULT",
                "root": self.fleet.root.decode(),
            }
            return self._json(answer)
        if not self._known():
            return None
        with self.fleet._lock:
            if self.path.endswith("/token"):
                self.fleet.given += 1
                self.fleet.tokens = [
                    self.fleet.tokens[0],
                    f"token-of-the-device-{self.fleet.given}",
                ]
                return self._json({"token": self.fleet.tokens[-1]})
            if self.path.endswith("/telemetry"):
                return self._telemetry(json.loads(gzip.decompress(body)))
            return self._feedback(json.loads(body)["status"])

    def _feedback(self, status: dict[str, Any]) -> None:
        if "/cancelAction/" in self.path:
            self.fleet.cancelling = ""
            return self._send(200)
        offer = self._offer(self.path, "deploymentBase")
        if offer is None or offer.closed:
            return self._send(410)
        if status["execution"] == "closed" and self.fleet.refuse_outcomes:
            self.fleet.refuse_outcomes -= 1
            return self._send(409)
        closed = status["execution"] == "closed"
        (offer.closed if closed else offer.feedback).append(status)
        if closed:
            self.fleet.on_closed()
        return self._send(200)

    def _telemetry(self, batch: dict[str, Any]) -> None:
        fleet = self.fleet
        if fleet.refuse_windows and any(w["seq"] == fleet.refuse_windows for w in batch["windows"]):
            return self._send(422)
        for window in batch["windows"]:
            fleet.deliveries += 1
            fleet.windows.setdefault((batch["spool_id"], window["seq"]), window)
        if fleet.lose_receipts:
            fleet.lose_receipts -= 1
            return self._send(500)
        return self._json({"accepted": [w["seq"] for w in batch["windows"]]})

    def _offer(self, path: str, kind: str) -> Offer | None:
        parts = path.removeprefix(BASE).strip("/").split("/")
        if len(parts) < 2 or parts[0] != kind:
            return None
        return next((o for o in self.fleet.offers if o.action == parts[1]), None)

    def _known(self) -> bool:
        shown = self.headers.get("Authorization", "").removeprefix("TargetToken ")
        tokens = self.fleet.tokens
        if shown in tokens[-2:]:
            if shown == tokens[-1]:
                tokens[:-1] = []  # as a server does: the old one is good until the new one is used
            return True
        self._send(401)
        return False

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode())

    def _send(
        self,
        status: int,
        body: bytes = b"",
        *,
        headers: dict[str, str] | None = None,
        cut: int | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass


def _deployment(fleet: Fleet, offer: Offer, delta: tuple[str, bytes] | None) -> dict[str, Any]:
    links = {"download-http": {"href": f"{fleet.url}{BASE}/artifacts/{offer.action}"}}
    if fleet.mirror:
        links["edgekit:mirror"] = {"href": f"{fleet.mirror}/bundles/{offer.bundle.sha256}"}
    if delta is not None:
        href = f"{fleet.url}{BASE}/deltas/{offer.action}/delta"
        links[f"edgekit:delta:{delta[0]}"] = {"href": href}
    artifact = {
        "filename": offer.bundle.path.name,
        "hashes": {"sha256": offer.bundle.sha256, "sha1": "", "md5": ""},
        "size": offer.bundle.size,
        "_links": links,
    }
    meta = {
        "edgekit:target": offer.target,
        "edgekit:model": offer.model,
        "edgekit:version": offer.version,
        "edgekit:variant": offer.variant,
        "edgekit:kind": offer.kind,
    }
    if offer.shadow:
        meta["edgekit:shadow"] = offer.shadow
    chunk = {
        "part": "bApp",
        "version": offer.version,
        "name": offer.model,
        "artifacts": [artifact],
        "metadata": [{"key": k, "value": v} for k, v in meta.items()],
    }
    body = {"download": "forced", "update": "forced", "chunks": [chunk]}
    return {"id": offer.action, "deployment": body}
