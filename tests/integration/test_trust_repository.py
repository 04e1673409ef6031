"""A real key store, a real repository folder and a real HTTP server, against a real device."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from edgekit.errors import NetworkError
from edgekit.trust import Reason, UntrustedError, bundle_path, verify_file
from edgekit.trust.fetching import HttpFetch
from edgekit.trust.metadata import Metadata, TargetFile, Targets, digest
from edgekit.trust.online import OnlineKeys
from edgekit.trust.policy import SIGNED_AT
from edgekit.trust.signing import extend_model_targets
from edgekit.trust.verifying import TrustStore
from tests.integration.trust_scene import NOW, VARIANT, Scene
from tests.metadata_folder import sign, state_of

pytestmark = pytest.mark.integration


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (name of the base)
        pass


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.fixture
def fetch(scene: Scene) -> Iterator[HttpFetch]:
    handler = partial(_Quiet, directory=str(scene.metadata))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield HttpFetch(f"http://127.0.0.1:{server.server_port}/", {})
        server.shutdown()
        thread.join()


def refused(error: pytest.ExceptionInfo[UntrustedError]) -> Reason:
    return error.value.reason


def test_a_listed_bundle_is_found_and_its_bytes_verify(scene: Scene, fetch: HttpFetch) -> None:
    scene.release("1.0.0")
    info = scene.ask(fetch, "1.0.0")
    assert info.custom["model"] == "digits"
    verify_file(scene.bundle("1.0.0"), info)


def test_an_older_but_still_listed_bundle_works(scene: Scene, fetch: HttpFetch) -> None:
    scene.release("1.0.0")
    scene.release("1.1.0")
    assert scene.ask(fetch, "1.1.0").custom["version"] == "1.1.0"
    assert scene.ask(fetch, "1.0.0").custom["version"] == "1.0.0"


def test_a_tampered_bundle_is_refused(scene: Scene, fetch: HttpFetch) -> None:
    scene.release("1.0.0")
    info = scene.ask(fetch, "1.0.0")
    bundle = scene.bundle("1.0.0")
    bundle.write_bytes(bundle.read_bytes().replace(b"b", b"d", 1))
    with pytest.raises(UntrustedError) as error:
        verify_file(bundle, info)
    assert refused(error) is Reason.MISMATCH


def test_an_unlisted_bundle_is_refused(scene: Scene, fetch: HttpFetch) -> None:
    scene.release("1.0.0")
    with pytest.raises(UntrustedError) as error:
        scene.ask(fetch, "9.9.9")
    assert refused(error) is Reason.NOT_LISTED


def test_a_revoked_bundle_is_no_longer_listed(scene: Scene, fetch: HttpFetch) -> None:
    scene.release("1.0.0")
    scene.ask(fetch, "1.0.0")
    path = bundle_path(model="digits", version="1.0.0", variant=VARIANT)
    before = scene.repository.current("digits")
    data = extend_model_targets(
        scene.keystore, "digits", before, [], now=scene.now, removals=[path]
    )
    scene.repository.publish({"digits": data}, now=scene.now)
    with pytest.raises(UntrustedError) as error:
        scene.ask(fetch, "1.0.0")
    assert refused(error) is Reason.NOT_LISTED


@pytest.mark.parametrize(
    ("model", "version", "variant"),
    [
        pytest.param("digits", "1.0.0", VARIANT, id="model"),
        pytest.param("faces", "2.0.0", VARIANT, id="version"),
        pytest.param("faces", "1.0.0", "tflite-int8", id="variant"),
    ],
)
def test_a_listed_bundle_of_something_else_is_refused(
    scene: Scene, fetch: HttpFetch, model: str, version: str, variant: str
) -> None:
    scene.release("1.0.0", model="faces")
    with pytest.raises(UntrustedError) as error:
        scene.device.target(
            bundle_path(model="faces", version="1.0.0", variant=VARIANT),
            model=model,
            version=version,
            variant=variant,
            fetch=fetch,
            clock=scene.clock(),
        )
    assert refused(error) is Reason.WRONG_MODEL


@pytest.mark.parametrize(
    ("variant", "custom_model"),
    [
        pytest.param(VARIANT, "faces", id="signed data name another model"),
        pytest.param("tflite-int8", "digits", id="the path names another variant"),
    ],
)
def test_path_and_signed_data_must_both_name_the_bundle(
    scene: Scene, fetch: HttpFetch, variant: str, custom_model: str
) -> None:
    path = bundle_path(model="digits", version="1.0.0", variant=variant)
    custom = {"model": custom_model, "version": "1.0.0", "variant": VARIANT}
    target = TargetFile(3, {"sha256": "0" * 64}, path, {"custom": custom})
    targets = Metadata(Targets(version=1, expires=NOW + timedelta(days=9), targets={path: target}))
    targets.sign(scene.keystore.signer("digits"))
    scene.repository.publish({"digits": targets.to_bytes()}, now=scene.now)
    with pytest.raises(UntrustedError) as error:
        scene.device.target(
            path,
            model="digits",
            version="1.0.0",
            variant=VARIANT,
            fetch=fetch,
            clock=scene.clock(),
        )
    assert refused(error) is Reason.WRONG_MODEL


def test_the_key_of_one_model_cannot_list_bundles_of_another(
    scene: Scene, fetch: HttpFetch
) -> None:
    scene.release("1.0.0")
    path = bundle_path(model="digits", version="6.6.6", variant=VARIANT)
    forged = TargetFile(3, {"sha256": "0" * 64}, path, {"custom": {"model": "digits"}})
    targets = Metadata(Targets(version=1, expires=NOW + timedelta(days=9), targets={path: forged}))
    targets.sign(scene.keystore.signer("faces"))
    scene.repository.publish({"faces": targets.to_bytes()}, now=scene.now)
    with pytest.raises(UntrustedError) as error:
        scene.ask(fetch, "6.6.6")
    assert refused(error) is Reason.NOT_LISTED


def test_targets_forged_with_the_online_keys_are_refused(scene: Scene, fetch: HttpFetch) -> None:
    scene.release("1.0.0")
    scene.ask(fetch, "1.0.0")
    state = state_of(scene.metadata, scene.keys)
    path = bundle_path(model="digits", version="6.6.6", variant=VARIANT)
    forged = Metadata(
        Targets(
            version=99,
            expires=NOW + timedelta(days=9),
            targets={path: TargetFile(3, {"sha256": "0" * 64}, path)},
        )
    )
    forged.sign(scene.keys.snapshot)
    (scene.metadata / "99.digits.json").write_bytes(forged.to_bytes())
    roles = {**state.roles, "digits": forged.to_bytes()}
    stolen = replace(state, roles=roles)
    sign(scene.metadata, scene.keys, scene.now, lambda _: stolen)
    with pytest.raises(UntrustedError) as error:
        scene.ask(fetch, "6.6.6")
    assert refused(error) is Reason.UNSIGNED


def test_a_server_that_stops_renewing_freezes_nobody_unseen(scene: Scene, fetch: HttpFetch) -> None:
    scene.release("1.0.0")
    scene.ask(fetch, "1.0.0")
    scene.now += timedelta(days=3)
    with pytest.raises(UntrustedError) as error:
        scene.ask(fetch, "1.0.0")
    assert refused(error) is Reason.EXPIRED
    assert scene.repository.refresh(now=scene.now)
    assert scene.ask(fetch, "1.0.0").custom["version"] == "1.0.0"


def replay(scene: Scene, old: Path) -> None:
    shutil.rmtree(scene.metadata)
    shutil.copytree(old, scene.metadata)


def test_an_old_repository_is_not_accepted_again(
    scene: Scene, fetch: HttpFetch, tmp_path: Path
) -> None:
    scene.release("1.0.0")
    shutil.copytree(scene.metadata, tmp_path / "old")
    scene.release("1.1.0")
    scene.ask(fetch, "1.1.0")
    replay(scene, tmp_path / "old")
    with pytest.raises(UntrustedError) as error:
        scene.ask(fetch, "1.0.0")
    assert refused(error) is Reason.ROLLBACK


@pytest.mark.parametrize("damage", ["empty", "half", "gone"])
def test_no_damage_to_a_cached_file_lets_an_old_repository_in(
    scene: Scene, fetch: HttpFetch, tmp_path: Path, damage: str
) -> None:
    scene.release("1.0.0")
    shutil.copytree(scene.metadata, tmp_path / "old")
    scene.release("1.1.0")
    scene.ask(fetch, "1.1.0")
    replay(scene, tmp_path / "old")
    cached = [*scene.index_files(), scene.folder / "device" / "current.json"]
    assert {"timestamp.json", "snapshot.json", "targets.json", "digits.json"} <= {
        file.name for file in cached
    }
    for file in cached:
        whole = file.read_bytes()
        if damage == "gone":
            file.unlink()
        else:
            file.write_bytes(whole[: len(whole) // 2] if damage == "half" else b"")
        with pytest.raises(UntrustedError) as error:
            scene.ask(fetch, "1.0.0")
        assert refused(error) in {Reason.DAMAGED, Reason.UNPINNED}, file.name
        file.write_bytes(whole)
    with pytest.raises(UntrustedError) as error:
        scene.ask(fetch, "1.0.0")
    assert refused(error) is Reason.ROLLBACK


@pytest.mark.parametrize("behind", [1, 5])
def test_a_device_catches_up_with_roots_it_missed(
    scene: Scene, fetch: HttpFetch, behind: int
) -> None:
    for _ in range(behind):
        scene.new_root()
    scene.release("1.0.0")
    assert scene.ask(fetch, "1.0.0").custom["version"] == "1.0.0"
    assert f"{behind + 1}.root.json" in {file.name for file in scene.index_files()}


def test_a_new_root_key_is_followed_because_the_old_one_signs_it(
    scene: Scene, fetch: HttpFetch
) -> None:
    scene.keystore.rotate("root")
    scene.new_root()
    scene.new_root()
    scene.release("1.0.0")
    assert scene.ask(fetch, "1.0.0").custom["version"] == "1.0.0"


def test_new_online_keys_lock_the_thief_of_the_old_ones_out(
    scene: Scene, fetch: HttpFetch, tmp_path: Path
) -> None:
    scene.release("1.0.0")
    scene.ask(fetch, "1.0.0")
    thief = tmp_path / "thief"
    shutil.copytree(scene.metadata, thief / "metadata")
    old_keys = scene.keys
    scene.use_keys(OnlineKeys.generate())
    root = scene.new_root()
    scene.ask(fetch, "1.0.0")
    replay(scene, thief / "metadata")
    (scene.metadata / "2.root.json").write_bytes(root)
    sign(scene.metadata, old_keys, scene.now + timedelta(hours=1))
    with pytest.raises(UntrustedError) as error:
        scene.ask(fetch, "1.0.0")
    assert refused(error) is Reason.UNSIGNED


def test_a_bundle_of_a_model_without_a_release_is_not_found(scene: Scene, fetch: HttpFetch) -> None:
    with pytest.raises(UntrustedError) as error:
        scene.ask(fetch, "1.0.0")
    assert refused(error) in {Reason.NOT_LISTED, Reason.INVALID}


def test_a_new_root_counts_even_if_nothing_else_arrives(scene: Scene, fetch: HttpFetch) -> None:
    scene.release("1.0.0")
    scene.ask(fetch, "1.0.0")
    scene.new_root()

    def only_roots(path: str, limit: int) -> bytes | None:
        if "root" not in path:
            raise NetworkError("cut off", where=path)
        return fetch(path, limit)

    with pytest.raises(NetworkError):
        scene.device.refresh(only_roots, clock=scene.clock())
    assert "2.root.json" in {file.name for file in scene.index_files()}


def test_a_boot_in_1970_uses_the_last_proven_time(scene: Scene, fetch: HttpFetch) -> None:
    scene.release("1.0.0")
    scene.ask(fetch, "1.0.0")
    scene.now = datetime(1970, 1, 1, tzinfo=UTC)
    scene.device.refresh(fetch, clock=scene.clock(synchronised=False))
    assert scene.device.verified_at() == NOW


def test_a_boot_in_2040_is_suspected_and_spoils_nothing(scene: Scene, fetch: HttpFetch) -> None:
    scene.release("1.0.0")
    scene.ask(fetch, "1.0.0")
    scene.now += timedelta(hours=40)
    assert scene.repository.refresh(now=scene.now)
    right, scene.now = scene.now, datetime(2040, 1, 1, tzinfo=UTC)
    with pytest.raises(UntrustedError) as error:
        scene.device.refresh(fetch, clock=scene.clock(synchronised=False))
    assert refused(error) is Reason.CLOCK_SUSPECT
    scene.now = right
    assert scene.ask(fetch, "1.0.0").custom["version"] == "1.0.0"
    assert scene.device.verified_at() == right


def test_a_clock_that_was_set_is_believed_over_old_metadata(scene: Scene, fetch: HttpFetch) -> None:
    scene.release("1.0.0")
    scene.ask(fetch, "1.0.0")
    scene.now += timedelta(hours=40)
    scene.repository.refresh(now=scene.now)
    scene.now = datetime(2040, 1, 1, tzinfo=UTC)
    with pytest.raises(UntrustedError) as error:
        scene.device.refresh(fetch, clock=scene.clock(synchronised=True))
    assert refused(error) is Reason.EXPIRED


def test_a_server_cannot_push_a_devices_time_past_what_people_signed(
    scene: Scene, fetch: HttpFetch
) -> None:
    scene.release("1.0.0")
    timestamp = Metadata.from_bytes((scene.metadata / "timestamp.json").read_bytes())
    timestamp.signed.unrecognized_fields[SIGNED_AT] = "2090-01-01T00:00:00Z"
    timestamp.signed.expires = datetime(2091, 1, 1, tzinfo=UTC)
    timestamp.sign(scene.keys.timestamp)
    (scene.metadata / "timestamp.json").write_bytes(timestamp.to_bytes())
    scene.device.refresh(fetch, clock=scene.clock(synchronised=False))
    assert scene.device.verified_at() is None


def test_nothing_new_writes_nothing(scene: Scene, fetch: HttpFetch) -> None:
    scene.release("1.0.0")
    scene.ask(fetch, "1.0.0")
    index = scene.folder / "device" / "current.json"
    before = (index.read_bytes(), index.stat().st_mtime_ns)
    scene.ask(fetch, "1.0.0")
    assert (index.read_bytes(), index.stat().st_mtime_ns) == before
    generations = [entry for entry in index.parent.iterdir() if entry.name.startswith("gen-")]
    assert len(generations) == 1


def test_what_an_interrupted_refresh_left_is_swept(scene: Scene, fetch: HttpFetch) -> None:
    left = scene.folder / "device" / "gen-interrupted"
    (left / "root_history").mkdir(parents=True)
    (left / "timestamp.json").write_bytes(b"")
    scene.release("1.0.0")
    scene.ask(fetch, "1.0.0")
    assert not left.exists()


def test_an_endless_file_is_refused(scene: Scene, fetch: HttpFetch) -> None:
    scene.release("1.0.0")
    with (scene.metadata / "timestamp.json").open("ab") as file:
        file.write(b" " * 1_000_000)
    with pytest.raises(UntrustedError) as error:
        scene.ask(fetch, "1.0.0")
    assert refused(error) is Reason.MISMATCH


def test_a_missing_metadata_file_is_the_servers_fault(scene: Scene, fetch: HttpFetch) -> None:
    scene.release("1.0.0")
    (scene.metadata / "timestamp.json").unlink()
    with pytest.raises(NetworkError, match=r"timestamp\.json"):
        scene.ask(fetch, "1.0.0")


def test_a_device_without_a_root_says_so(scene: Scene, fetch: HttpFetch, tmp_path: Path) -> None:
    with pytest.raises(UntrustedError) as error:
        TrustStore(tmp_path / "new").refresh(fetch, clock=scene.clock())
    assert refused(error) is Reason.UNPINNED


def test_a_root_with_another_digest_is_not_pinned(scene: Scene, tmp_path: Path) -> None:
    store = TrustStore(tmp_path / "new")
    with pytest.raises(UntrustedError) as error:
        store.pin(scene.root, sha256="0" * 64)
    assert refused(error) is Reason.MISMATCH
    assert not (tmp_path / "new").exists()


def test_pinning_the_same_root_again_keeps_the_memory_of_versions(
    scene: Scene, fetch: HttpFetch
) -> None:
    scene.release("1.0.0")
    scene.ask(fetch, "1.0.0")
    before = {file.name for file in scene.index_files()}
    scene.device.pin(scene.root, sha256=digest(scene.root))
    assert {file.name for file in scene.index_files()} == before
