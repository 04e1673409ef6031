"""What the agent is doing, on disk before it does it.

One JSON file, replaced by write, fsync, rename, fsync of the folder. Decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from device_agent.states import State
from edgekit import codec
from edgekit.durable import write_durably
from edgekit.errors import FormatError
from edgekit.protocol import DeploymentKind, Outcome, Reason
from edgekit.shadow import ShadowOrder, ShadowResult

FORMAT_VERSION = "1.0"
FORMAT_MAJOR = 1
MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What the server asked for.

    Attributes:
        action: The server's number of it.
        kind: Update, or a way back.
        model: Name of the model.
        version: Version of the release.
        variant: Name of the variant.
        target: Path under which trust metadata lists the bundle.
        digest: SHA-256 of the bundle; from AUTHORIZING on the signed one.
        size: Length in bytes; from AUTHORIZING on the signed one.
        url: Where the server keeps the bytes.
        answer_url: Where the server takes feedback.
        deltas: Where deltas to the bundle lie, by the SHA-256 of the bundle that they begin at.
        shadow: It shall answer nobody, only be tried so; None installs it.
        mirror: Where the bytes lie besides, on a server that is not ours; empty for nowhere.
    """

    action: str
    kind: DeploymentKind
    model: str
    version: str
    variant: str
    target: str
    digest: str
    size: int
    url: str
    answer_url: str
    deltas: dict[str, str] = field(default_factory=dict)
    shadow: ShadowOrder | None = None
    mirror: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a deployment ended.

    Attributes:
        action: The server's number of it.
        version: Version that was asked for.
        outcome: How it ended.
        reason: Why it did not end in a commit.
        message: The same as a sentence.
        digest: SHA-256 of what runs now; empty when nothing does.
        shadow: What was found, if it was tried without answering.
    """

    action: str
    version: str
    outcome: Outcome
    reason: Reason = Reason.NONE
    message: str = ""
    digest: str = ""
    shadow: ShadowResult | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The journal's content.

    Attributes:
        state: What the agent is about to do.
        boot_id: Boot in which it was written.
        visits: Entries made for this deployment, restarts included.
        deployment: What is being done; None at rest.
        ending: How it ended, once that is known; goes to the server in REPORTING.
        last: The ending before, for people who ask.
        format_version: Of this file, "major.minor".
    """

    state: State = State.IDLE
    boot_id: str = ""
    visits: int = 0
    deployment: Deployment | None = None
    ending: Ending | None = None
    last: Ending | None = None
    format_version: str = FORMAT_VERSION

    def current(self) -> Deployment:
        """Return the deployment that is being done.

        Raises:
            FormatError: There is none, though the state needs one.
        """
        if self.deployment is None:
            raise FormatError(f"state {self.state} without a deployment", where="journal")
        return self.deployment


class Journal:
    """The file that holds a `Record`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, record: Record) -> None:
        """Replace the content; durable on return.

        Raises:
            StorageError: No room or no permission; the old content is still there.
        """
        write_durably(self.path, codec.encode(record))

    def read(self) -> Record:
        """Return the content; a journal that does not exist is at rest.

        Raises:
            FormatError: It is damaged, or of an unknown major version.
        """
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return Record()
        except OSError as error:
            raise FormatError(f"cannot be read ({error.strerror})", where=str(self.path)) from error
        if len(data) > MAX_BYTES:
            raise FormatError("is too large", where=str(self.path))
        record = codec.decode(data, Record, where=str(self.path))
        codec.check_major(record.format_version, FORMAT_MAJOR, where=str(self.path))
        return record

    def set_aside(self) -> None:
        """Keep a damaged journal under another name for people to look at."""
        self.path.replace(self.path.with_suffix(".damaged"))
