"""Every table as it stands after the last migration, by subject. Holds no query."""

from fleet_server.store.schema.access import accounts, api_tokens, audit, kept_answers
from fleet_server.store.schema.base import metadata
from fleet_server.store.schema.benchmarks import benchmarks
from fleet_server.store.schema.devices import devices, enrolment_tokens, gateway_tokens
from fleet_server.store.schema.diagnoses import diagnoses
from fleet_server.store.schema.downloads import download_slots
from fleet_server.store.schema.events import alarms, deliveries, events, webhooks
from fleet_server.store.schema.experiments import experiments
from fleet_server.store.schema.field import (
    answers,
    drift_hours,
    drift_references,
    labels,
    release_hours,
)
from fleet_server.store.schema.fleet import changes, flags, fleet
from fleet_server.store.schema.parameters import device_parameters
from fleet_server.store.schema.releases import collected, releases, variants
from fleet_server.store.schema.rollouts import deployments, feedbacks, happenings, rollouts
from fleet_server.store.schema.telemetry import window_days, windows
from fleet_server.store.schema.trust import online_keys, trust_files

__all__ = [
    "accounts",
    "alarms",
    "answers",
    "api_tokens",
    "audit",
    "benchmarks",
    "changes",
    "collected",
    "deliveries",
    "deployments",
    "device_parameters",
    "devices",
    "diagnoses",
    "download_slots",
    "drift_hours",
    "drift_references",
    "enrolment_tokens",
    "events",
    "experiments",
    "feedbacks",
    "flags",
    "fleet",
    "gateway_tokens",
    "happenings",
    "kept_answers",
    "labels",
    "metadata",
    "online_keys",
    "release_hours",
    "releases",
    "rollouts",
    "trust_files",
    "variants",
    "webhooks",
    "window_days",
    "windows",
]
