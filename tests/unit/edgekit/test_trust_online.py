"""The server's side: what it accepts, and what it renews by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edgekit.errors import ConflictError, TrustError, UsageError
from edgekit.trust import Reason, UntrustedError, bundle_path
from edgekit.trust.keystore import KeyStore
from edgekit.trust.metadata import Snapshot, Timestamp, load
from edgekit.trust.online import OnlineKeys, OnlineRepository
from edgekit.trust.signing import TargetEntry, extend_model_targets, make_root, make_targets
from tests.metadata_folder import repository_in, sign

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Engineer:
    def __init__(self, folder: Path, keys: OnlineKeys) -> None:
        self.store = KeyStore.create(folder, "correct horse")
        self.store.add_model("digits")
        self.root = make_root(self.store, keys.public(), now=NOW)
        self.targets = make_targets(self.store, self.store.models(), now=NOW)

    def digits(self, previous: bytes | None, version: str) -> bytes:
        path = bundle_path(model="digits", version=version, variant="onnx")
        custom = {"model": "digits", "version": version, "variant": "onnx"}
        entry = TargetEntry(path=path, length=7, sha256="a" * 64, custom=custom)
        return extend_model_targets(self.store, "digits", previous, [entry], now=NOW)


@pytest.fixture
def keys() -> OnlineKeys:
    return OnlineKeys.generate()


@pytest.fixture
def engineer(tmp_path: Path, keys: OnlineKeys) -> Engineer:
    return Engineer(tmp_path / "engineer", keys)


@pytest.fixture
def empty(tmp_path: Path, keys: OnlineKeys) -> OnlineRepository:
    return repository_in(tmp_path / "server", keys)


@pytest.fixture
def repository(empty: OnlineRepository, engineer: Engineer) -> OnlineRepository:
    files = {
        "root": engineer.root,
        "targets": engineer.targets,
        "digits": engineer.digits(None, "1.0.0"),
    }
    empty.publish(files, now=NOW)
    return empty


def snapshot_of(repository: OnlineRepository) -> dict[str, int]:
    timestamp = load(repository.read("timestamp.json") or b"", Timestamp, where="test").signed
    name = f"{timestamp.snapshot_meta.version}.snapshot.json"
    snapshot = load(repository.read(name) or b"", Snapshot, where="test").signed
    return {name: meta.version for name, meta in snapshot.meta.items()}


def test_sealed_keys_open_with_their_secret_only(keys: OnlineKeys) -> None:
    sealed = keys.sealed("a secret")
    assert OnlineKeys.open(sealed, "a secret").public() == keys.public()
    for pem in sealed.values():
        assert pem.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    for secret in ("another", None):
        with pytest.raises(TrustError):
            OnlineKeys.open(sealed, secret)
    with pytest.raises(TrustError, match="missing"):
        OnlineKeys.open({"snapshot": sealed["snapshot"]}, "a secret")


def test_an_empty_repository_offers_nothing(empty: OnlineRepository) -> None:
    assert not empty.initialised
    assert empty.current("root") is None
    assert empty.read("timestamp.json") is None
    assert empty.days_left(now=NOW) == {}
    assert not empty.refresh(now=NOW)


def test_the_first_publish_needs_root_and_targets(
    empty: OnlineRepository, engineer: Engineer
) -> None:
    with pytest.raises(TrustError, match="root and targets"):
        empty.publish({"root": engineer.root}, now=NOW)
    assert not empty.initialised


def test_published_files_are_where_devices_look(repository: OnlineRepository) -> None:
    for name in ("1.root.json", "1.targets.json", "1.digits.json", "timestamp.json"):
        assert repository.read(name)
    assert snapshot_of(repository) == {"targets.json": 1, "digits.json": 1}


@pytest.mark.parametrize(
    "name", ["../online/snapshot.pem", ".lock", "timestamp.json/", "", "x.json"]
)
def test_nothing_but_metadata_is_served(repository: OnlineRepository, name: str) -> None:
    assert repository.read(name) is None


def test_current_is_what_was_published(repository: OnlineRepository, engineer: Engineer) -> None:
    assert repository.current("root") == engineer.root
    assert repository.current("targets") == engineer.targets
    assert repository.current("faces") is None


def test_the_second_of_two_who_extended_the_same_is_refused(
    repository: OnlineRepository, engineer: Engineer
) -> None:
    base = repository.current("digits")
    first, second = engineer.digits(base, "1.1.0"), engineer.digits(base, "1.2.0")
    repository.publish({"digits": first}, now=NOW)
    with pytest.raises(ConflictError, match="sign again"):
        repository.publish({"digits": second}, now=NOW)
    assert repository.current("digits") == first


def test_older_metadata_is_refused(repository: OnlineRepository, engineer: Engineer) -> None:
    old = repository.current("digits")
    assert old is not None
    repository.publish({"digits": engineer.digits(old, "1.1.0")}, now=NOW)
    with pytest.raises(ConflictError):
        repository.publish({"digits": old}, now=NOW)


def test_publishing_the_same_again_changes_nothing(
    repository: OnlineRepository, engineer: Engineer
) -> None:
    before = repository.read("timestamp.json")
    repository.publish({"root": engineer.root, "targets": engineer.targets}, now=NOW)
    assert repository.read("timestamp.json") == before


def test_metadata_of_strangers_is_refused(
    repository: OnlineRepository, keys: OnlineKeys, tmp_path: Path
) -> None:
    stranger = Engineer(tmp_path / "stranger", keys)
    for role, data in (
        ("digits", stranger.digits(stranger.digits(None, "6"), "7")),
        ("targets", make_targets(stranger.store, {}, now=NOW, previous=stranger.targets)),
        ("root", make_root(stranger.store, keys.public(), now=NOW, previous=stranger.root)),
    ):
        with pytest.raises(UntrustedError) as error:
            repository.publish({role: data}, now=NOW)
        assert error.value.reason is Reason.UNSIGNED, role
    assert snapshot_of(repository) == {"targets.json": 1, "digits.json": 1}


def test_a_model_that_nobody_delegated_is_refused(
    repository: OnlineRepository, engineer: Engineer
) -> None:
    engineer.store.add_model("faces")
    data = extend_model_targets(engineer.store, "faces", None, [], now=NOW)
    with pytest.raises(UntrustedError) as error:
        repository.publish({"faces": data}, now=NOW)
    assert error.value.reason is Reason.UNSIGNED


def test_a_role_name_cannot_leave_the_folder(
    repository: OnlineRepository, engineer: Engineer
) -> None:
    with pytest.raises(UsageError):
        repository.publish({"../../digits": engineer.targets}, now=NOW)


def test_what_is_no_metadata_is_refused(repository: OnlineRepository) -> None:
    with pytest.raises(UntrustedError) as error:
        repository.publish({"digits": b"{}"}, now=NOW)
    assert error.value.reason is Reason.INVALID


def test_expired_metadata_is_refused(repository: OnlineRepository, engineer: Engineer) -> None:
    data = engineer.digits(repository.current("digits"), "1.1.0")
    with pytest.raises(UntrustedError) as error:
        repository.publish({"digits": data}, now=NOW + timedelta(days=61))
    assert error.value.reason is Reason.EXPIRED


def test_a_root_for_another_server_is_refused(
    repository: OnlineRepository, engineer: Engineer
) -> None:
    other = OnlineKeys.generate().public()
    root = make_root(engineer.store, other, now=NOW, previous=engineer.root)
    with pytest.raises(TrustError, match="another key"):
        repository.publish({"root": root}, now=NOW)


def test_a_root_that_skips_one_is_refused(
    repository: OnlineRepository, engineer: Engineer, keys: OnlineKeys
) -> None:
    second = make_root(engineer.store, keys.public(), now=NOW, previous=engineer.root)
    third = make_root(engineer.store, keys.public(), now=NOW, previous=second)
    with pytest.raises(ConflictError, match="does not follow"):
        repository.publish({"root": third}, now=NOW)


def test_a_replaced_model_key_starts_its_targets_anew(
    repository: OnlineRepository, engineer: Engineer
) -> None:
    engineer.store.rotate("digits")
    targets = make_targets(
        engineer.store, engineer.store.models(), now=NOW, previous=engineer.targets
    )
    with pytest.raises(UntrustedError):
        repository.publish({"targets": targets}, now=NOW)
    anew = engineer.digits(None, "1.1.0")
    repository.publish({"targets": targets, "digits": anew}, now=NOW)
    assert repository.current("digits") == anew


def test_renewal_waits_for_the_last_third(repository: OnlineRepository) -> None:
    assert not repository.refresh(now=NOW + timedelta(hours=31))
    snapshots = snapshot_of(repository)
    assert repository.refresh(now=NOW + timedelta(hours=32))
    assert repository.days_left(now=NOW + timedelta(hours=32))["timestamp"] == pytest.approx(2)
    assert repository.days_left(now=NOW)["snapshot"] == pytest.approx(7)
    assert repository.refresh(now=NOW + timedelta(days=5))
    assert repository.days_left(now=NOW + timedelta(days=5))["snapshot"] == pytest.approx(7)
    assert snapshot_of(repository) == snapshots


def test_versions_follow_the_clock_but_never_go_back(
    repository: OnlineRepository, keys: OnlineKeys, tmp_path: Path
) -> None:
    def version() -> int:
        data = repository.read("timestamp.json") or b""
        return load(data, Timestamp, where="test").signed.version

    assert version() == int(NOW.timestamp())
    repository.refresh(now=NOW + timedelta(days=30))
    ahead = version()
    assert ahead == int((NOW + timedelta(days=30)).timestamp())
    sign(tmp_path / "server", keys, NOW)
    assert version() == ahead + 1


def test_days_left_names_every_role(repository: OnlineRepository) -> None:
    days = repository.days_left(now=NOW + timedelta(days=61))
    assert days["root"] == pytest.approx(304)
    assert days["targets"] == pytest.approx(304)
    assert days["digits"] == pytest.approx(-1)
    assert set(days) == {"root", "targets", "digits", "snapshot", "timestamp"}


def test_a_model_whose_delegation_ended_is_not_counted(
    repository: OnlineRepository, engineer: Engineer
) -> None:
    targets = make_targets(
        engineer.store, {}, now=NOW, previous=engineer.targets, removals=["digits"]
    )
    repository.publish({"targets": targets}, now=NOW)
    assert "digits" not in repository.days_left(now=NOW)
    assert "digits.json" in snapshot_of(repository)


def test_a_crash_after_a_new_root_is_healed_by_the_next_refresh(
    repository: OnlineRepository, engineer: Engineer, tmp_path: Path
) -> None:
    keys = OnlineKeys.generate()
    root = make_root(engineer.store, keys.public(), now=NOW, previous=engineer.root)
    (tmp_path / "server" / "2.root.json").write_bytes(root)
    again = repository_in(tmp_path / "server", keys)
    assert again.refresh(now=NOW)
    assert not again.refresh(now=NOW)
