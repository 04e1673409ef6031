"""tflite-runtime 2.14 in an environment of its own: TFLite bundles compute there what was proven.

The environment is `.venv-tflite` in the checkout, made once for a set of pins.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.integration.installing import CHECKOUT, make_venv, pip_install, requirements, run, stamp

pytestmark = [pytest.mark.integration, pytest.mark.slow]
CONSTRAINTS = CHECKOUT / "device_agent" / "constraints-agent-tflite.txt"
CHECK = """
import json, sys, tempfile
from pathlib import Path
from edgekit.bundle import open_bundle
from edgekit.golden import check_golden, read_golden
from edgekit.runtime import available_runtimes, open_session
bundle = open_bundle(Path(sys.argv[1]))
with tempfile.TemporaryDirectory() as folder:
    bundle.extract(Path(folder))
    session = open_session(Path(folder) / bundle.manifest.file, bundle.manifest.format)
    largest = check_golden(session, read_golden(bundle), bundle.manifest)
print(json.dumps({"runtimes": available_runtimes(), "ran": session.runtime, "largest": largest}))
"""


VARIANTS = ("tflite-fp32", "tflite-int8")


@pytest.fixture(scope="module")
def tflite_python() -> Path:
    """Install the requirements of the extra; EdgeKit itself is run from the checkout."""
    pins = requirements("agent-tflite")
    folder = CHECKOUT / ".venv-tflite"
    made = folder / f"made-{stamp(*pins, CONSTRAINTS.read_text())}"
    if not made.exists():
        shutil.rmtree(folder, ignore_errors=True)
        pip_install(make_venv(folder), "--constraint", str(CONSTRAINTS), *pins)
        made.touch()
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Convert a small network to both TFLite variants, in a process of its own."""
    folder = tmp_path_factory.mktemp("tflite")
    images = np.random.default_rng(0).integers(0, 17, (120, 8, 8), dtype=np.uint8)
    np.savez(folder / "held-out.npz", images=images[:60], labels=np.arange(60) % 10)
    np.savez(folder / "calibration.npz", images=images[60:])
    words = [sys.executable, "-m", "edgekit.cli", "convert"]
    words += ["tests.integration.convert_models:tiny", "--model", "m", "--version", "1"]
    words += ["--preprocessing", '{"height": 8, "width": 8, "scale": 0.0625}']
    words += ["--evaluation", str(folder / "held-out.npz"), "--out", str(folder / "out")]
    words += ["--calibration", str(folder / "calibration.npz")]
    words += ["--target", ",".join(VARIANTS), "--allow-slower"]
    done = subprocess.run(
        words, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return folder / "out"


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_old_runtime_reproduces_the_golden_samples(
    tflite_python: Path, bundles: Path, variant: str
):
    told = json.loads(_in(tflite_python, CHECK, str(bundles / f"m-1-{variant}.bundle")))
    assert told["runtimes"] == {"tflite-runtime": "2.14.0"}
    assert told["ran"] == "tflite-runtime"
    assert told["largest"] < 0.1


def test_the_agent_s_command_starts_beside_the_old_runtime(tflite_python: Path):
    start = "import sys; from device_agent.__main__ import main; sys.exit(main(['--help']))"
    assert "edgekit-agent" in _in(tflite_python, start)


def _in(python: Path, program: str, *arguments: str) -> str:
    setup = f"import sys; sys.path.insert(0, {str(CHECKOUT)!r})\n"
    return run([str(python), "-c", setup + program, *arguments])
