"""A diagnose bundle when the server asks for one: made by `edgekit-agent diagnose`, then uploaded.

In a process and a thread of its own, so that the agent's loop and memory stay as they are. The
poll names the request until it is answered, so that nothing needs to be remembered here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading

from device_agent.config import Layout
from device_agent.ddi import Ddi
from edgekit.errors import EdgeKitError, FormatError, NetworkError, RefusedError, StorageError
from edgekit.jobs import MAX_DIAGNOSIS_BYTES

logger = logging.getLogger(__name__)
MAX_S = 300.0


class Diagnosing:
    """Takes requests from the agent's loop and answers them in a thread.

    Args:
        ddi: With a transport of its own: transports are not shared between threads.
        layout: Of the agent's folder.
    """

    def __init__(self, ddi: Ddi, layout: Layout) -> None:
        self._ddi, self._layout = ddi, layout
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._interrupted = False

    def offer(self, url: str) -> None:
        """Begin unless one goes on; returns at once."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._thread = threading.Thread(
            target=self._work, args=(url,), name="diagnosis", daemon=True
        )
        self._thread.start()

    def interrupt(self) -> None:
        """End what goes on: the agent ends."""
        with self._lock:
            self._interrupted = True
            process = self._process
            if process is not None and process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def _work(self, url: str) -> None:
        try:
            try:
                bundle = self._made()
            except (EdgeKitError, OSError) as error:
                if not self._interrupted:
                    self._ddi.refuse_diagnosis(url, str(error))
                return
            self._ddi.send_diagnosis(url, bundle)
            logger.info("diagnosis sent", extra={"fields": {"bytes": len(bundle)}})
        except (NetworkError, FormatError) as error:
            logger.debug("diagnosis waits", extra={"fields": {"error": str(error)}})
        except RefusedError as error:
            logger.info("diagnosis not wanted", extra={"fields": {"error": str(error)}})

    def _made(self) -> bytes:
        """Return the bundle.

        Raises:
            StorageError: It could not be made, or is too large.
            OSError: It cannot be read.
        """
        out = self._layout.diagnosis
        command = [sys.executable, "-m", "device_agent", "diagnose"]
        command += ["--state", str(self._layout.folder), "--out", str(out)]
        try:
            self._run(command)
            with out.open("rb") as file:
                bundle = file.read(MAX_DIAGNOSIS_BYTES + 1)
        finally:
            out.unlink(missing_ok=True)
        if len(bundle) > MAX_DIAGNOSIS_BYTES:
            raise StorageError(f"the bundle is larger than {MAX_DIAGNOSIS_BYTES} bytes")
        return bundle

    def _run(self, command: list[str]) -> None:
        with self._lock:
            if self._interrupted:
                raise StorageError("the agent ends")
            self._process = subprocess.Popen(
                command,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        timer = threading.Timer(MAX_S, self._process.kill)
        timer.start()
        try:
            _, said = self._process.communicate()
        finally:
            timer.cancel()
        if self._process.returncode != 0:
            last = said.decode(errors="replace").strip().rpartition("\n")[2]
            raise StorageError(last or f"the process ended with {self._process.returncode}")
