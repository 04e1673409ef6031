"""What the management API's OpenAPI says beside the routes: examples by body, and If-Match."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from fleet_server.api.validators import hears_if_match

EXAMPLES: dict[str, dict[str, Any]] = {
    "AccountChange": {"role": "operator", "disabled": False},
    "Because": {"reason": "answers from two places at once"},
    "CallAgain": {"after": 1200},
    "FreezeView": {"frozen": True, "reason": "stocktaking until Monday"},
    "Login": {"name": "ada", "password": "correct horse battery staple"},
    "NewAccount": {"name": "ci", "role": "publisher"},
    "NewBenchmark": {"digest": "ab" * 32, "selector": "site=osaka"},
    "NewDevice": {"id": "gate-7", "labels": {"site": "osaka"}},
    "NewEnrolmentToken": {"uses": 50, "life_s": 86400, "labels": {"site": "osaka"}},
    "NewExperiment": {"model": "digits", "arms": {"1.0.0": 50, "1.1.0": 50}, "hold_s": 604800},
    "NewGateway": {"name": "gateway-3"},
    "NewLabels": {"model": "digits", "labels": {"frame-00017": "7"}},
    "NewParameters": {"values": {"score_threshold": 0.6}},
    "NewRelease": {"model": "digits", "version": "1.1.0", "targets": '{"signatures":[...]}'},
    "NewRollout": {
        "model": "digits",
        "version": "1.1.0",
        "policy": {
            "stages": [{"devices_per_variant": 1, "bake_s": 600}, {"percent": 100}],
            "gate": {"mode": "must_not_fail"},
        },
    },
    "NewToken": {"account": "ci", "role": "publisher", "life_s": 2592000, "note": "nightly"},
    "NewWebhook": {"url": "https://example.org/edgekit", "kinds": ["alarm_raised"]},
    "Pin": {"version": "1.0.0"},
    "Winner": {"version": "1.1.0"},
    "TrustMetadata": {"metadata": '{"signatures":[...],"signed":{"_type":"targets"}}'},
}


def add_examples(app: FastAPI) -> None:
    """Put the examples into an application's OpenAPI; it is made once, when it is asked for."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        for name, schema in document["components"]["schemas"].items():
            if name in EXAMPLES:
                schema["examples"] = [EXAMPLES[name]]
        _add_if_match(document["paths"])
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's own manual does


_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "Tag of the thing as it was read; 412 if it changed since.",
    "schema": {"type": "string"},
}
_CHANGED = {"description": "Changed since it was read; ETag has its present state."}


def _add_if_match(paths: dict[str, Any]) -> None:
    """Name the header where it is heard. FastAPI keeps the document: once is enough."""
    for path, operations in paths.items():
        for method, operation in operations.items():
            if hears_if_match(method.upper(), path) and "412" not in operation["responses"]:
                operation["responses"]["412"] = _CHANGED
                operation.setdefault("parameters", []).append(_IF_MATCH)
