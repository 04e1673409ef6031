from pathlib import Path

import pytest

from converters.declared import (
    read_labels,
    read_parameters,
    read_postprocessing,
    read_preprocessing,
)
from edgekit.errors import UsageError
from edgekit.manifest import Boxes, Postprocessing, Preprocessing, Task

AUDIO = (
    '"sample_rate_hz": 8000, "frame_length": 256, "hop_length": 80, "fft_size": 256,'
    '"mel_bands": 8, "fmax_hz": 4000'
)


def test_audio_is_declared_beside_the_rest():
    spec = read_preprocessing(f'{{"height": 9, "width": 8, "audio": {{{AUDIO}}}}}')
    assert spec.audio is not None
    assert (spec.audio.frame_length, spec.audio.fmax_hz, spec.audio.mfcc_count) == (256, 4000.0, 0)


def test_a_preprocessing_is_read_from_json_in_place():
    spec = read_preprocessing('{"height": 8, "width": 9, "scale": 0.5}')
    assert spec == Preprocessing(height=8, width=9, scale=0.5)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.json", '{"height": 8, "width": 8, "channels": 3, "mean": [0.1, 0.2, 0.3]}'),
        ("p.yaml", "height: 8\nwidth: 8\nchannels: 3\nmean: [0.1, 0.2, 0.3]\n"),
    ],
)
def test_a_preprocessing_is_read_from_a_file(tmp_path: Path, name: str, text: str):
    (tmp_path / name).write_text(text)
    spec = read_preprocessing(str(tmp_path / name))
    assert spec == Preprocessing(height=8, width=8, channels=3, mean=(0.1, 0.2, 0.3))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"height": 8, "width": 8, "scal": 1}', "unknown key scal"),
        ('{"height": 8}', "width"),
        ('{"height": 0, "width": 8}', "at least 1"),
        ('{"height": 8, "width": 8, "channels": 2}', "channels"),
        ('{"height": 8, "width": 8, "std": [0]}', "std"),
        ('{"height": 8, "width": 8, "mean": [1, 2]}', "mean"),
        ('{"height": 8, "width": 8, "scale": 0}', "scale"),
        ('{"height": 8, "width": 8, "resize": "squeeze"}', "resize"),
        (f'{{"height": 9, "width": 8, "audio": {{{AUDIO}, "hop": 1}}}}', "unknown key hop"),
        (f'{{"height": 9, "width": 9, "audio": {{{AUDIO}}}}}', "width 8"),
        (f'{{"height": 9, "width": 8, "audio": {{{AUDIO}, "log_floor": 0}}}}', "log_floor"),
        (f'{{"height": 9, "width": 8, "channels": 3, "audio": {{{AUDIO}}}}}', "channels 1"),
        ('{"height": 9, "width": 8, "audio": {}}', "sample_rate_hz"),
        ('{"height": 8,', "neither JSON nor YAML"),
        ("absent.json", "absent.json"),
    ],
)
def test_a_preprocessing_that_cannot_be_used_is_refused_with_the_reason(text: str, reason: str):
    with pytest.raises(UsageError, match=reason):
        read_preprocessing(text)


def test_labels_are_read_from_commas_or_from_lines(tmp_path: Path):
    (tmp_path / "labels.txt").write_text("cat\ndog, old\n\n")
    assert read_labels("cat,dog") == ("cat", "dog")
    assert read_labels(str(tmp_path / "labels.txt")) == ("cat", "dog, old")


@pytest.mark.parametrize("text", ["a,,b", "a,a", ""])
def test_labels_that_are_empty_or_there_twice_are_refused(text: str):
    with pytest.raises(UsageError):
        read_labels(text)


def test_a_postprocessing_is_read_from_json_in_place():
    spec = read_postprocessing('{"task": "detection", "boxes": "cxcywh", "score_threshold": 0.4}')
    assert spec == Postprocessing(task=Task.DETECTION, boxes=Boxes.CENTER, score_threshold=0.4)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"task": "guessing"}', "guessing"),
        ('{"threshold": 0.4}', "unknown key threshold"),
        ('{"score_threshold": 1.4}', "thresholds are 0 to 1"),
        ('{"max_detections": 0}', "at least 1"),
        ("[1]", "cannot read"),
    ],
)
def test_a_postprocessing_that_cannot_be_used_is_refused_with_the_reason(text: str, reason: str):
    with pytest.raises(UsageError, match=reason):
        read_postprocessing(text)


def test_parameters_are_a_schema_in_a_file(tmp_path: Path):
    file = tmp_path / "parameters.yaml"
    file.write_text("type: object\nproperties:\n  threshold: {type: number, maximum: 1}\n")
    assert read_parameters(str(file))["properties"]["threshold"] == {"type": "number", "maximum": 1}


def test_a_schema_that_says_more_than_devices_check_is_refused():
    with pytest.raises(UsageError, match="patternProperties"):
        read_parameters('{"type": "object", "patternProperties": {}}')
