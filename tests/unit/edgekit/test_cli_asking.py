"""What becomes of a function that asks a server."""

from __future__ import annotations

from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from edgekit.cli.asking import asks
from edgekit.cli.options import AsJson
from edgekit.cli.output import say
from edgekit.client.http import FleetClient
from edgekit.errors import UsageError

app = typer.Typer()
ADDRESS = ("--server", "http://127.0.0.1:9")


def _say_words(words: list[str]) -> None:
    say(" and ".join(words))


@asks(app, shows=_say_words)
def two_words(
    client: FleetClient, first: str, *, second: Annotated[str, typer.Option(help="Of two.")] = "b"
) -> list[str]:
    """Say two words."""
    return [first, second]


@asks(app)
def address(client: FleetClient, as_json: AsJson = False) -> None:
    """Say where the server is."""
    say(f"{client.server_url} {as_json}")


def _run(*words: str):
    return CliRunner(env={"EDGEKIT_TOKEN": "t"}).invoke(app, words)


def test_an_answer_is_shown_for_people_or_as_json():
    assert _run("two-words", "a", "--second", "c", *ADDRESS).output == "a and c\n"
    assert _run("two-words", "a", *ADDRESS, "--json").output == '["a","b"]\n'


def test_a_function_that_prints_by_itself_is_told_of_json_only_if_it_asks():
    assert _run("address", *ADDRESS, "--json").output == "http://127.0.0.1:9 True\n"


def test_the_function_stays_callable():
    with FleetClient(ADDRESS[1], "t") as client:
        assert two_words(client, "a") == ["a", "b"]


def test_no_server_is_a_usage_error():
    assert isinstance(_run("two-words", "a").exception, UsageError)


@pytest.mark.parametrize("command", ["two-words", "address"])
def test_help_lists_own_options_before_the_shared_ones(command):
    text = _run(command, "--help").output
    assert text.index("--server") < text.index("--token-file") < text.index("--json")
