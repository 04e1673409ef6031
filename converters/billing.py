"""What goes into a bundle for people and auditors: a CycloneDX ML-BOM and a model card.

Pure, and without dates: equal manifests give equal bytes.
"""

from __future__ import annotations

from typing import Any

from edgekit import codec
from edgekit.manifest import Manifest, Quality

BOM = "bom.cdx.json"
CARD = "model-card.md"


def bill_of_materials(manifest: Manifest, model_sha256: str) -> bytes:
    """Return a CycloneDX 1.6 document: the model, what it was made from, and with which tools.

    Source: CycloneDX 1.6, component type "machine-learning-model".
    """
    m, lineage = manifest, manifest.lineage
    purpose = f"{m.model} {m.version}, variant {m.variant}"
    model: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": m.model,
        "version": m.version,
        "description": purpose,
        "hashes": [{"alg": "SHA-256", "content": model_sha256}],
        "modelCard": {
            "modelParameters": {
                "inputs": [{"format": f"{s.name} {list(s.shape)} {s.dtype}"} for s in m.inputs],
                "outputs": [{"format": f"{s.name} {list(s.shape)} {s.dtype}"} for s in m.outputs],
            },
            "quantitativeAnalysis": {"performanceMetrics": _metrics(m.quality)},
        },
    }
    data = [
        {
            "type": "data",
            "bom-ref": f"data-{name}",
            "name": name,
            "hashes": [{"alg": "SHA-256", "content": digest}],
        }
        for name, digest in sorted(lineage.digests.items())
        if digest
    ]
    tools = [
        {"type": "library", "name": name, "version": version}
        for name, version in sorted(lineage.tools.items())
    ]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": model, "tools": {"components": tools}},
        "components": data,
        "dependencies": [{"ref": "model", "dependsOn": [d["bom-ref"] for d in data]}],
    }
    return codec.encode(document)


def model_card(manifest: Manifest) -> bytes:
    """Return what a person wants to know about a variant, as Markdown."""
    m, q = manifest, manifest.quality
    lines = [
        f"# {m.model} {m.version}, {m.variant}",
        "",
        f"- Format {m.format}, precision {m.precision}, made by `{m.lineage.recipe}` from "
        f"`{m.lineage.source}`.",
        f"- Needs {' or '.join(f'{r.name} >= {r.minimum}' for r in m.requires.runtimes)}.",
        f"- Measured on {q.samples} held-out samples: {_accuracy(q)}.",
        f"- Against the source: worst difference {q.max_abs_diff:.3g}, SQNR {q.sqnr_db:.1f} dB, "
        f"{q.agreement:.2%} the same answers.",
        f"- {m.golden.count} golden samples are recomputed on each device; "
        f"tolerance {m.golden.atol:.3g}.",
        "",
        *(f"- Input `{s.name}` {list(s.shape)} {s.dtype}" for s in m.inputs),
        *(f"- Output `{s.name}` {list(s.shape)} {s.dtype}" for s in m.outputs),
        "",
    ]
    return "\n".join(lines).encode()


def _accuracy(q: Quality) -> str:
    if q.accuracy is None or q.reference_accuracy is None:
        return "no accuracy, parity only"
    return f"{q.metric} {q.accuracy:.4f}, the source {q.reference_accuracy:.4f}"


def _metrics(q: Quality) -> list[dict[str, str]]:
    found = {"sqnr_db": q.sqnr_db, "agreement": q.agreement, "max_abs_diff": q.max_abs_diff}
    if q.accuracy is not None:
        found[q.metric] = q.accuracy
    return [{"type": name, "value": f"{value:.6g}"} for name, value in sorted(found.items())]
