"""What the field says of a stage besides telemetry: labels that came later, and drift. Pure."""

from __future__ import annotations

from edgekit.verdict import Verdict
from fleet_server.domain.evidence import Evidence
from fleet_server.domain.judgement import Check, CheckName
from fleet_server.domain.policy import GatePolicy, OnDrift
from fleet_server.domain.statistics import wilson

MIN_LABELLED = 30


def field_checks(gate: GatePolicy, evidence: Evidence) -> list[Check]:
    """Ask what labels and drift say; nothing where nobody asked and nothing came."""
    return [*_accuracy(gate, evidence), *_drift(gate, evidence)]


def _accuracy(gate: GatePolicy, evidence: Evidence) -> list[Check]:
    if gate.min_accuracy is None:
        return []
    checks = []
    for variant, (right, labelled) in sorted(evidence.labelled.items()):
        found = wilson(right, labelled, alpha=gate.alpha_per_look)
        below = labelled >= MIN_LABELLED and found.high < gate.min_accuracy
        checks.append(
            Check(
                name=CheckName.FIELD_ACCURACY,
                variant=variant,
                verdict=Verdict.FAIL if below else Verdict.PASS,
                sentence=(
                    f"{variant}: {right} of {labelled} labelled answers are right"
                    f" ({found.low:.1%} to {found.high:.1%}), {gate.min_accuracy:.1%} asked for."
                ),
                numbers={
                    "right": right,
                    "labelled": labelled,
                    "low": found.low,
                    "high": found.high,
                    "asked": gate.min_accuracy,
                },
            )
        )
    return checks


def _drift(gate: GatePolicy, evidence: Evidence) -> list[Check]:
    drift = evidence.drift
    if not drift.drifting:
        return []
    holds = gate.on_drift is OnDrift.HOLD and drift.share >= gate.drift_share
    return [
        Check(
            name=CheckName.DRIFT,
            verdict=Verdict.INCONCLUSIVE if holds else Verdict.PASS,
            sentence=(
                f"{len(drift.drifting)} of {drift.watched} watched devices see something unusual"
                f" ({', '.join(drift.statistics)}): the world changed, not the release."
            ),
            numbers={
                "drifting": len(drift.drifting),
                "watched": drift.watched,
                "limit": gate.drift_share,
            },
        )
    ]
