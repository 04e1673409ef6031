from __future__ import annotations

import pytest

from edgekit.cli.rollout_file import MAX_BYTES, parse_stage, read_rollout, rollout_from_flags
from edgekit.client.wire.rollouts import NewRollout
from edgekit.errors import FormatError, StorageError, UsageError


def test_a_file_holds_the_release_and_the_policy(tmp_path):
    file = tmp_path / "rollout.yaml"
    file.write_text('model: digits\nversion: "1.10"\nstages:\n  - {percent: 100}\non_fail: pause\n')
    assert read_rollout(file) == NewRollout(
        model="digits", version="1.10", policy={"stages": [{"percent": 100}], "on_fail": "pause"}
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: digits\n", "lacks 'version'"),
        ("model: digits\nversion: 1.10\n", "'version' is no text; put it into quotes"),
        ("- a\n", "is no mapping"),
        ("", "is no mapping"),
        ("a: [1\nb: 2\n", "is not YAML: .* in line 2"),
        ("!!python/object:os.system {}", "is not YAML"),
        ("\x00", "is not YAML"),
    ],
)
def test_a_file_that_is_none_names_itself_and_the_reason(tmp_path, text, message):
    file = tmp_path / "rollout.yaml"
    file.write_text(text)
    with pytest.raises(FormatError, match=rf"rollout\.yaml: {message}"):
        read_rollout(file)


def test_a_file_that_is_not_there_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="No such file"):
        read_rollout(tmp_path / "absent.yaml")


def test_a_file_of_any_size_is_not_read(tmp_path):
    file = tmp_path / "rollout.yaml"
    file.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(FormatError, match="too large"):
        read_rollout(file)


@pytest.mark.parametrize(
    ("word", "stage"),
    [
        ("1/variant", {"devices_per_variant": 1}),
        ("5", {"devices": 5}),
        ("50%", {"percent": 50.0}),
        ("12.5%:30m", {"percent": 12.5, "bake_s": 1800.0}),
        ("1/variant:90s", {"devices_per_variant": 1, "bake_s": 90.0}),
    ],
)
def test_a_stage_is_a_word(word, stage):
    assert parse_stage(word) == stage


@pytest.mark.parametrize("word", ["", "all", "50%%", "1/device", "-1", "5:", "50%:soon"])
def test_a_word_that_is_no_stage_is_refused(word):
    with pytest.raises(UsageError):
        parse_stage(word)


def test_flags_say_the_same_as_a_file():
    made = rollout_from_flags(
        model="digits",
        version="1.0.0",
        stages=["1/variant", "100%"],
        selector=["site=berlin"],
        gate=["margin=0.2", "mode=must_not_fail"],
    )
    assert made.policy == {
        "stages": [{"devices_per_variant": 1}, {"percent": 100.0}],
        "selector": {"site": "berlin"},
        "gate": {"margin": 0.2, "mode": "must_not_fail"},
    }


def test_without_a_release_there_is_no_rollout():
    with pytest.raises(UsageError, match="--model"):
        rollout_from_flags(model="", version="1", stages=[], selector=[], gate=[])
