"""What a machine can run."""

from __future__ import annotations

import pytest

from device_agent.profile import instruction_sets, restricted
from edgekit.device import DeviceProfile
from edgekit.errors import UsageError

X86 = "processor\t: 0\nflags\t\t: fpu sse2 avx2 avx512_vnni\nprocessor\t: 1\nflags\t\t: fpu\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd aes asimddp\n"
PROFILE = DeviceProfile(runtimes={"litert": "2.3.0", "onnxruntime": "1.31.1"}, arch="x86_64")


@pytest.mark.parametrize(
    ("cpuinfo", "found"),
    [
        pytest.param(X86, ("avx2", "vnni"), id="x86"),
        pytest.param("flags : avx_vnni", ("vnni",), id="client-vnni"),
        pytest.param(ARM, ("dotprod", "neon"), id="arm"),
        pytest.param("", (), id="unknown"),
    ],
)
def test_extensions_that_matter_are_read_from_cpuinfo(cpuinfo: str, found: tuple[str, ...]) -> None:
    assert instruction_sets(cpuinfo) == found


def test_a_device_may_be_restricted_to_some_runtimes() -> None:
    assert restricted(PROFILE, ["litert"]).runtimes == {"litert": "2.3.0"}
    assert restricted(PROFILE, []) == PROFILE


def test_a_restriction_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="available: litert, onnxruntime"):
        restricted(PROFILE, ["tflite-runtime"])
