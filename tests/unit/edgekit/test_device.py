from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from edgekit.device import (
    DeviceProfile,
    Requirements,
    RuntimeRange,
    fits,
    mismatch,
    pick_variant,
    version_key,
)

PROFILE = DeviceProfile(
    runtimes={"onnxruntime": "1.31.1"}, arch="x86_64", instruction_sets=("avx2",), memory_mb=512
)


@dataclass(frozen=True)
class Variant:
    variant: str
    requires: Requirements


def needs(runtime: str, minimum: str = "0", **rest: object) -> Requirements:
    return Requirements(runtimes=(RuntimeRange(name=runtime, minimum=minimum),), **rest)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("requires", "reason"),
    [
        (needs("onnxruntime", "1.20"), ""),
        (needs("onnxruntime", "1.31.1"), ""),
        (
            needs("onnxruntime", "1.32"),
            "needs onnxruntime >= 1.32, the device has onnxruntime 1.31.1",
        ),
        (needs("litert"), "needs litert >= 0, the device has onnxruntime 1.31.1"),
        (needs("onnxruntime", instruction_sets=("avx2",)), ""),
        (
            needs("onnxruntime", instruction_sets=("avx2", "vnni")),
            "needs the instruction sets vnni",
        ),
        (needs("onnxruntime", agent="0.9"), "needs agent >= 0.9, the device has 0"),
        (needs("onnxruntime", memory_mb=512), ""),
        (needs("onnxruntime", memory_mb=513), "needs 513 MiB, the device has 512"),
    ],
)
def test_a_mismatch_says_what_is_missing(requires, reason):
    assert mismatch(requires, PROFILE) == reason
    assert fits(requires, PROFILE) == (not reason)


def test_any_one_of_several_runtimes_is_enough():
    either = Requirements(runtimes=(RuntimeRange(name="litert"), RuntimeRange(name="onnxruntime")))
    assert fits(either, PROFILE)


def test_a_device_that_does_not_say_its_memory_is_not_refused_for_it():
    profile = DeviceProfile(runtimes={"onnxruntime": "1"}, arch="x86_64")
    assert fits(needs("onnxruntime", memory_mb=4096), profile)


def test_the_most_preferred_variant_that_fits_is_picked():
    plain = Variant("onnx-fp32", needs("onnxruntime"))
    better = Variant("onnx-int8", needs("onnxruntime", preference=10))
    best = Variant("tflite-int8", needs("litert", preference=20))
    assert pick_variant([plain, best, better], PROFILE) is better


def test_ties_are_broken_by_name_in_any_order():
    one, two = Variant("a", needs("onnxruntime")), Variant("b", needs("onnxruntime"))
    assert pick_variant([two, one], PROFILE) is pick_variant([one, two], PROFILE) is one


def test_nothing_is_picked_when_nothing_fits():
    assert pick_variant([Variant("t", needs("litert"))], PROFILE) is None


@pytest.mark.parametrize(
    ("low", "high"), [("1.9", "1.10"), ("2.13.0", "2.13.1"), ("1", "1.0.1"), ("", "0")]
)
def test_versions_compare_by_their_numbers(low, high):
    assert version_key(low) < version_key(high)


def test_what_follows_the_numbers_is_ignored():
    assert version_key("2.13.0+cpu") == version_key("2.13.0") == (2, 13, 0)
    assert version_key("1.20rc1") == (1, 20)


def test_a_version_of_endless_digits_is_a_number():
    assert version_key("1." + "9" * 5000) == (1, 10**18 - 1)


def test_a_usual_profile_is_sound():
    assert PROFILE.is_sound


@pytest.mark.parametrize(
    "change",
    [
        {"runtimes": {str(number): "1" for number in range(200)}},
        {"runtimes": {"onnxruntime": "1" * 129}},
        {"runtimes": {"o" * 129: "1"}},
        {"arch": "a" * 129},
        {"agent_version": "1" * 129},
        {"instruction_sets": ("avx2",) * 300},
        {"features": ("f" * 129,)},
        {"providers": ("p" * 129,)},
        {"memory_mb": -1},
        {"cpu_count": 1 << 31},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_profile_that_no_device_has_is_not_sound(change):
    assert not replace(PROFILE, **change).is_sound
