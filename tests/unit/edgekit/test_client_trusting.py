from __future__ import annotations

from datetime import UTC, datetime

import pytest

from edgekit.client.trusting import delegated_models, online_public_keys
from edgekit.client.wire.trust import OnlineKeys
from edgekit.errors import FormatError
from edgekit.trust.keystore import KeyStore
from edgekit.trust.signing import make_targets

NOW = datetime(2026, 11, 21, tzinfo=UTC)
KEY = {"keyid": "k", "keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": "ab"}}


def test_delegated_models_are_those_that_were_signed(tmp_path):
    keystore = KeyStore.create(tmp_path / "keys", "four words of it")
    keys = {name: keystore.add_model(name) for name in ("digits", "faces")}
    assert delegated_models(make_targets(keystore, keys, now=NOW)) == keys


def test_before_the_first_targets_nothing_is_delegated():
    assert delegated_models(None) == {}
    assert delegated_models(b'{"signed":{}}') == {}


@pytest.mark.parametrize(
    "metadata",
    [
        b"",
        b"[]",
        b"{}",
        b'{"signed":[]}',
        b'{"signed":{"delegations":{"keys":{}}}}',
        b'{"signed":{"delegations":{"keys":{"k":{}},"roles":[]}}}',
        b'{"signed":{"delegations":{"keys":{},"roles":[{"name":"a","keyids":["k"]}]}}}',
        b'{"signed":{"delegations":{"keys":{},"roles":[{"name":"a","keyids":[]}]}}}',
    ],
)
def test_what_is_no_targets_metadata_is_said(metadata):
    with pytest.raises(FormatError):
        delegated_models(metadata)


def test_the_servers_keys_need_both_roles():
    both = online_public_keys(OnlineKeys(keys={"snapshot": KEY, "timestamp": KEY}))
    assert (both.snapshot.keyid, both.timestamp.public) == ("k", "ab")
    with pytest.raises(FormatError, match="timestamp"):
        online_public_keys(OnlineKeys(keys={"snapshot": KEY}))
    with pytest.raises(FormatError, match="keyval"):
        online_public_keys(OnlineKeys(keys={"snapshot": {"keyid": "k"}, "timestamp": KEY}))
