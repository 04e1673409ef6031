"""Is an int8 file of ours as fast as those that peers make, within one runtime and thread?

Five networks with random weights (the MobileNetV3-like one is trained briefly, for random ones do
not survive 8 bits), batch 1, real video frames or spoken digits as inputs. Every peer begins with
the same float file and the same samples, with its defaults, in an environment of its own (`make
bench-peers`; EDGEKIT_OLIVE, EDGEKIT_NNCF and EDGEKIT_QUANTIZER name the pythons). All files of one
runtime are measured in turns, A B B A, in one process, and opened anew four times; a ratio is ours
over the peer, of the rounds. Ours is the fastest int8 variant over its float file, for the profile
x86-64-vnni, as `edgekit convert` makes it; one that it leaves out as slower than float is compared
all the same. On OpenVINO our way is NNCF's own. What a proof refuses, or a peer cannot do, is a row
that says why.
EDGEKIT_BENCH_NETS chooses networks (recurrent,vit_tiny), and rows of the others stay as they were;
EDGEKIT_BENCH_FOLDER keeps their files for another run, which then only measures.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.int8_models import FAILED, NETS, Net, samples_of, write_case
from edgekit.bench import Effort, Result, measure, paired_ratio, summarize
from edgekit.manifest import ModelFormat
from edgekit.runtime import Tensor, open_session, openvino_file

QUESTION = "latency of int8 files within one runtime, one thread"
OURS = "edgekit"
SCRIPTS = Path(__file__).parent / "peers"
TIMEOUT_S = 900.0
_ROUNDS = 4
_EFFORT = Effort(warmup_runs=5, num_runs=15, min_secs=1.25)
# For each runtime: the format, the suffix of its files, and peers as (name, environment, script).
_RUNTIMES = {
    "ONNX Runtime": (
        ModelFormat.ONNX,
        "onnx",
        (
            ("plain quantize_static", "", "plain_int8"),
            ("Olive", "EDGEKIT_OLIVE", "olive_int8"),
            ("NNCF", "EDGEKIT_NNCF", "nncf_int8"),
        ),
    ),
    "LiteRT": (
        ModelFormat.TFLITE,
        "tflite",
        (("ai-edge-quantizer", "EDGEKIT_QUANTIZER", "quantizer_int8"),),
    ),
    "OpenVINO": (
        ModelFormat.OPENVINO,
        "xml",
        (("NNCF", "EDGEKIT_NNCF", "nncf_openvino"),),
    ),
}


def run(short: bool) -> list[Result]:
    """Measure; nothing where no peer is installed. The long form takes four times the rounds."""
    if not any(os.environ.get(peer[1]) for _, _, peers in _RUNTIMES.values() for peer in peers):
        return []
    kept = os.environ.get("EDGEKIT_BENCH_FOLDER")
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as apart:
        for net in _asked():
            folder = Path(kept or apart) / net.name
            make(net, folder)
            for runtime in _RUNTIMES:
                results += refused(net.title, runtime, folder)
                results += _measured(net, folder, runtime, short=short)
    return results


def _asked() -> list[Net]:
    wanted = os.environ.get("EDGEKIT_BENCH_NETS")
    return [NETS[name] for name in wanted.split(",")] if wanted else list(NETS.values())


def left_out(condition: str) -> bool:
    """Say whether a row is of a network that was not asked for."""
    titles = {net.title for net in NETS.values()} - {net.title for net in _asked()}
    return condition.partition(", ")[0] in titles


def make(net: Net, folder: Path) -> None:
    """Write our files and those of the peers that are installed, unless they are there."""
    write_case(net, folder)
    for _, suffix, peers in _RUNTIMES.values():
        for name, key, script in peers:
            python = os.environ.get(key) if key else sys.executable
            out = folder / f"{script}.{suffix}"
            tried = out.exists() or _failure(out).exists()
            if python and not tried and (folder / f"float.{suffix}").exists():
                _peer(name, [python, str(SCRIPTS / f"{script}.py")], folder, out)


def _peer(name: str, command: list[str], folder: Path, out: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    words = [str(folder / f"float{out.suffix}"), str(folder / "samples.npz"), str(out)]
    done = subprocess.run(
        [*command, *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        _failure(out).write_text(f"{name}: {last[:200]}")


def _failure(out: Path) -> Path:
    return out.with_name(f"{out.name}{FAILED}")


def refused(title: str, runtime: str, folder: Path) -> Iterator[Result]:
    """Yield a row for each way that made no file for a runtime: ours by its proof, or a peer's."""
    model_format, suffix, peers = _RUNTIMES[runtime]
    ours = folder / f"{model_format}{FAILED}"
    reasons = [ours.read_text()] if ours.is_file() else []
    if (folder / f"float.{suffix}").is_file():
        outs = [(folder / f"{script}.{suffix}", name, key) for name, key, script in peers]
        reasons += [_why_not(out, name, key) for out, name, key in outs if not out.is_file()]
    for reason in reasons:
        yield Result(
            question=QUESTION,
            candidate=reason,
            condition=f"{title}, {runtime}",
            summary=summarize([1.0], unit="refused"),
        )


def _why_not(out: Path, name: str, key: str) -> str:
    if _failure(out).is_file():
        return _failure(out).read_text()
    return f"{name}: not installed here ({key} names no python)"


def _measured(net: Net, folder: Path, runtime: str, *, short: bool) -> Iterator[Result]:
    model_format, suffix, peers = _RUNTIMES[runtime]
    files = {name: folder / f"{script}.{suffix}" for name, _, script in peers}
    ours = sorted(folder.glob(f"ours-*.{model_format}"))
    files = {OURS: ours[0] if ours else Path(), **files}
    files = {name: file for name, file in files.items() if file.is_file()}
    if OURS not in files or len(files) < 2:
        return
    found = _times_ms(files, model_format, samples_of(folder), rounds=_ROUNDS * (1 if short else 4))
    variant = ours[0].stem.removeprefix("ours-")
    for peer in [name for name in files if name != OURS]:
        condition = f"{net.title}, {runtime}, against {peer}"
        yield Result(
            question=QUESTION,
            candidate=peer,
            condition=condition,
            summary=summarize(found[peer], unit="ms"),
        )
        yield Result(
            question=QUESTION,
            candidate=f"{OURS}, {variant}",
            condition=condition,
            summary=summarize(found[OURS], unit="ms"),
            ratio=paired_ratio(found[OURS], found[peer], rng=np.random.default_rng(0)),
        )


def _times_ms(
    files: Mapping[str, Path], model_format: ModelFormat, inputs: list[Tensor], *, rounds: int
) -> dict[str, list[float]]:
    """Return latencies by name; every round opens all files anew, in the other order.

    Where a session's memory lies moves its latency by a hundredth for as long as it lives: one file
    against itself, opened once, measured 1.009 (1.005 to 1.012) times.
    """
    found: dict[str, list[float]] = {name: [] for name in files}
    order = list(files)
    for _ in range(rounds):
        order.reverse()
        runs = {name: _turns(files[name], model_format, inputs) for name in order}
        for name, values in measure(runs, _EFFORT).items():
            found[name] += values
    return found


def _turns(file: Path, model_format: ModelFormat, inputs: list[Tensor]) -> Callable[[], object]:
    if file.suffix == ".xml":
        packed = file.with_suffix(".openvino")
        packed.write_bytes(openvino_file.pack(*openvino_file.read(file)))
        file = packed
    session = open_session(file, model_format)
    return partial(session.run, inputs[:1])
