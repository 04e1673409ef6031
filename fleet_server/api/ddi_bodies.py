"""What devices are told, as hawkBit's DDI v1 spells it. Pure: values in, wire types out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from urllib.parse import quote

from edgekit import codec
from edgekit.bundle import bundle_name
from edgekit.confirmation import AutoConfirmState, ConfirmationState
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
    ActionHistory,
    Artifact,
    Chunk,
    ConfirmationBase,
    ControllerBase,
    DeploymentBase,
    DeploymentBody,
    Hashes,
    Link,
    Metadatum,
    PollConfig,
    Polling,
    sleep_text,
)
from fleet_server.api.context import CONTROLLER, TUF
from fleet_server.domain.deployment import DeploymentState
from fleet_server.services.checkin import PollAnswer
from fleet_server.services.records.deployments import DeploymentRecord, FeedbackRecord
from fleet_server.services.records.devices import DeviceRecord
from fleet_server.services.records.releases import VariantRecord
from fleet_server.services.views import kind_word

_PART = "bApp"
DELTA_MARK = ".delta-"


def device_url(base: str, device_id: str) -> str:
    """Return the address of a device's part of the API."""
    return f"{base}{CONTROLLER}{quote(device_id)}"


def controller_base(
    base: str, device_id: str, answer: PollAnswer, *, interval_s: float
) -> ControllerBase:
    """Return the answer to a poll. `?c=` is there because clients look for it."""
    url = device_url(base, device_id)
    links = {
        LINK_TELEMETRY: Link(href=f"{url}/telemetry"),
        LINK_PROFILE: Link(href=f"{url}/profile"),
        LINK_TOKEN: Link(href=f"{url}/token"),
        LINK_TRUST: Link(href=f"{base}{TUF}"),
    }
    if answer.cancel is not None:
        links["cancelAction"] = Link(href=f"{url}/cancelAction/{answer.cancel}")
    elif answer.action is not None:
        c = answer.action & 0x7FFFFFFF
        links["deploymentBase"] = Link(href=f"{url}/deploymentBase/{answer.action}?c={c}")
    elif answer.confirm is not None:
        c = answer.confirm & 0x7FFFFFFF
        links["confirmationBase"] = Link(href=f"{url}/confirmationBase/{answer.confirm}?c={c}")
    elif answer.benchmark is not None:
        links[LINK_BENCHMARK] = Link(href=f"{url}/benchmark/{answer.benchmark}")
    if answer.parameters:
        links[LINK_PARAMETERS] = Link(href=f"{url}/parameters?c={answer.parameters}")
    if answer.diagnosis is not None:
        links[LINK_DIAGNOSIS] = Link(href=f"{url}/diagnosis/{answer.diagnosis}")
    if answer.installed is not None:
        links["installedBase"] = Link(href=f"{url}/installedBase/{answer.installed}")
    if answer.attributes_wanted:
        links["configData"] = Link(href=f"{url}/configData")
    return ControllerBase(
        config=PollConfig(polling=Polling(sleep=sleep_text(interval_s))), _links=links
    )


def deployment_base(
    base: str,
    device_id: str,
    record: DeploymentRecord,
    variant: VariantRecord,
    *,
    said: Sequence[FeedbackRecord] = (),
    delta_from: str = "",
    mirror: str = "",
) -> DeploymentBase:
    """Return what to install, with what the device said about it where it asked for that.

    Args:
        base: Address of the server, as the device sees it.
        device_id: The device.
        record: Its deployment.
        variant: What it gets.
        said: Its own reports, newest first.
        delta_from: Digest of what the device runs, if there is a delta from it; else empty.
        mirror: Where the bundle lies besides, on another server; empty for nowhere.
    """
    return DeploymentBase(
        id=str(record.deployment.id),
        deployment=_body(base, device_id, record, variant, delta_from=delta_from, mirror=mirror),
        actionHistory=action_history(record, said),
    )


def confirmation(
    base: str,
    device_id: str,
    record: DeploymentRecord,
    variant: VariantRecord,
    *,
    said: Sequence[FeedbackRecord] = (),
) -> ConfirmationBase:
    """Return what to confirm."""
    return ConfirmationBase(
        id=str(record.deployment.id),
        confirmation=_body(base, device_id, record, variant),
        actionHistory=action_history(record, said),
    )


