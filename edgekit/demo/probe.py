"""Asks every device's model for answers all the time, to see whether it ever stops answering."""

from __future__ import annotations

import http.client
import json
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import numpy as np

from edgekit.demo.scene import MODEL, Scene

EVERY_S = 0.05
TIMEOUT_S = 5.0


class Probe:
    """A context in which requests go to all devices in turn; counts what comes back.

    Attributes:
        answers: Requests that were answered with status 200.
        failures: Requests that were not.
    """

    def __init__(self, scene: Scene) -> None:
        self.answers = 0
        self.failures = 0
        statuses = [device.status(scene.commands) for device in scene.fleet.devices.values()]
        self._addresses = [urlsplit(status["models"][MODEL]["address"]) for status in statuses]
        image = np.load(sorted((scene.training / "heldout").glob("*.npy"))[0])
        self._body = json.dumps(
            {
                "inputs": [
                    {
                        "name": "image",
                        "shape": list(image.shape),
                        "datatype": "UINT8",
                        "data": image.ravel().tolist(),
                    }
                ]
            }
        )
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._ask_all, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def _ask_all(self) -> None:
        turn = 0
        while not self._done.wait(EVERY_S):
            if self._answered(self._addresses[turn % len(self._addresses)].netloc):
                self.answers += 1
            else:
                self.failures += 1
            turn += 1

    def _answered(self, netloc: str) -> bool:
        connection = http.client.HTTPConnection(netloc, timeout=TIMEOUT_S)
        try:
            connection.request("POST", f"/v2/models/{MODEL}/infer", self._body)
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return response.status == http.HTTPStatus.OK
