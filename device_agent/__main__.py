"""`edgekit-agent`: enrol, run, status. Parses, calls one function, prints."""

from __future__ import annotations

import argparse
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from device_agent.config import Layout, load_config
from edgekit import __version__, codec, log
from edgekit.errors import EdgeKitError

EXIT_BUG = 70


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
    enrol.set_defaults(run=_enrol)
    run = _command(commands, "run", "follow the server until told to end (SIGTERM, SIGINT)")
    run.set_defaults(run=_run)
    status = _command(commands, "status", "say what runs, what is going on and what waits")
    status.add_argument("--json", action="store_true", help="print one JSON object")
    status.set_defaults(run=_status)
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("--state", type=Path, required=True, help="folder of the agent")
    return parser


def _enrol(arguments: argparse.Namespace) -> int:
    from device_agent.enrolment import enrol, read_enrolment

    layout = Layout(arguments.state)
    config = load_config(layout.config)
    identity = enrol(read_enrolment(arguments.file), arguments.id, config=config, layout=layout)
    sys.stdout.write(f"enrolled as {identity.device_id} at {identity.server}\n")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from device_agent.agent import Agent, only_agent
    from device_agent.identity import load_identity

    layout = Layout(arguments.state)
    load_identity(layout.identity)
    config = load_config(layout.config)
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


if __name__ == "__main__":
    sys.exit(main())
