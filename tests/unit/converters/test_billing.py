import json
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any

import jsonschema_rs
import pytest

from converters.billing import bill_of_materials, model_card
from edgekit.device import Requirements, RuntimeRange
from edgekit.manifest import (
    Lineage,
    Manifest,
    Precision,
    TensorSpec,
)
from tests.manifests import PLAIN

SPEC = TensorSpec(name="x", shape=(1, 4), dtype="float32")
MANIFEST = replace(
    PLAIN,
    variant="onnx-int8",
    precision=Precision.INT8,
    inputs=(SPEC,),
    outputs=(SPEC,),
    requires=Requirements(runtimes=(RuntimeRange(name="onnxruntime", minimum="1.14"),)),
    quality=replace(PLAIN.quality, samples=100, accuracy=0.97, reference_accuracy=0.98),
    lineage=Lineage(
        source="net:f",
        digests={"weights": "ab" * 32, "calibration": "cd" * 32, "source": ""},
        recipe="int8: min-max",
        tools={"torch": "2.13.0"},
    ),
)


def test_the_bill_names_model_data_and_tools_with_digests():
    told = json.loads(bill_of_materials(MANIFEST, "ef" * 32))
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.6")
    model = told["metadata"]["component"]
    assert model["type"] == "machine-learning-model"
    assert model["hashes"] == [{"alg": "SHA-256", "content": "ef" * 32}]
    assert [c["name"] for c in told["components"]] == ["calibration", "weights"]
    assert told["dependencies"][0]["dependsOn"] == ["data-calibration", "data-weights"]
    tools = told["metadata"]["tools"]["components"]
    assert tools == [{"type": "library", "name": "torch", "version": "2.13.0"}]


@cache
def cyclonedx() -> Any:
    """Return what checks documents against CycloneDX 1.6's own schema, extra keys included."""

    def read(name: str) -> Any:
        folder = resources.files("cyclonedx.schema") / "_res"
        return json.loads((folder / f"{name}.SNAPSHOT.schema.json").read_text())

    where = "http://cyclonedx.org/schema/{}.SNAPSHOT.schema.json"
    parts = [(where.format(n), read(n)) for n in ("spdx", "jsf-0.82", "cryptography-defs")]
    registry = jsonschema_rs.Registry(parts)
    return jsonschema_rs.validator_for(read("bom-1.6"), registry=registry)


@pytest.mark.parametrize(
    "manifest",
    [
        MANIFEST,
        replace(MANIFEST, quality=replace(MANIFEST.quality, accuracy=None)),
        replace(MANIFEST, lineage=replace(MANIFEST.lineage, digests={}, tools={})),
    ],
    ids=["int8", "parity only", "nothing known"],
)
def test_the_bill_is_valid_by_cyclonedx_s_own_schema(manifest: Manifest):
    told = json.loads(bill_of_materials(manifest, "ef" * 32))
    assert [str(fault) for fault in cyclonedx().iter_errors(told)] == []
    told["metadata"]["component"]["unheard"] = "of"
    assert not cyclonedx().is_valid(told)


def test_equal_manifests_give_equal_bytes():
    assert bill_of_materials(MANIFEST, "0") == bill_of_materials(replace(MANIFEST), "0")


def test_the_card_tells_what_was_measured_and_on_how_much():
    card = model_card(MANIFEST).decode()
    for text in ("# digits 1.0.0, onnx-int8", "100 held-out samples", "top1 0.9700", "1.14"):
        assert text in card


def test_the_card_of_a_model_without_accuracy_says_so():
    quality = replace(MANIFEST.quality, metric="parity", accuracy=None, reference_accuracy=None)
    assert "parity only" in model_card(replace(MANIFEST, quality=quality)).decode()
