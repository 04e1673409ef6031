"""Slots: pointers that survive whatever happens during a trial."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from device_agent.slots import Pointers, Slots, SlotStore
from edgekit.bundle import Bundle, write_bundle
from edgekit.errors import BundleError, FormatError
from tests.manifests import PLAIN


def bundle(folder: Path, version: str) -> Bundle:
    manifest = replace(PLAIN, version=version)
    return write_bundle(folder / f"{version}.part", manifest, {"model.onnx": version.encode()})


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    return SlotStore(tmp_path / "models").of("digits")


def staged(slots: Slots, tmp_path: Path, version: str) -> str:
    one = bundle(tmp_path, version)
    slots.stage(one.path, one.sha256)
    return one.sha256


def test_staging_moves_the_download_and_may_be_repeated(slots: Slots, tmp_path: Path) -> None:
    one = bundle(tmp_path, "1")
    for _ in range(2):
        slots.stage(one.path, one.sha256)
    assert not one.path.exists()
    assert slots.holds(one.sha256)
    assert (slots.folder / one.sha256 / "files" / "model.onnx").read_bytes() == b"1"


def test_staging_without_a_download_is_an_error(slots: Slots, tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        slots.stage(tmp_path / "gone.part", "a" * 64)


def test_a_trial_leaves_the_active_bundle_where_it_was(slots: Slots, tmp_path: Path) -> None:
    one, two = staged(slots, tmp_path, "1"), staged(slots, tmp_path, "2")
    slots.commit(one)
    slots.begin_trial(two)
    assert slots.pointers() == Pointers(active=one, trial=two)
    assert slots.pointers().running == two
    slots.end_trial()
    assert slots.pointers() == Pointers(active=one)


def test_a_commit_keeps_the_bundle_before_and_may_be_repeated(slots: Slots, tmp_path: Path) -> None:
    one, two = staged(slots, tmp_path, "1"), staged(slots, tmp_path, "2")
    slots.commit(one)
    slots.begin_trial(two)
    for _ in range(2):
        slots.commit(two)
        assert slots.pointers() == Pointers(active=two, previous=one)


def test_only_bundles_without_a_part_are_collected(slots: Slots, tmp_path: Path) -> None:
    one, two, three = (staged(slots, tmp_path, v) for v in "123")
    slots.commit(one)
    slots.commit(two)
    slots.collect(keep=three)
    assert all(slots.holds(d) for d in (one, two, three))
    slots.collect()
    assert [slots.holds(d) for d in (one, two, three)] == [True, True, False]


def test_a_damaged_active_bundle_gives_way_to_the_previous(slots: Slots, tmp_path: Path) -> None:
    one, two = staged(slots, tmp_path, "1"), staged(slots, tmp_path, "2")
    slots.commit(one)
    slots.commit(two)
    slots.bundle_path(two).write_bytes(b"x")
    assert slots.forget_damaged() == one
    assert slots.pointers().active == one


def test_a_damaged_bundle_without_a_previous_one_is_not_served(
    slots: Slots, tmp_path: Path
) -> None:
    one = staged(slots, tmp_path, "1")
    slots.commit(one)
    slots.bundle_path(one).write_bytes(b"x")
    assert slots.forget_damaged() == ""


def test_damaged_pointers_are_an_error(slots: Slots, tmp_path: Path) -> None:
    slots.commit(staged(slots, tmp_path, "1"))
    (slots.folder / "slots.json").write_bytes(b"{")
    with pytest.raises(FormatError):
        slots.pointers()


@pytest.mark.parametrize("name", ["", "..", ".x", "a/b", "a\0"])
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleError):
        SlotStore(tmp_path).of(name)
