from converters.choice import Candidate, Objective, pareto_front, preferences, ranked


def candidate(name: str, ms: float, size: int, accuracy: float | None = 0.9) -> Candidate:
    return Candidate(
        name=name,
        median_ms=ms,
        low_ms=0.98 * ms,
        high_ms=1.02 * ms,
        model_bytes=size,
        accuracy=accuracy,
    )


FLOAT = candidate("float", 8.0, 400, 0.95)
INT8 = candidate("int8", 4.0, 100, 0.94)
WIDE = candidate("wide", 6.0, 150, 0.93)


def test_what_another_beats_in_every_respect_is_not_on_the_front():
    assert pareto_front([FLOAT, INT8, WIDE]) == ("float", "int8")


def test_equal_variants_do_not_beat_each_other():
    assert pareto_front([INT8, candidate("twin", 4.0, 100, 0.94)]) == ("int8", "twin")


def test_a_latency_that_cannot_be_told_apart_is_no_reason():
    almost = candidate("almost", 4.05, 90, 0.94)
    assert pareto_front([INT8, almost]) == ("almost",)


def test_the_fastest_is_picked_and_among_equals_the_smallest():
    almost = candidate("almost", 4.05, 90)
    assert ranked([FLOAT, INT8, WIDE, almost], Objective.LATENCY) == (
        "almost",
        "int8",
        "wide",
        "float",
    )


def test_the_smallest_is_picked_and_among_equals_the_fastest():
    twin = candidate("twin", 3.0, 100)
    assert ranked([FLOAT, INT8, WIDE, twin], Objective.SIZE) == ("twin", "int8", "wide", "float")


def test_accuracy_that_was_not_measured_decides_nothing():
    assert pareto_front([candidate("a", 4, 100, None), candidate("b", 8, 90, None)]) == ("a", "b")


def test_the_first_gets_the_highest_preference_above_those_of_recipes():
    found = preferences(("int8", "float"))
    assert found["int8"] > found["float"] > 20
