"""The agent's settings: one frozen dataclass from TOML, and the layout of its folder.

Every default stands here. An unknown key is an error, so that a misspelt limit is not ignored.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from device_agent.maintenance import parse_span
from device_agent.probation import Budget
from edgekit import codec
from edgekit.errors import FormatError, StorageError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where samples come from that nobody sends: a folder or a video.

    Attributes:
        folder: Holds .npy arrays or images, replayed for ever.
        video: Path of a video file (replayed for ever), address of a stream, or the number of a
            camera; takes the place of a folder.
        rate_hz: Samples a second.
        model: Model that gets them; empty means whichever runs.
    """

    folder: str = ""
    video: str = ""
    rate_hz: float = 10.0
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of one agent.

    Attributes:
        poll_interval_s: How often to ask; None follows the server.
        window_s: Length of a telemetry window.
        upload_interval_s: How often windows are sent; None follows `window_s`.
        download_kb_s: Most bytes a second of a download, in thousands; 0 is no limit.
        maintenance: Times of the day, UTC, such as "22:00-04:30", in which a new release may be
            begun; empty allows any time. A way back is not bound to them.
        spool_mb: Most that unsent windows may take on disk; the oldest go first.
        inference_timeout_s: An inference that takes longer is a hang.
        load_timeout_s: Longest time for loading and the self-test together.
        deadline_ms: An answer that takes longer counts as late; 0 for no deadline.
        drain_s: Longest time that a replaced worker may take to finish.
        threads: Threads of the inference runtime.
        cores: Cores that workers may use, such as [2, 3]; empty for all that the agent may.
        memory_mb: Most that a worker may hold, MiB; one that holds more is replaced. 0 is no limit.
        runtimes: Use only these; empty uses all that work here.
        ports: Loopback port of a model; 0 or absent lets the system choose one, which is kept.
        attributes: Pairs that the device reports about itself.
        token_days: How old the device token may become before the agent asks for the next, days;
            0 keeps it.
        metrics_port: Loopback port that shows the status to Prometheus; 0 shows nothing.
        log_level: Lowest level that is logged.
        log_json: One JSON object a line.
        answers_share: Share of the requests with an id whose id and class are recorded, so that
            labels that come later can be compared; 0 records none.
        benchmark_busy_share: Share of all cores that may be busy when a benchmark begins.
        probation: What a candidate may do.
        source: Samples that nobody sends.
    """

    poll_interval_s: float | None = None
    window_s: float = 60.0
    upload_interval_s: float | None = None
    download_kb_s: float = 0.0
    maintenance: tuple[str, ...] = ()
    spool_mb: float = 64.0
    inference_timeout_s: float = 10.0
    load_timeout_s: float = 120.0
    deadline_ms: float = 0.0
    drain_s: float = 5.0
    threads: int = 1
    cores: tuple[int, ...] = ()
    memory_mb: float = 0.0
    runtimes: tuple[str, ...] = ()
    ports: dict[str, int] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)
    token_days: float = 90.0
    metrics_port: int = 0
    log_level: str = "INFO"
    log_json: bool = False
    answers_share: float = 0.0
    benchmark_busy_share: float = 0.5
    probation: Budget = field(default_factory=Budget)
    source: Source | None = None


POSITIVE = ("poll_interval_s", "window_s", "upload_interval_s", "spool_mb", "inference_timeout_s")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything lies in the agent's folder."""

    folder: Path

    @property
    def config(self) -> Path:
        """Settings, written by people."""
        return self.folder / "agent.toml"

    @property
    def identity(self) -> Path:
        """Who the device is, written at enrolment; holds the token, 0600."""
        return self.folder / "identity.json"

    @property
    def ca(self) -> Path:
        """Certificates of a private authority; absent means those of the system."""
        return self.folder / "ca.pem"

    @property
    def tested_on(self) -> Path:
        """What the committed bundles were tested on: runtimes and instruction sets."""
        return self.folder / "tested-on.json"

    @property
    def profile(self) -> Path:
        """What this machine can run, and what that was found under."""
        return self.folder / "profile.json"

    @property
    def trust(self) -> Path:
        """Folder of trusted metadata."""
        return self.folder / "trust"

    @property
    def journal(self) -> Path:
        """What the agent is doing."""
        return self.folder / "journal.json"

    @property
    def models(self) -> Path:
        """One folder a model with its slots."""
        return self.folder / "models"

    @property
    def downloads(self) -> Path:
        """Bytes that nobody has verified yet."""
        return self.folder / "downloads"

    @property
    def measuring(self) -> Path:
        """What a benchmark needs while it goes on; emptied after it and at every start."""
        return self.folder / "measuring"

    @property
    def spool(self) -> Path:
        """Windows that the server does not have yet."""
        return self.folder / "spool.sqlite"

    @property
    def diagnosis(self) -> Path:
        """Diagnose bundle that the server asked for, until it is sent."""
        return self.folder / "diagnosis.tar.gz"

    @property
    def status(self) -> Path:
        """What the running agent says about itself."""
        return self.folder / "status.json"

    @property
    def lock(self) -> Path:
        """Held by the running agent."""
        return self.folder / "agent.lock"


def load_config(path: Path) -> Config:
    """Read settings; a file that does not exist means all defaults.

    Raises:
        UsageError: No TOML, an unknown key, a value of the wrong type or out of range.
        StorageError: The file cannot be read.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Config()
    except OSError as error:
        raise StorageError(f"cannot be read ({error.strerror})", where=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"no valid TOML: {error}", where=str(path)) from error
    return parse_config(document, where=str(path))


def parse_config(document: dict[str, Any], *, where: str) -> Config:
    """Turn decoded TOML into settings.

    Raises:
        UsageError: An unknown key, a value of the wrong type or out of range.
    """
    _refuse_unknown(document, Config, where)
    _refuse_unknown(document.get("probation", {}), Budget, f"{where} [probation]")
    _refuse_unknown(document.get("source", {}), Source, f"{where} [source]")
    try:
        config = codec.convert(document, Config, where=where)
    except FormatError as error:
        raise UsageError(error.what, where=where) from error
    for name in POSITIVE:
        value = getattr(config, name)
        if value is not None and not value > 0:
            raise UsageError(f"{name} must be above 0", where=where)
    if config.source is not None and bool(config.source.folder) is bool(config.source.video):
        raise UsageError("source needs a folder or a video, and not both", where=where)
    if config.source is not None and not config.source.rate_hz > 0:
        raise UsageError("source.rate_hz must be above 0", where=where)
    for span in config.maintenance:
        parse_span(span)
    _check_worker(config, where)
    return config


def _check_worker(config: Config, where: str) -> None:
    if config.download_kb_s < 0:
        raise UsageError("download_kb_s must not be below 0", where=where)
    if config.memory_mb < 0:
        raise UsageError("memory_mb must not be below 0", where=where)
    if config.threads < 1:
        raise UsageError("threads must be at least 1", where=where)
    missing = sorted(set(config.cores) - os.sched_getaffinity(0))
    if missing:
        raise UsageError(f"cores: there is no core {', '.join(map(str, missing))}", where=where)


def _refuse_unknown(table: object, kind: type[Any], where: str) -> None:
    if not isinstance(table, dict):
        return
    known = {f.name for f in fields(kind)}
    unknown = sorted(set(table) - known)
    if unknown:
        raise UsageError(
            f"unknown key {', '.join(unknown)}",
            where=where,
            todo=f"known: {', '.join(sorted(known))}",
        )
