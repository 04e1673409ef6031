"""Imports OpenVINO without its telemetry: importing it tells Google Analytics, devices do not.

OpenVINO and NNCF do without the package `openvino_telemetry` where it is absent; here it is.
"""

from __future__ import annotations

import sys
from typing import Any, cast

cast("dict[str, Any]", sys.modules).setdefault("openvino_telemetry", None)

import openvino  # noqa: E402 (after the line above, on purpose)

__all__ = ["openvino"]
