"""The device's side of DDI v1 and of EdgeKit's additional links. No decision is taken here."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from device_agent.identity import Identity
from device_agent.journal import Deployment, Ending
from device_agent.transport import Transport
from edgekit import codec, zstd
from edgekit.device import DeviceProfile
from edgekit.errors import FormatError
from edgekit.jobs import (
    DIAGNOSIS_TYPE,
    BenchmarkAnswer,
    BenchmarkJob,
    DiagnosisFailure,
    ParametersAnswer,
    ParametersAnswers,
    ParametersOrder,
    ParametersOrders,
)
from edgekit.protocol import (
    LINK_BENCHMARK,
    LINK_DELTA,
    LINK_DIAGNOSIS,
    LINK_MIRROR,
    LINK_PARAMETERS,
    LINK_PROFILE,
    LINK_TELEMETRY,
    LINK_TOKEN,
    LINK_TRUST,
    META_KIND,
    META_MODEL,
    META_SHADOW,
    META_TARGET,
    META_VARIANT,
    META_VERSION,
    RUNNING_HEADER,
    Chunk,
    ControllerBase,
    DeploymentBase,
    DeploymentKind,
    EdgeKitStatus,
    Execution,
    Feedback,
    Finished,
    Outcome,
    Result,
    Status,
    TelemetryBatch,
    TelemetryReceipt,
    parse_sleep,
    running_header,
)
from edgekit.shadow import ShadowOrder, ShadowResult

_LEVEL = 9
JSON = {"Content-Type": "application/json"}
MAX_DETAIL = 500
_ACTION = re.compile(r"[0-9]{1,18}")
_TOKEN = re.compile(r"[!-~]{16,512}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _NextToken:
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """The answer to a poll.

    Attributes:
        sleep_s: When the server wants the next one.
        links: Address by relation.
    """

    sleep_s: float
    links: dict[str, str]

    @property
    def deployment(self) -> str:
        """Address of something to install; empty for nothing."""
        return self.links.get("deploymentBase", "")

    @property
    def cancel(self) -> str:
        """Address of something to stop; empty for nothing."""
        return self.links.get("cancelAction", "")

    @property
    def config_data(self) -> str:
        """Where attributes are wanted; empty when they are not."""
        return self.links.get("configData", "")

    @property
    def profile(self) -> str:
        """Where the profile is taken."""
        return self.links.get(LINK_PROFILE, "")

    @property
    def trust(self) -> str:
        """Folder of the trust metadata."""
        return self.links.get(LINK_TRUST, "")

    @property
    def benchmark(self) -> str:
        """Address of something to measure; empty for nothing."""
        return self.links.get(LINK_BENCHMARK, "")

    @property
    def parameters(self) -> str:
        """Where the parameters of models are; another address when they are others."""
        return self.links.get(LINK_PARAMETERS, "")

    @property
    def diagnosis(self) -> str:
        """Where a diagnose bundle is wanted; empty when it is not."""
        return self.links.get(LINK_DIAGNOSIS, "")

    @property
    def token(self) -> str:
        """Where the next device token is given; empty when it is not."""
        return self.links.get(LINK_TOKEN, "")

    @property
    def telemetry(self) -> str:
        """Where windows are taken."""
        return self.links.get(LINK_TELEMETRY, "")


class Ddi:
    """What a device says to its server. Every method raises as `Transport.request` does."""

    def __init__(self, transport: Transport, identity: Identity) -> None:
        self.transport = transport
        self._identity = identity
        self._takes_zstd = False

    def poll(self, running: Mapping[str, str]) -> Poll:
        """Ask what to do, saying what runs (digest by model).

        Raises:
            FormatError: The answer is not DDI.
        """
        url = self._identity.base_url
        headers = {RUNNING_HEADER: running_header(dict(running))}
        answer = self.transport.request("GET", url, headers=headers)
        base = codec.decode(answer.body, ControllerBase, where=url)
        links = {relation: link.href for relation, link in base.links.items()}
        return Poll(sleep_s=parse_sleep(base.config.polling.sleep), links=links)

    def deployment(self, url: str) -> Deployment:
        """Read what to install.

        Raises:
            FormatError: The answer is not DDI, or nothing that this agent can install.
        """
        answer = self.transport.request("GET", url)
        base = codec.decode(answer.body, DeploymentBase, where=url)
        if not _ACTION.fullmatch(base.id) or len(base.deployment.chunks) != 1:
            raise FormatError("needs a numeric id and exactly one chunk", where=url)
        return _deployment(base.id, base.deployment.chunks[0], self._feedback_url(base.id), url)

    def proceeding(
        self,
        deployment: Deployment,
        state: str,
        detail: str,
        *,
        shadow: ShadowResult | None = None,
    ) -> None:
        """Say how far a deployment is.

        Raises:
            GoneError: The server has closed it.
        """
        self._feedback(
            deployment.answer_url,
            Status(
                execution=Execution.PROCEEDING,
                result=Result(finished=Finished.NONE),
                details=(detail[:MAX_DETAIL],),
                edgekit=EdgeKitStatus(state=state, shadow=shadow),
            ),
        )

    def closed(self, deployment: Deployment, ending: Ending) -> None:
        """Say how a deployment ended.

        Raises:
            GoneError: The server has closed it, perhaps by an earlier try of this.
        """
        good = ending.outcome in {Outcome.COMMITTED, Outcome.UNEXERCISED, Outcome.SHADOWED}
        self._feedback(
            deployment.answer_url,
            Status(
                execution=Execution.CLOSED,
                result=Result(finished=Finished.SUCCESS if good else Finished.FAILURE),
                details=(
                    f"{ending.outcome} {ending.reason} {ending.message}"[:MAX_DETAIL].strip(),
                ),
                edgekit=EdgeKitStatus(
                    outcome=ending.outcome,
                    reason=ending.reason,
                    digest=ending.digest,
                    shadow=ending.shadow,
                ),
            ),
        )

    def agree_to_cancel(self, url: str) -> None:
        """Close what the server wants to stop; nothing of it has begun."""
        action = action_of(url)
        self._feedback(
            f"{self._identity.base_url}/cancelAction/{action}/feedback",
            Status(execution=Execution.CLOSED, result=Result(finished=Finished.SUCCESS)),
        )

    def put_attributes(self, url: str, attributes: Mapping[str, str]) -> None:
        """Report attributes."""
        body = codec.encode({"mode": "merge", "data": dict(attributes)})
        self.transport.request("PUT", url, body=body, headers=JSON)

    def put_profile(self, url: str, profile: DeviceProfile) -> None:
        """Report what the device can run."""
        self.transport.request("PUT", url, body=codec.encode(profile), headers=JSON)

    def send_windows(self, url: str, batch: TelemetryBatch) -> TelemetryReceipt:
        """Send windows, compressed; the receipt names those that may be forgotten.

        By gzip, until an answer says that the server takes zstd. Source: RFC 7694.
        """
        data = codec.encode(batch)
        if self._takes_zstd:
            coding, body = "zstd", zstd.compress(data, level=_LEVEL)
        else:
            coding, body = "gzip", zlib.compress(data, wbits=31)
        headers = {**JSON, "Content-Encoding": coding}
        answer = self.transport.request("POST", url, body=body, headers=headers)
        takes = answer.headers.get("accept-encoding", "")
        self._takes_zstd = "zstd" in takes and zstd.is_installed()
        return codec.decode(answer.body, TelemetryReceipt, where=url)

    def next_token(self, url: str) -> str:
        """Ask for the token that follows; the present one is good until the next is used.

        Raises:
            FormatError: The answer holds none.
        """
        answer = self.transport.request("POST", url)
        token = codec.decode(answer.body, _NextToken, where=url).token
        if not _TOKEN.fullmatch(token):
            raise FormatError("holds no token", where=url)
        return token

    def benchmark(self, url: str) -> BenchmarkJob:
        """Read what to measure.

        Raises:
            FormatError: The answer is no job.
        """
        answer = self.transport.request("GET", url)
        return codec.decode(answer.body, BenchmarkJob, where=url)

    def answer_benchmark(self, url: str, answer: BenchmarkAnswer) -> None:
        """Say what came of it."""
        self.transport.request("POST", url, body=codec.encode(answer), headers=JSON)

    def parameters(self, url: str) -> tuple[ParametersOrder, ...]:
        """Read what is set on this device.

        Raises:
            FormatError: The answer is something else.
        """
        answer = self.transport.request("GET", url)
        return codec.decode(answer.body, ParametersOrders, where=url).parameters

    def answer_parameters(self, url: str, answers: tuple[ParametersAnswer, ...]) -> None:
        """Say what came of it."""
        body = codec.encode(ParametersAnswers(answers=answers))
        self.transport.request("POST", url, body=body, headers=JSON)

    def send_diagnosis(self, url: str, bundle: bytes) -> None:
        """Upload a diagnose bundle, a tar.gz."""
        self.transport.request("POST", url, body=bundle, headers={"Content-Type": DIAGNOSIS_TYPE})

    def refuse_diagnosis(self, url: str, problem: str) -> None:
        """Say why there is no diagnose bundle."""
        body = codec.encode(DiagnosisFailure(problem=problem[:MAX_DETAIL]))
        self.transport.request("POST", url, body=body, headers=JSON)

    def _feedback(self, url: str, status: Status) -> None:
        body = codec.encode(Feedback(status=status))
        self.transport.request("POST", url, body=body, headers=JSON)

    def _feedback_url(self, action: str) -> str:
        return f"{self._identity.base_url}/deploymentBase/{action}/feedback"


def action_of(url: str) -> str:
    """Return the number of the action that an address names.

    Raises:
        FormatError: It names none.
    """
    action = url.partition("?")[0].rstrip("/").rpartition("/")[2]
    if not _ACTION.fullmatch(action):
        raise FormatError("has no number", where=url)
    return action


def _deployment(action: str, chunk: Chunk, answer_url: str, where: str) -> Deployment:
    if len(chunk.artifacts) != 1:
        raise FormatError("needs exactly one artifact", where=where)
    artifact = chunk.artifacts[0]
    link = artifact.links.get("download") or artifact.links.get("download-http")
    digest = artifact.hashes.sha256.lower()
    if link is None or not _DIGEST.fullmatch(digest):
        raise FormatError("needs a download link and a sha256", where=where)
    rollback = chunk.meta(META_KIND) == DeploymentKind.ROLLBACK
    shadow, mirror = chunk.meta(META_SHADOW), artifact.links.get(LINK_MIRROR)
    return Deployment(
        action=action,
        kind=DeploymentKind.ROLLBACK if rollback else DeploymentKind.UPDATE,
        model=chunk.meta(META_MODEL) or chunk.name,
        version=chunk.meta(META_VERSION) or chunk.version,
        variant=chunk.meta(META_VARIANT),
        target=chunk.meta(META_TARGET),
        digest=digest,
        size=artifact.size,
        url=link.href,
        answer_url=answer_url,
        deltas={
            relation.removeprefix(f"{LINK_DELTA}:"): one.href
            for relation, one in artifact.links.items()
            if relation.startswith(f"{LINK_DELTA}:")
        },
        shadow=codec.decode(shadow.encode(), ShadowOrder, where=where) if shadow else None,
        mirror=mirror.href if mirror else "",
    )
