"""A profile with measurements from its board is read by everything that reads profiles."""

from __future__ import annotations

from pathlib import Path

import pytest

from converters.profiles import reading
from converters.profiles.reading import read_profile, shipped
from edgekit.bench.measured import measured
from edgekit.cli.measured_profile import import_measured
from tests.unit.edgekit.bench_reports import file, report

GOOD = report(starts={"cold start": report().starts["load"]})


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_profile_is_measured_once_a_result_was_imported(tmp_path, name):
    board = tmp_path / "board.yaml"
    board.write_text((Path(reading.__file__).parent / f"{name}.yaml").read_text())
    assert read_profile(str(board)).known == "unmeasured"
    import_measured(board, measured(file(GOOD), accept_warnings=False))
    profile = read_profile(str(board))
    assert profile.targets == read_profile(name).targets
    (found,) = profile.measured
    assert found.digest == GOOD.digest
    assert profile.known == f"measured: {found.what} {found.median_ms:.3g} ms"
