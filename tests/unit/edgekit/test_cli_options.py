from __future__ import annotations

import pytest

from edgekit.cli.options import connect, pairs, passphrase, seconds
from edgekit.errors import StorageError, UsageError


@pytest.mark.parametrize(
    ("text", "expected"), [("90s", 90), ("30m", 1800), ("1h", 3600), ("2d", 172800), ("1.5h", 5400)]
)
def test_a_duration_has_a_unit(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "90", "h", "1w", "-1s", "1h30m"])
def test_what_has_none_is_refused(text):
    with pytest.raises(UsageError, match="no duration"):
        seconds(text)


def test_pairs_keep_what_follows_the_first_sign():
    assert pairs(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}


@pytest.mark.parametrize("word", ["a", "=1", ""])
def test_a_word_that_is_no_pair_is_refused(word):
    with pytest.raises(UsageError, match="no pair"):
        pairs([word])


def test_a_passphrase_file_wins_over_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEKIT_PASSPHRASE", "from the environment")
    file = tmp_path / "passphrase"
    file.write_text(" four words of it \n")
    assert passphrase(file) == " four words of it "
    assert passphrase(None) == "from the environment"


def test_a_passphrase_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(StorageError):
        passphrase(tmp_path / "absent")


def test_without_anybody_to_ask_a_passphrase_has_to_be_given(monkeypatch):
    monkeypatch.delenv("EDGEKIT_PASSPHRASE", raising=False)
    with pytest.raises(UsageError, match="EDGEKIT_PASSPHRASE"):
        passphrase(None)


@pytest.mark.parametrize(
    ("server", "token", "message"),
    [
        ("", "t", "no server"),
        ("http://host", "", "no token"),
        ("ftp://host", "t", "no address"),
        ("host:8080", "t", "no address"),
        ("http://host", "two words", "white space"),
    ],
)
def test_a_connection_needs_an_address_and_a_token(monkeypatch, server, token, message):
    monkeypatch.setenv("EDGEKIT_TOKEN", token)
    with pytest.raises(UsageError, match=message):
        connect(server, None)


def test_a_token_file_is_read(tmp_path):
    file = tmp_path / "admin.token"
    file.write_text("\n")
    with pytest.raises(UsageError, match="is empty"):
        connect("http://host", file)
    file.write_text("abc\n")
    assert connect("http://host/", file).server_url == "http://host"
