"""`edgekit-agent`: enrol, run, status, doctor and more. Parses, calls one function, prints."""

from __future__ import annotations

import argparse
import platform
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from device_agent.config import Layout, Source, load_config
from edgekit import __version__, codec, log
from edgekit.errors import EdgeKitError

EXIT_BUG = 70
EXIT_UNWELL = 1
"""Exit code of `doctor` when something is wrong."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (see edgekit.errors)."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except EdgeKitError as error:
        sys.stderr.write(f"edgekit-agent: {error}\n")
        return error.exit_code
    except Exception:  # noqa: BLE001 (a bug: the traceback and a code of its own)
        traceback.print_exc()
        return EXIT_BUG


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgekit-agent", description="Installs models safely, runs them, reports on them."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    enrol = _command(commands, "enrol", "make this device known to a fleet server, once")
    enrol.add_argument("--file", type=Path, required=True, help="enrolment file of the operator")
    enrol.add_argument("--id", required=True, help="name that the device shall have")
    enrol.add_argument("--token-file", type=Path, help="enrolment token, in a file of mode 0600")
    enrol.add_argument("--erase", action="store_true", help="erase FILE afterwards: used once")
    enrol.set_defaults(run=_enrol)
    run = _command(commands, "run", "follow the server until told to end (SIGTERM, SIGINT)")
    run.add_argument(
        "--enrol-file",
        type=Path,
        metavar="FILE",
        help="enrol by this file at the first start, and erase it",
    )
    run.add_argument("--id", default=platform.node(), help="name for that (default: the host's)")
    run.add_argument(
        "--source", metavar="VIDEO", help="feed a video file, a stream or a camera to the model"
    )
    run.set_defaults(run=_run)
    status = _command(commands, "status", "say what runs, what is going on and what waits")
    status.add_argument("--json", action="store_true", help="print one JSON object")
    status.set_defaults(run=_status)
    _add_operations(commands)
    return parser


def _add_operations(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    doctor = _command(commands, "doctor", "find out whether this device can do its work")
    doctor.add_argument("--json", action="store_true", help="print one JSON list")
    doctor.set_defaults(run=_doctor)
    diagnose = _command(commands, "diagnose", "collect what helps to find a fault, without secrets")
    diagnose.add_argument("--out", type=Path, required=True, help="tar.gz to write")
    diagnose.set_defaults(run=_diagnose)
    token = _command(commands, "set-token", "use another device token, from the next start on")
    token.add_argument("--token-file", type=Path, required=True, help="a file of mode 0600")
    token.set_defaults(run=_set_token)
    trust = _command(commands, "trust-reset", "pin another root of trust, by a person's decision")
    trust.add_argument("--root", type=Path, required=True, help="root metadata (JSON)")
    trust.add_argument("--sha256", required=True, help="its digest, told by another way")
    trust.set_defaults(run=_trust_reset)
    metrics = _command(commands, "metrics", "print the status as Prometheus text")
    metrics.set_defaults(run=_metrics)
    service = _command(commands, "install-service", "write a systemd unit for this agent")
    service.add_argument("--user", required=True, help="ordinary user that runs it")
    service.add_argument(
        "--folder", type=Path, default=Path("/etc/systemd/system"), help="where the unit goes"
    )
    service.add_argument("--enrol-file", type=Path, help="file of the first boot, erased then")
    service.set_defaults(run=_install_service)


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("--state", type=Path, required=True, help="folder of the agent")
    return parser


def _enrol(arguments: argparse.Namespace) -> int:
    from device_agent.enrolment import enrol, erase, read_enrolment, with_token

    layout = Layout(arguments.state)
    config = load_config(layout.config)
    file = with_token(read_enrolment(arguments.file), arguments.token_file)
    identity = enrol(file, arguments.id, config=config, layout=layout)
    if arguments.erase:
        erase(arguments.file)
    sys.stdout.write(f"enrolled as {identity.device_id} at {identity.server}\n")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from device_agent.agent import Agent, only_agent
    from device_agent.enrolment import believe_only, zero_touch
    from device_agent.identity import load_identity

    layout = Layout(arguments.state)
    config = load_config(layout.config)
    if arguments.enrol_file is not None and arguments.enrol_file.exists():
        zero_touch(arguments.enrol_file, arguments.id, config=config, layout=layout)
    if arguments.source is not None:
        config = replace(config, source=Source(video=arguments.source))
    load_identity(layout.identity)
    believe_only(layout.ca)
    log.set_up(level=config.log_level, as_json=config.log_json)
    with only_agent(layout):
        agent = Agent(config, layout)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: agent.stop())
        agent.run()
    return 0


def _status(arguments: argparse.Namespace) -> int:
    from device_agent.status import read_status

    status = read_status(Layout(arguments.state))
    if arguments.json:
        sys.stdout.write(codec.encode(status).decode() + "\n")
        return 0
    from device_agent.report import lines

    sys.stdout.write("\n".join(lines(status)) + "\n")
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from device_agent.doctor import Level, examine

    layout = Layout(arguments.state)
    now = datetime.now(UTC)  # noqa: TID251 (this is a composition root)
    found = examine(load_config(layout.config), layout, now=now)
    if arguments.json:
        sys.stdout.write(codec.encode(found).decode() + "\n")
    else:
        for one in found:
            sys.stdout.write(f"{one.level:4}  {one.question:16} {one.answer}\n")
    return EXIT_UNWELL if any(one.level is Level.FAIL for one in found) else 0


def _diagnose(arguments: argparse.Namespace) -> int:
    from device_agent.diagnosis import collect, write

    layout = Layout(arguments.state)
    now = datetime.now(UTC)  # noqa: TID251 (this is a composition root)
    write(arguments.out, collect(load_config(layout.config), layout, now=now), now=now)
    sys.stdout.write(f"{arguments.out} written\n")
    return 0


def _set_token(arguments: argparse.Namespace) -> int:
    from device_agent.enrolment import read_token
    from device_agent.identity import load_identity

    layout = Layout(arguments.state)
    identity = replace(load_identity(layout.identity), token=read_token(arguments.token_file))
    identity.save(layout.identity)
    sys.stdout.write("kept; it is used from the next start on\n")
    return 0


def _trust_reset(arguments: argparse.Namespace) -> int:
    from device_agent.enrolment import pin_again

    pin_again(Layout(arguments.state), arguments.root, sha256=arguments.sha256)
    sys.stdout.write("this root is trusted now, and what was trusted before is not\n")
    return 0


def _metrics(arguments: argparse.Namespace) -> int:
    from device_agent.metrics import render
    from device_agent.status import read_status

    sys.stdout.write(render(read_status(Layout(arguments.state))))
    return 0


def _install_service(arguments: argparse.Namespace) -> int:
    from device_agent.service import install, unit_text

    text = unit_text(
        arguments.state.absolute(), user=arguments.user, enrolment=arguments.enrol_file
    )
    path = install(text, arguments.folder)
    sys.stdout.write(f"{path} written; start it with: systemctl enable --now {path.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