def auto_confirm(base: str, device: DeviceRecord, waiting: int | None) -> ConfirmationState:
    """Return whether offers need confirmation, and where to change that."""
    url = f"{device_url(base, device.id)}/confirmationBase"
    given = device.auto_confirm
    verb = "activateAutoConfirm" if given is None else "deactivateAutoConfirm"
    links = {verb: Link(href=f"{url}/{verb}")}
    if waiting is not None:
        c = waiting & 0x7FFFFFFF
        links["confirmationBase"] = Link(href=f"{url}/{waiting}?c={c}")
    state = AutoConfirmState(active=given is not None)
    if given is not None:
        state = AutoConfirmState(
            active=True,
            initiator=given.initiator or None,
            remark=given.remark or None,
            activatedAt=int(given.activated_at.timestamp() * 1000),
        )
    return ConfirmationState(autoConfirm=state, _links=links)


def action_history(
    record: DeploymentRecord, said: Sequence[FeedbackRecord]
) -> ActionHistory | None:
    """Return the protocol's word for a state, and the device's own words, newest first."""
    if not said:
        return None
    messages = tuple(m for feedback in said for m in reversed(feedback.messages))
    word = "CANCELING" if record.cancelling else _STATUS_WORDS[record.deployment.state]
    return ActionHistory(status=word, messages=messages)


_S = DeploymentState
_STATUS_WORDS = {
    _S.OFFERED: "RUNNING",
    _S.DOWNLOADING: "RUNNING",
    _S.ACTIVATED: "RUNNING",
    _S.COMMITTED: "FINISHED",
    _S.UNEXERCISED: "FINISHED",
    _S.REPORTED: "FINISHED",
    _S.REJECTED: "ERROR",
    _S.REVERTED: "ERROR",
    _S.FAILED: "ERROR",
    _S.SHADOWED: "FINISHED",
    _S.WITHDRAWN: "CANCELED",
}


def _body(
    base: str,
    device_id: str,
    record: DeploymentRecord,
    variant: VariantRecord,
    *,
    delta_from: str = "",
    mirror: str = "",
) -> DeploymentBody:
    deployment = record.deployment
    metadata = {
        META_TARGET: variant.target,
        META_MODEL: deployment.model,
        META_VERSION: deployment.version,
        META_VARIANT: deployment.variant,
        META_KIND: kind_word(deployment.kind).value,
    }
    if record.shadow is not None:
        metadata[META_SHADOW] = codec.encode(record.shadow).decode()
    file = artifact(base, device_id, record, variant, delta_from=delta_from, mirror=mirror)
    chunk = Chunk(
        part=_PART,
        version=deployment.version,
        name=deployment.model,
        artifacts=(file,),
        metadata=tuple(Metadatum(key=key, value=value) for key, value in metadata.items()),
    )
    return DeploymentBody(download="forced", update="forced", chunks=(chunk,))


def artifact(
    base: str,
    device_id: str,
    record: DeploymentRecord,
    variant: VariantRecord,
    *,
    delta_from: str = "",
    mirror: str = "",
) -> Artifact:
    """Return where the bundle of a deployment is to be had."""
    name = artifact_name(record, variant)
    module = f"{device_url(base, device_id)}/softwaremodules/{record.deployment.id}"
    href = f"{module}/artifacts/{quote(name)}"
    links = {"download": href, "md5sum": f"{href}.MD5SUM"}
    links |= {f"{relation}-http": address for relation, address in links.items()}
    if delta_from:
        links[f"{LINK_DELTA}:{delta_from}"] = f"{href}{DELTA_MARK}{delta_from}"
    if mirror:
        links[LINK_MIRROR] = mirror
    return Artifact(
        filename=name,
        hashes=Hashes(sha256=variant.digest, sha1=variant.sha1, md5=variant.md5),
        size=variant.size,
        _links={relation: Link(href=address) for relation, address in links.items()},
    )


def artifact_name(record: DeploymentRecord, variant: VariantRecord) -> str:
    """Return the file name under which a device downloads its bundle, or a foreign client's file.

    Foreign clients know their files by the suffix, such as ".swu".
    """
    deployment = record.deployment
    name = bundle_name(deployment.model, deployment.version, deployment.variant)
    return (
        name if not variant.file else PurePosixPath(name).stem + PurePosixPath(variant.file).suffix
    )
