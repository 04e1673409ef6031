"""The engineer's side: keys under a passphrase, and what may be extended."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edgekit.errors import ConflictError, StorageError, TrustError, UsageError
from edgekit.trust import Reason, UntrustedError, bundle_path
from edgekit.trust.keystore import KeyStore
from edgekit.trust.metadata import Root, Targets, load
from edgekit.trust.online import OnlineKeys
from edgekit.trust.signing import (
    TargetEntry,
    extend_model_targets,
    make_root,
    make_targets,
    metadata_version,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    store = KeyStore.create(tmp_path / "keys", "correct horse")
    store.add_model("digits")
    return store


def entry(version: str, *, model: str = "digits", sha256: str = "a" * 64) -> TargetEntry:
    path = bundle_path(model=model, version=version, variant="onnx")
    custom = {"model": model, "version": version, "variant": "onnx"}
    return TargetEntry(path=path, length=7, sha256=sha256, custom=custom)


def extend(store: KeyStore, previous: bytes | None, *entries: TargetEntry) -> bytes:
    return extend_model_targets(store, "digits", previous, entries, now=NOW)


def listed(data: bytes) -> list[str]:
    return list(load(data, Targets, where="test").signed.targets)


def test_keys_are_encrypted_and_for_their_owner_only(store: KeyStore) -> None:
    files = list(store.folder.rglob("*.pem"))
    assert {file.name for file in files} == {"root.pem", "targets.pem", "digits.pem"}
    for file in files:
        assert file.stat().st_mode & 0o777 == 0o600
        assert b"BEGIN ENCRYPTED PRIVATE KEY" in file.read_bytes()


def test_a_wrong_passphrase_is_one_clear_line(store: KeyStore) -> None:
    with pytest.raises(TrustError, match="wrong passphrase") as error:
        KeyStore.open(store.folder, "wrong")
    assert "\n" not in str(error.value)


def test_the_right_passphrase_opens_the_same_keys(store: KeyStore) -> None:
    assert KeyStore.open(store.folder, "correct horse").models() == store.models()


def test_a_folder_without_keys_is_not_a_key_store(tmp_path: Path) -> None:
    with pytest.raises(TrustError, match="no keys here"):
        KeyStore.open(tmp_path, "correct horse")


def test_keys_are_never_overwritten(store: KeyStore) -> None:
    with pytest.raises(ConflictError):
        KeyStore.create(store.folder, "another")


def test_an_empty_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="empty"):
        KeyStore.create(tmp_path / "keys", "")


def test_adding_a_model_twice_keeps_its_key(store: KeyStore) -> None:
    assert store.add_model("digits") == store.public("digits")


def test_an_absent_key_is_named(store: KeyStore) -> None:
    with pytest.raises(TrustError, match="'faces'"):
        store.public("faces")


def test_a_release_adds_to_what_was_listed(store: KeyStore) -> None:
    first = extend(store, None, entry("1.0.0"))
    second = extend(store, first, entry("1.1.0"))
    assert listed(second) == [entry("1.0.0").path, entry("1.1.0").path]
    assert metadata_version(second) == metadata_version(first) + 1


def test_listing_the_same_bundle_again_is_allowed(store: KeyStore) -> None:
    first = extend(store, None, entry("1.0.0"))
    assert listed(extend(store, first, entry("1.0.0"))) == listed(first)


def test_a_listed_path_never_changes_its_content(store: KeyStore) -> None:
    first = extend(store, None, entry("1.0.0"))
    with pytest.raises(ConflictError, match="another content"):
        extend(store, first, entry("1.0.0", sha256="b" * 64))


def test_a_bundle_of_another_model_is_not_signed(store: KeyStore) -> None:
    with pytest.raises(UsageError, match="does not belong"):
        extend(store, None, entry("1.0.0", model="faces"))


def test_custom_data_that_contradicts_the_path_is_not_signed(store: KeyStore) -> None:
    wrong = replace(entry("1.0.0"), path=entry("1.1.0").path)
    with pytest.raises(UsageError, match="does not belong"):
        extend(store, None, wrong)


def test_custom_data_must_name_the_bundle(store: KeyStore) -> None:
    with pytest.raises(UsageError, match="variant"):
        extend(store, None, replace(entry("1.0.0"), custom={"model": "digits", "version": "1"}))


def test_removing_what_is_not_listed_is_refused(store: KeyStore) -> None:
    with pytest.raises(UsageError, match="not listed"):
        extend_model_targets(store, "digits", None, [], now=NOW, removals=["models/a/b/c"])


def test_metadata_that_somebody_else_signed_is_not_extended(
    store: KeyStore, tmp_path: Path
) -> None:
    other = KeyStore.create(tmp_path / "other", "battery staple")
    other.add_model("digits")
    with pytest.raises(UntrustedError) as error:
        extend(store, extend(other, None, entry("6.6.6")), entry("1.0.0"))
    assert error.value.reason is Reason.UNSIGNED


def test_older_metadata_than_was_published_is_not_extended(store: KeyStore) -> None:
    first = extend(store, None, entry("1.0.0"))
    second = extend(store, first, entry("1.1.0"))
    store.confirm_published("digits", metadata_version(second))
    with pytest.raises(UntrustedError) as error:
        extend(KeyStore.open(store.folder, "correct horse"), first, entry("1.2.0"))
    assert error.value.reason is Reason.ROLLBACK


def test_a_server_that_claims_to_have_nothing_is_not_believed(store: KeyStore) -> None:
    store.confirm_published("digits", metadata_version(extend(store, None, entry("1.0.0"))))
    with pytest.raises(UntrustedError) as error:
        extend(store, None, entry("1.1.0"))
    assert error.value.reason is Reason.ROLLBACK


def test_after_a_failed_upload_the_same_metadata_is_extended_with_a_new_version(
    store: KeyStore,
) -> None:
    first = extend(store, None, entry("1.0.0"))
    lost = extend(store, first, entry("1.1.0"))
    again = extend(store, first, entry("1.1.0"))
    assert metadata_version(again) > metadata_version(lost)


def test_metadata_of_a_replaced_model_key_is_not_extended(store: KeyStore) -> None:
    first = extend(store, None, entry("1.0.0"))
    store.rotate("digits")
    with pytest.raises(UntrustedError):
        extend(store, first, entry("1.1.0"))
    assert metadata_version(extend(store, None, entry("1.1.0"))) > metadata_version(first)


def test_a_new_delegation_keeps_the_others(store: KeyStore, tmp_path: Path) -> None:
    first = make_targets(store, store.models(), now=NOW)
    ci = KeyStore.create(tmp_path / "ci", "battery staple")
    second = make_targets(store, {"faces": ci.add_model("faces")}, now=NOW, previous=first)
    delegations = load(second, Targets, where="test").signed.delegations
    assert delegations is not None
    assert list(delegations.roles or {}) == ["digits", "faces"]
    assert len(delegations.keys) == 2


def test_an_ended_delegation_takes_its_key_with_it(store: KeyStore) -> None:
    first = make_targets(store, store.models(), now=NOW)
    second = make_targets(store, {}, now=NOW, previous=first, removals=["digits"])
    delegations = load(second, Targets, where="test").signed.delegations
    assert delegations is not None
    assert (delegations.roles, delegations.keys) == ({}, {})


def test_a_root_follows_by_one_and_carries_old_and_new_signature(
    store: KeyStore, tmp_path: Path
) -> None:
    online = OnlineKeys.generate().public()
    first = make_root(store, online, now=NOW)
    old = store.public("root").keyid
    new = store.rotate("root").keyid
    second = load(make_root(store, online, now=NOW, previous=first), Root, where="test")
    assert second.signed.version == 2
    assert set(second.signatures) == {old, new}
    assert second.signed.roles["root"].keyids == [new]


def test_a_root_of_strangers_is_not_replaced(store: KeyStore, tmp_path: Path) -> None:
    online = OnlineKeys.generate().public()
    other = KeyStore.create(tmp_path / "other", "battery staple")
    with pytest.raises(UntrustedError) as error:
        make_root(store, online, now=NOW, previous=make_root(other, online, now=NOW))
    assert error.value.reason is Reason.UNSIGNED


def test_an_entry_measures_its_file(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"abc")
    made = TargetEntry.of_file(
        tmp_path / "b", model="m", version="1", variant="v", requires={"runtime": "onnx"}
    )
    assert (made.length, made.sha256[:8]) == (3, "ba7816bf")
    assert made.custom["requires"] == {"runtime": "onnx"}
    with pytest.raises(StorageError, match="absent"):
        TargetEntry.of_file(tmp_path / "absent", model="m", version="1", variant="v")
