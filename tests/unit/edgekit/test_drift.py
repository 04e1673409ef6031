import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit import codec
from edgekit.divergence import chance_psi, js_distance, psi
from edgekit.drift import (
    CLASS,
    CONFIDENCE,
    DriftCounts,
    Features,
    count,
    drifts,
    features_of,
    parse_reference,
    reference_of,
)
from edgekit.errors import BundleError
from edgekit.manifest import Layout, Preprocessing

RNG = np.random.default_rng(5)
COUNTS = st.lists(st.integers(0, 1000), min_size=2, max_size=12).filter(sum)


def normal(count_: int, mean: float = 0.0, label: str = "a") -> list[Features]:
    return [Features(numbers={"x": float(v)}, label=label) for v in RNG.normal(mean, 1, count_)]


def test_an_image_is_described_channel_by_channel():
    image = np.stack([np.full((1, 4, 4), value, np.float32) for value in (1, 2, 3)], axis=1)
    scores = np.array([[0.1, 0.7, 0.2]], np.float32)
    spec = Preprocessing(height=4, width=4, channels=3)
    features = features_of([image], [scores], spec, ("cat", "dog", "cow"))
    assert [features.numbers[f"input.0.mean.{c}"] for c in range(3)] == [1, 2, 3]
    assert features.numbers["input.0.std.1"] == 0
    assert features.numbers[CONFIDENCE] == pytest.approx(0.7)
    assert features.label == "dog"


def test_channels_are_where_the_layout_says():
    image = np.zeros((1, 4, 4, 3), np.float32)
    image[..., 2] = 9
    spec = Preprocessing(height=4, width=4, channels=3, layout=Layout.NHWC)
    assert features_of([image], [], spec, ()).numbers["input.0.mean.2"] == 9


def test_a_tensor_and_an_output_without_classes_have_one_mean_each():
    features = features_of([np.ones((1, 8))], [np.full((1, 2, 2, 2), 4.0)], None, ())
    assert features.numbers == {
        "input.0.mean": 1, "input.0.std": 0, "output.0.mean": 4, "output.0.std": 0,
    }  # fmt: skip
    assert not features.label


def test_the_same_distribution_is_no_drift():
    reference = reference_of(normal(1000))
    assert not any(drift.drifted for drift in drifts(reference, count(reference, normal(500))))


def test_a_moved_distribution_is_drift():
    reference = reference_of(normal(1000))
    found = {d.name: d for d in drifts(reference, count(reference, normal(200, mean=1.5)))}
    assert found["x"].drifted
    assert found["x"].psi > 0.5
    assert not found[CLASS].drifted


def test_other_classes_are_drift():
    reference = reference_of([*normal(300), *normal(300, label="b")])
    counts = count(reference, normal(200, label="unheard of"))
    assert counts.classes == {"other": 200}
    assert {d.name: d.drifted for d in drifts(reference, counts)}[CLASS]


def test_few_samples_are_never_drift():
    reference = reference_of(normal(1000))
    assert not any(d.drifted for d in drifts(reference, count(reference, normal(29, mean=9))))


def test_a_value_beyond_everything_seen_and_one_that_is_no_number_have_bins_of_their_own():
    reference = reference_of(normal(100))
    odd = [Features(numbers={"x": value}) for value in (-1e9, 1e9, float("nan"))]
    counts = count(reference, odd).numbers["x"]
    assert (counts[0], counts[-1]) == (1, 2)
    assert reference.numbers["x"].counts[0] == reference.numbers["x"].counts[-1] == 0


def test_a_number_that_never_varied_has_one_bin():
    reference = reference_of([Features(numbers={"x": 3.0})] * 50)
    assert reference.numbers["x"].counts == (0, 50, 0)


def test_chance_exceeds_its_bound_about_once_in_a_thousand():
    rng = np.random.default_rng(1)
    even = [1 / 10] * 10
    beyond = sum(
        psi(rng.multinomial(2000, even).tolist(), rng.multinomial(2000, even).tolist())
        > chance_psi(2000, 2000, 10)
        for _ in range(4000)
    )
    assert beyond <= 15


@given(COUNTS)
def test_a_distribution_does_not_differ_from_itself(counts):
    assert psi(counts, counts) == 0
    assert js_distance(counts, counts) == pytest.approx(0, abs=1e-7)


@given(COUNTS, st.randoms())
def test_distances_are_symmetric_and_bounded(counts, random):
    other = random.sample(counts, len(counts))
    assert psi(counts, other) == pytest.approx(psi(other, counts))
    assert psi(counts, other) >= 0
    assert 0 <= js_distance(counts, other) <= 1 + 1e-9


def test_distributions_without_overlap_are_as_far_as_can_be():
    assert js_distance([5, 0], [0, 7]) == pytest.approx(1)
    assert js_distance([4, 0], [0.5, 0]) == pytest.approx(0)
    assert js_distance([0, 0], [1, 1]) == 0


def test_counts_merge_to_those_of_all_samples():
    reference = reference_of(normal(200))
    first, second = normal(40), normal(60, label="b")
    merged = count(reference, first).merged(count(reference, second))
    assert merged == count(reference, [*first, *second])
    assert DriftCounts().merged(merged) == merged


def test_a_reference_reads_back_as_written():
    reference = reference_of(normal(64))
    assert parse_reference(codec.encode(reference), where="drift.json") == reference


@pytest.mark.parametrize(
    "data",
    [
        b"no json",
        b'{"samples": 1, "numbers": {"x": {"cuts": [1], "counts": [1]}}}',
        b'{"samples": 1, "numbers": {"x": {"cuts": [2, 1], "counts": [1, 0, 0]}}}',
        b'{"samples": 1, "numbers": {}, "format_version": "2.0"}',
    ],
    ids=["text", "count", "order", "version"],
)
def test_a_damaged_reference_is_refused(data):
    with pytest.raises(BundleError):
        parse_reference(data, where="drift.json")
