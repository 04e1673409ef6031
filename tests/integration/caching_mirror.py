"""A plain caching proxy in front of a fleet server, in a process of its own, that may misbehave.

Arguments: address of the server, folder. Prints its port. Folder/mode says how it behaves at the
next request; folder/asked gets a JSON line a request of a device, folder/fetched one a request to
the server. It knows nothing of EdgeKit but the prefix under which it stands.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PREFIX = "/fleet"


class Mirror(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    origin: str
    folder: Path

    def do_GET(self) -> None:
        line = {"range": self.headers.get("Range", ""), "headers": sorted(self.headers.keys())}
        self._note("asked", line)
        with contextlib.suppress(ConnectionError):
            self._behave((self.folder / "mode").read_text())

    def _behave(self, mode: str) -> None:
        data = self._cached()
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        rest, half = data[start:], data[start : start + (len(data) - start) // 2]
        match mode:
            case "gone":
                self._answer(404, b"")
            case "broken":
                self._answer(500, b"")
            case "elsewhere":
                self._answer(302, b"", location=f"{self.origin}{self.path.removeprefix(PREFIX)}")
            case "silent":
                threading.Event().wait(60)
            case "lies":
                self._answer(206 if start else 200, rest[:-1] + bytes([rest[-1] ^ 1]))
            case "endless":
                self._answer(200, data * 3)
            case "stalls":
                self._answer(206 if start else 200, half, of=len(rest), wait_s=60)
            case "lies and ends":
                self._answer(206 if start else 200, bytes(len(half)), of=len(rest))
            case _:
                self._answer(206 if start else 200, rest)

    def _cached(self) -> bytes:
        kept = self.folder / self.path.rpartition("/")[2]
        if not kept.exists():
            address = f"{self.origin}{self.path.removeprefix(PREFIX)}"
            self._note("fetched", address)
            with urllib.request.urlopen(address, timeout=30) as answer:
                assert "immutable" in answer.headers["Cache-Control"]
                kept.write_bytes(answer.read())
        return kept.read_bytes()

    def _answer(
        self, status: int, body: bytes, *, of: int = -1, wait_s: float = 0.0, location: str = ""
    ) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if of < 0 else of))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)
        threading.Event().wait(wait_s)

    def _note(self, name: str, line: object) -> None:
        with (self.folder / name).open("a") as file:
            file.write(json.dumps(line) + "\n")

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def mirroring(origin: str, folder: Path) -> Iterator[str]:
    """Run a mirror of a server; returns where it stands."""
    folder.mkdir()
    command = [sys.executable, __file__, origin, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}{PREFIX}"
        finally:
            process.kill()


def main(origin: str, folder: str) -> None:
    handler = type("Handler", (Mirror,), {"origin": origin, "folder": Path(folder)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
