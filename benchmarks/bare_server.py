"""The baseline of an afternoon: `python -m benchmarks.bare_server MODEL PORT`.

ONNX Runtime behind Python's own HTTP server, a thread a connection. It answers the same request as
the agent with the class only, checks nothing and records nothing.
"""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import onnxruntime as ort


def main(model: str, port: int) -> None:
    """Serve until killed."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            image = np.array(body["inputs"][0]["data"], np.float32).reshape(1, 1, 8, 8) / 16
            with lock:
                scores = session.run(None, {"image": image})[0]
            answer = json.dumps({"class": int(scores.argmax())}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:  # noqa: ANN401 (the parent's signature)
            """Stay silent."""

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
