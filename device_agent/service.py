"""The systemd unit of the agent, as text and as a file."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from edgekit.durable import write_durably
from edgekit.errors import StorageError, UsageError

UNIT = "edgekit-agent.service"
_TEXT = """\
[Unit]
Description=EdgeKit device agent
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={python} -m device_agent run --state {state}{enrol}
User={user}
Restart=always
RestartSec=5
TimeoutStartSec=180
TimeoutStopSec=60
WatchdogSec=180
KillMode=mixed
UMask=0077
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome={home}
ReadWritePaths={state}{erases}
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
ProtectClock=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
CapabilityBoundingSet=
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
"""


def unit_text(state: Path, *, user: str, enrolment: Path | None = None) -> str:
    """Return the unit.

    Args:
        state: Folder of the agent, the only place that it may write.
        user: Ordinary user that runs it.
        enrolment: File of a first boot, erased after use.

    Raises:
        UsageError: A path is not absolute or holds what systemd would read otherwise.
    """
    for path in (state, enrolment, Path(sys.executable)):
        plain = path is None or (path.is_absolute() and not set(str(path)) & set(" %$\"'\\\n\t;"))
        if not plain:
            raise UsageError("must be an absolute path without blanks or signs", where=str(path))
    in_home = any(str(path).startswith("/home/") for path in (state, Path(sys.executable)))
    return _TEXT.format(
        python=sys.executable,
        state=state,
        user=user,
        home="no" if in_home else "yes",
        enrol=f" --enrol-file {enrolment}" if enrolment else "",
        erases=f" {enrolment.parent}" if enrolment else "",
    )


def install(text: str, folder: Path) -> Path:
    """Write the unit, after systemd has checked it where it is here; returns the file.

    Raises:
        StorageError: The folder cannot be written.
        UsageError: systemd finds fault with the unit.
    """
    path = folder / UNIT
    write_durably(path, text.encode())
    fault = verify(path)
    if fault:
        path.unlink()
        raise UsageError(f"systemd refuses the unit: {fault}", where=str(path))
    return path


def verify(path: Path) -> str:
    """Return what `systemd-analyze verify` says of a unit; empty when all is well or it is absent.

    Raises:
        StorageError: It cannot be started.
    """
    program = shutil.which("systemd-analyze")
    if program is None:
        return ""
    try:
        done = subprocess.run(
            [program, "verify", "--man=no", str(path)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    except OSError as error:
        raise StorageError(f"cannot be started ({error.strerror})", where=program) from error
    lines = [line for line in done.stderr.splitlines() if UNIT in line]
    return lines[0] if done.returncode and lines else ""
