"""Who takes part in a stage."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fleet_server.domain.assignment import (
    CELLS,
    Candidate,
    cell_of,
    cells_in_turn,
    choose_canaries,
    is_reachable,
    populations,
    share_of,
    takes_part,
)
from fleet_server.domain.evidence import Stratum
from fleet_server.domain.policy import Stage

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
INT8 = Stratum(variant="onnx-int8")
LITERT = Stratum(variant="tflite-int8")


def candidate(
    name: str, stratum: Stratum = INT8, *, site: str = "", baseline: int = 9, ago_s: float = 10
) -> Candidate:
    return Candidate(
        device_id=name,
        stratum=stratum,
        site=site,
        last_polled_at=NOW - timedelta(seconds=ago_s),
        poll_interval_s=60,
        baseline_windows=baseline,
    )


def choose(stage: Stage, candidates: list[Candidate], *chosen: str) -> frozenset[str]:
    return choose_canaries(stage, candidates, rollout_id="r1", now=NOW, chosen=frozenset(chosen))


def test_shares_are_spread_evenly_over_zero_to_one() -> None:
    shares = [share_of("r1", f"device-{i}") for i in range(20_000)]
    assert min(shares) >= 0
    assert max(shares) < 1
    tenths = Counter(int(share * 10) for share in shares)
    assert all(1850 < tenths[i] < 2150 for i in range(10))


def test_another_rollout_picks_other_devices() -> None:
    first = [share_of("r1", f"d{i}") < 0.1 for i in range(10_000)]
    second = [share_of("r2", f"d{i}") < 0.1 for i in range(10_000)]
    both = sum(a and b for a, b in zip(first, second, strict=True))
    assert 60 < both < 140


def test_the_share_of_a_device_is_a_stored_fact_and_never_changes() -> None:
    assert share_of("r1", "cam-1") == 0.8213593043583786
    assert share_of("r", "1cam-1") != share_of("r1", "cam-1")


def test_a_wider_stage_keeps_everybody_of_the_narrower_one() -> None:
    ids = [f"d{i}" for i in range(500)]
    narrow = {d for d in ids if takes_part(Stage(percent=5), d, rollout_id="r")}
    wide = {d for d in ids if takes_part(Stage(percent=50), d, rollout_id="r")}
    assert narrow < wide
    assert all(takes_part(Stage(percent=100), d, rollout_id="r") for d in ids)


def test_a_stage_by_number_has_the_chosen_devices_and_nobody_else() -> None:
    stage = Stage(devices=1)
    assert takes_part(stage, "a", rollout_id="r", chosen=frozenset({"a"}))
    assert not takes_part(stage, "b", rollout_id="r", chosen=frozenset({"a"}))


def test_chosen_devices_stay_in_a_stage_by_percent() -> None:
    unlucky = max((f"d{i}" for i in range(50)), key=lambda d: share_of("r", d))
    assert takes_part(Stage(percent=1), unlucky, rollout_id="r", chosen=frozenset({unlucky}))


@pytest.mark.parametrize(
    ("ago_s", "reachable"), [(0, True), (180, True), (181, False)], ids=["now", "three", "more"]
)
def test_a_device_is_reachable_within_three_poll_intervals(ago_s: float, reachable: bool) -> None:
    assert is_reachable(candidate("a", ago_s=ago_s), NOW) is reachable


def test_a_device_that_never_polled_is_not_reachable() -> None:
    never = Candidate(device_id="a", stratum=INT8, last_polled_at=None, poll_interval_s=60)
    assert not is_reachable(never, NOW)


def test_each_variant_gets_its_number() -> None:
    fleet = [candidate(f"a{i}") for i in range(9)] + [candidate(f"b{i}", LITERT) for i in range(3)]
    chosen = choose(Stage(devices_per_variant=2), fleet)
    assert Counter(device_id[0] for device_id in chosen) == {"a": 2, "b": 2}


def test_each_class_of_profile_gets_its_number() -> None:
    slow = Stratum(variant="onnx-int8", profile_class="cortex-a53")
    chosen = choose(Stage(devices_per_variant=1), [candidate("a"), candidate("b", slow)])
    assert chosen == {"a", "b"}


def test_a_number_is_spread_over_variants() -> None:
    fleet = [candidate(f"a{i}") for i in range(9)] + [candidate(f"b{i}", LITERT) for i in range(9)]
    chosen = choose(Stage(devices=4), fleet)
    assert Counter(device_id[0] for device_id in chosen) == {"a": 2, "b": 2}


def test_a_number_is_never_exceeded() -> None:
    fleet = [candidate("a"), candidate("b", LITERT)]
    assert len(choose(Stage(devices=1), fleet)) == 1


def test_sites_take_turns() -> None:
    fleet = [candidate(f"o{i}", site="osaka") for i in range(50)]
    fleet += [candidate(f"k{i}", site="kyoto") for i in range(2)]
    chosen = choose(Stage(devices_per_variant=4), fleet)
    assert Counter(device_id[0] for device_id in chosen) == {"o": 2, "k": 2}


def test_the_choice_does_not_depend_on_the_order_of_the_candidates() -> None:
    fleet = [candidate(f"a{i}", site=str(i % 3)) for i in range(30)]
    stage = Stage(devices_per_variant=5)
    assert choose(stage, fleet) == choose(stage, fleet[::-1])


def test_a_later_stage_keeps_the_chosen_and_fills_up() -> None:
    fleet = [candidate(f"a{i}") for i in range(9)]
    first = choose(Stage(devices_per_variant=2), fleet)
    second = choose(Stage(devices_per_variant=5), fleet, *first)
    assert first < second
    assert len(second) == 5
    assert choose(Stage(devices_per_variant=5), fleet, *second) == second


def test_unreachable_devices_are_not_chosen_and_chosen_ones_stay() -> None:
    fleet = [candidate("gone", ago_s=999), candidate("here")]
    assert choose(Stage(devices_per_variant=2), fleet) == {"here"}
    assert choose(Stage(devices_per_variant=1), fleet, "gone") == {"gone"}


def test_devices_without_a_baseline_are_chosen_only_in_a_first_install() -> None:
    new, old = candidate("new", baseline=0), candidate("old")
    assert choose(Stage(devices_per_variant=2), [new, old]) == {"old"}
    assert choose(Stage(devices_per_variant=2), [new]) == {"new"}


def test_a_share_that_leaves_a_variant_without_any_names_one() -> None:
    fleet = [candidate(f"a{i}") for i in range(400)] + [candidate("b0", LITERT)]
    stage = Stage(percent=5)
    assert not takes_part(stage, "b0", rollout_id="r1")
    assert choose(stage, fleet) == {"b0"}
    assert choose(Stage(percent=100), fleet) == frozenset()


def test_nobody_can_join() -> None:
    assert choose(Stage(devices_per_variant=1), []) == frozenset()


def test_populations_count_reachable_devices_by_stratum() -> None:
    fleet = [candidate("a"), candidate("b"), candidate("c", LITERT), candidate("d", ago_s=999)]
    counted = populations(fleet, NOW, takes=lambda candidate: candidate.device_id in {"a", "d"})
    assert [(p.stratum, p.reachable, p.taking_part) for p in counted] == [
        (INT8, 2, 1),
        (LITERT, 1, 0),
    ]


def test_one_of_a_sample_stands_for_several() -> None:
    fleet = [replace(candidate(f"d{i}"), stands_for=4.0) for i in range(10)] + [candidate("named")]
    (counted,) = populations(
        fleet, NOW, takes=lambda candidate: 1 if candidate.device_id == "named" else 0.1
    )
    assert (counted.reachable, counted.taking_part) == (41, 5)


def test_cells_part_a_fleet_evenly_and_every_rollout_begins_elsewhere() -> None:
    sizes = Counter(cell_of(f"d{i}") for i in range(20 * CELLS))
    assert len(sizes) == CELLS
    assert max(sizes.values()) < 60
    assert cell_of("cam-1") == 456
    first, second = cells_in_turn("r1"), cells_in_turn("r2")
    assert sorted(first) == sorted(second) == list(range(CELLS))
    assert first[:10] != second[:10]
    assert first == cells_in_turn("r1")


def test_a_larger_number_goes_first_to_the_variant_with_the_fewest() -> None:
    fleet = [candidate(f"a{i}") for i in range(5)] + [candidate(f"b{i}", LITERT) for i in range(5)]
    assert len(choose(Stage(devices=2), fleet, "a0") & {f"b{i}" for i in range(5)}) == 1
