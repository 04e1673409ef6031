"""Every error that EdgeKit raises on purpose, split by who must act.

    EdgeKitError                 1   a check said no, or something else went wrong
    |-- BudgetError              1   the author of the model: a loss beyond what was allowed
    |   `-- ParityError          1   the author of the model: beyond the tolerance of a precision
    |-- UsageError               2   the person at the keyboard: an argument or a configuration
    |-- InconclusiveError        3   nobody yet: there is too little evidence to say
    |-- SourceError             10   the author of the model: it cannot be loaded or captured
    |-- DataError               11   the owner of the data: calibration or evaluation data
    |-- TargetError             12   the author of the model: a target cannot express it
    |-- ProofError              13   the author of the model: a golden sample, a proof of nothing
    |-- FormatError             14   the writer of a file or message that is not what it says
    |   `-- BundleError         14   the writer of a bundle
    |-- TrustError              15   the holder of the keys: a signature, a digest, an expiry
    |-- MissingExtraError       16   the person who installed EdgeKit: a dependency is absent
    |-- RuntimeFailedError      17   the device: an inference runtime refused or crashed
    |-- NetworkError            20   the network: an address that does not answer
    |-- RefusedError            21   the operator: the server said no (401, 403, 404, 422)
    |-- ConflictError           22   the operator: somebody else was first
    |-- PortInUseError          23   the operator: another process listens there
    `-- StorageError            24   the operator: a disk without room or without permission

The number is the exit code of the command that ends with the error. Codes are never reused.
Code 70 is a bug in EdgeKit and comes with a traceback.
"""

from __future__ import annotations

from typing import ClassVar


class EdgeKitError(Exception):
    """An error with one clear line: where, what, and what to do.

    Attributes:
        what: What is wrong, a clause without a full stop.
        where: File, device, address or step that it is about; empty when there is none.
        todo: What the reader can do about it; empty when nothing sensible is known.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, where: str = "", todo: str = "") -> None:
        self.what = what
        self.where = where
        self.todo = todo
        line = f"{where}: {what}" if where else what
        super().__init__(f"{line}; {todo}" if todo else line)


class BudgetError(EdgeKitError):
    """A variant loses more than the engineer allowed; there is no bundle."""


class ParityError(BudgetError):
    """A variant is beyond the tolerance of its precision: it computes something else."""


class UsageError(EdgeKitError):
    """An argument or a configuration value cannot be used."""

    exit_code = 2


class InconclusiveError(EdgeKitError):
    """There is too little evidence for an answer."""

    exit_code = 3


class SourceError(EdgeKitError):
    """A model source cannot be loaded or captured."""

    exit_code = 10


class DataError(EdgeKitError):
    """Calibration or evaluation data cannot be used."""

    exit_code = 11


class TargetError(EdgeKitError):
    """A target cannot express the model."""

    exit_code = 12


class ProofError(EdgeKitError):
    """A golden sample does not reproduce, or a source answers what can prove nothing."""

    exit_code = 13


class FormatError(EdgeKitError):
    """A file or message is not what it claims to be, or of an unknown major version."""

    exit_code = 14


class BundleError(FormatError):
    """A bundle is truncated, altered or of an unknown major version."""


class TrustError(EdgeKitError):
    """A signature, digest, version or expiry date speaks against a file."""

    exit_code = 15


class MissingExtraError(EdgeKitError):
    """An optional dependency is not installed."""

    exit_code = 16

    def __init__(self, package: str, extra: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(
            f"this needs {package!r}, which is not installed",
            todo=f"run: pip install 'edgekit[{extra}]'",
        )


class RuntimeFailedError(EdgeKitError):
    """An inference runtime refused a model or failed while running it."""

    exit_code = 17


class NetworkError(EdgeKitError):
    """An address does not answer, or answers something that is no answer."""

    exit_code = 20


class RefusedError(EdgeKitError):
    """A server understood the request and said no."""

    exit_code = 21


class ConflictError(EdgeKitError):
    """Somebody else was first, or it is already there with other content."""

    exit_code = 22


class PortInUseError(EdgeKitError):
    """Another process listens on the address."""

    exit_code = 23


class StorageError(EdgeKitError):
    """A file cannot be written or read: no room, no permission, a broken disk."""

    exit_code = 24
