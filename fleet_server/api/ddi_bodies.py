"""What devices are told, as hawkBit's DDI v1 spells it. Pure: values in, wire types out."""

from __future__ import annotations

from urllib.parse import quote

from edgekit.bundle import bundle_name
from edgekit.protocol import (
    LINK_BENCHMARK,
    LINK_DELTA,
    LINK_PROFILE,
    LINK_TELEMETRY,
    LINK_TRUST,
    META_KIND,
    META_MODEL,
    META_TARGET,
    META_VARIANT,
    META_VERSION,
    Artifact,
    Chunk,
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
from fleet_server.services.checkin import PollAnswer
from fleet_server.services.records import DeploymentRecord, VariantRecord
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
        LINK_TRUST: Link(href=f"{base}{TUF}"),
    }
    if answer.cancel is not None:
        links["cancelAction"] = Link(href=f"{url}/cancelAction/{answer.cancel}")
    elif answer.action is not None:
        c = answer.action & 0x7FFFFFFF
        links["deploymentBase"] = Link(href=f"{url}/deploymentBase/{answer.action}?c={c}")
    elif answer.benchmark is not None:
        links[LINK_BENCHMARK] = Link(href=f"{url}/benchmark/{answer.benchmark}")
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
    delta_from: str = "",
) -> DeploymentBase:
    """Return what to install; `delta_from` is what the device runs, if there is a delta."""
    deployment = record.deployment
    metadata = {
        META_TARGET: variant.target,
        META_MODEL: deployment.model,
        META_VERSION: deployment.version,
        META_VARIANT: deployment.variant,
        META_KIND: kind_word(deployment.kind).value,
    }
    chunk = Chunk(
        part=_PART,
        version=deployment.version,
        name=deployment.model,
        artifacts=(artifact(base, device_id, record, variant, delta_from=delta_from),),
        metadata=tuple(Metadatum(key=key, value=value) for key, value in metadata.items()),
    )
    body = DeploymentBody(download="forced", update="forced", chunks=(chunk,))
    return DeploymentBase(id=str(deployment.id), deployment=body)


def artifact(
    base: str,
    device_id: str,
    record: DeploymentRecord,
    variant: VariantRecord,
    *,
    delta_from: str = "",
) -> Artifact:
    """Return where the bundle of a deployment is to be had."""
    name = artifact_name(record)
    module = f"{device_url(base, device_id)}/softwaremodules/{record.deployment.id}"
    href = f"{module}/artifacts/{quote(name)}"
    links = {"download": href, "md5sum": f"{href}.MD5SUM"}
    links |= {f"{relation}-http": address for relation, address in links.items()}
    if delta_from:
        links[f"{LINK_DELTA}:{delta_from}"] = f"{href}{DELTA_MARK}{delta_from}"
    return Artifact(
        filename=name,
        hashes=Hashes(sha256=variant.digest, sha1=variant.sha1, md5=variant.md5),
        size=variant.size,
        _links={relation: Link(href=address) for relation, address in links.items()},
    )


def artifact_name(record: DeploymentRecord) -> str:
    """Return the file name under which a device downloads its bundle."""
    deployment = record.deployment
    return bundle_name(deployment.model, deployment.version, deployment.variant)
