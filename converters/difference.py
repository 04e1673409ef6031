"""Compares two bundles: what differs in the manifests, and in the answers to golden samples."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit import codec
from edgekit.bundle import Bundle, open_bundle
from edgekit.errors import UsageError
from edgekit.golden import compute_golden, read_golden
from edgekit.runtime import open_session


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One field that differs.

    Attributes:
        field: Its path in the manifest, dotted; "answers" for the models' own.
        before: In the first bundle, as JSON.
        after: In the second.
    """

    field: str
    before: str
    after: str


def differences(first: Path, second: Path) -> list[Change]:
    """Return what differs between two bundles; nothing for equal ones.

    Raises:
        BundleError: One of them is damaged.
        UsageError: They are of different models, so that everything would differ.
    """
    a, b = open_bundle(first), open_bundle(second)
    if a.manifest.model != b.manifest.model:
        raise UsageError(
            f"of the model {b.manifest.model}, {first} is of {a.manifest.model}",
            where=str(second),
            todo="compare two bundles of one model",
        )
    before, after = (dict(_flat(codec.plain(x.manifest), "")) for x in (a, b))
    changes = [
        Change(field=name, before=before.get(name, "-"), after=after.get(name, "-"))
        for name in sorted(set(before) | set(after))
        if before.get(name) != after.get(name)
    ]
    return [*changes, *_answers(a, b)]


def _flat(value: Any, path: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401 (JSON)
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, codec.encode(value).decode()


def _answers(a: Bundle, b: Bundle) -> Iterator[Change]:
    """Run the second model on the first one's golden samples, where both take the same."""
    ends = [tuple((s.shape, s.dtype) for s in x.manifest.inputs) for x in (a, b)]
    same = ends[0] == ends[1] and a.manifest.preprocessing == b.manifest.preprocessing
    if not same or len(a.manifest.outputs) != len(b.manifest.outputs):
        return
    golden = read_golden(a)
    with tempfile.TemporaryDirectory() as folder:
        b.extract(Path(folder))
        session = open_session(Path(folder) / b.manifest.file, b.manifest.format)
        told = compute_golden(
            session, list(golden.inputs), a.manifest.preprocessing, further=golden.further
        )
    for index, (x, y) in enumerate(zip(golden.outputs, told.outputs, strict=True)):
        if x.shape == y.shape and not np.array_equal(x, y):
            gap = float(np.max(np.abs(x.astype(np.float64) - y.astype(np.float64))))
            after = f"differ by up to {gap:.4g} on {len(golden.inputs)} golden samples"
            yield Change(field=f"answers.{index}", before="", after=after)
