from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from edgekit.bench import save_latency
from edgekit.bench.measured import measured, merged
from edgekit.cli import main
from edgekit.cli.measured_profile import import_measured
from edgekit.errors import FormatError, InconclusiveError
from tests.unit.edgekit.bench_reports import file, report

START = {"cold start": report().starts["load"]}
GOOD = report(starts=START)
HAND_WRITTEN = "# my board\nname: pi\nunmeasured: true\nthreads: 4  # all of them\n"


def test_a_profile_keeps_the_numbers_and_where_they_come_from():
    (found,) = measured(file(GOOD), accept_warnings=False)
    assert (found.what, found.digest, found.cold_start_ms) == ("digits<1>.bundle", "ab" * 32, 4.0)
    assert found.p90_ms == GOOD.inference.p90


def test_what_something_speaks_against_is_refused_or_keeps_its_warnings():
    bad = file(replace(GOOD, threads=4))
    with pytest.raises(InconclusiveError, match="4 threads shared 2 cores"):
        measured(bad, accept_warnings=False)
    assert measured(bad, accept_warnings=True)[0].warnings == ("4 threads shared 2 cores",)


def test_a_new_measurement_replaces_that_of_the_same_file_and_setting():
    old = measured(file(GOOD, replace(GOOD, threads=1)), accept_warnings=False)
    new = (replace(old[0], median_ms=1.0),)
    assert [(m.threads, m.median_ms) for m in merged(old, new)] == [
        (2, 1.0),
        (1, old[1].median_ms),
    ]


def test_what_the_author_wrote_stays_and_the_profile_is_measured(tmp_path):
    profile, result = tmp_path / "pi.yaml", tmp_path / "r.json"
    profile.write_text(HAND_WRITTEN)
    save_latency(result, file(GOOD))
    for _ in range(2):
        assert main(["bench", "import", str(result), "--profile", str(profile)]) == 0
    text = profile.read_text()
    assert text.startswith("# my board\nname: pi\nthreads: 4  # all of them\n")
    found = yaml.safe_load(text)
    assert "unmeasured" not in found
    assert [m["digest"] for m in found["measured"]] == ["ab" * 32]


def test_a_profile_that_is_not_there_is_begun(tmp_path):
    kept = import_measured(tmp_path / "new.yaml", measured(file(GOOD), accept_warnings=False))
    assert len(kept) == 1
    assert yaml.safe_load((tmp_path / "new.yaml").read_text())["measured"]


def test_a_spoiled_profile_is_an_error_and_stays(tmp_path):
    profile = tmp_path / "pi.yaml"
    profile.write_text("# Written by: edgekit bench import\nmeasured: [{what: 3}]\n")
    with pytest.raises(FormatError):
        import_measured(profile, ())
    assert "what: 3" in profile.read_text()
