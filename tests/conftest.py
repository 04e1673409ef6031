"""What every test may ask for: published test data, and parts that are not always there.

A test marked `needs("docker")` is skipped where the part is absent. With EDGEKIT_CI=true such a
skip is a failure, so that what CI never ran is not mistaken for what passed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

CHECKOUT = Path(__file__).resolve().parent.parent
DATA_VARIABLE = "EDGEKIT_TEST_DATA"
CI_VARIABLE = "EDGEKIT_CI"
MARK = "needs"
FIRST = (
    "test_convert_again",
    "test_agent_kill",
    "test_server_survives",
    "test_convert_budget",
    "test_convert_preflight",
    "test_server_backup",
    "test_server_webhooks",
    "test_convert_openvino",
    "test_remote_benchmarks",
    "test_server_rollout",
    "test_agent_update",
    "test_install_tflite",
    "test_cli_readme",
    "test_install_agent",
    "test_agent_shadow",
    "test_convert_digits",
)
"""Files that take longest. Files run side by side, and one of minutes that begins last leaves the
other processes idle until it ends."""

# Hypothesis fails an example that takes 0.2 s, and that is a timed assertion.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {name: rank for rank, name in enumerate(FIRST)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(ranks)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers(MARK):
        part = str(mark.args[0])
        if shutil.which(part) is None:
            pytest.skip(f"needs {part}, which is not on this machine")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    in_ci = os.environ.get(CI_VARIABLE, "").lower() in {"1", "true"}
    if (
        report.skipped
        and in_ci
        and not hasattr(report, "wasxfail")
        and item.get_closest_marker(MARK)
    ):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where every part has to be there: {call.excinfo}"
    return report


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Return the folder with published models and data sets."""
    folder = Path(os.environ.get(DATA_VARIABLE) or CHECKOUT / ".." / "shared" / "data").resolve()
    if not folder.is_dir():
        pytest.skip(f"{DATA_VARIABLE} names no folder with test data")
    return folder
