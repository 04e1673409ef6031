import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.device import Requirements, RuntimeRange
from edgekit.errors import BundleError
from edgekit.manifest import (
    GoldenSpec,
    Layout,
    Lineage,
    Manifest,
    ModelFormat,
    Precision,
    Preprocessing,
    Quality,
    Resize,
    TensorSpec,
    parse_manifest,
)

NAMES = st.text(string.ascii_letters + string.digits + "._-é", min_size=1, max_size=12)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
SPECS = st.builds(
    TensorSpec,
    name=NAMES,
    shape=st.lists(st.integers(1, 512) | NAMES, max_size=5).map(tuple),
    dtype=st.sampled_from(["float32", "uint8", "int64"]),
)
MANIFESTS = st.builds(
    Manifest,
    model=NAMES,
    version=NAMES,
    variant=NAMES,
    format=st.sampled_from(ModelFormat),
    precision=st.sampled_from(Precision),
    file=NAMES,
    inputs=st.lists(SPECS, max_size=2).map(tuple),
    outputs=st.lists(SPECS, max_size=2).map(tuple),
    requires=st.builds(
        Requirements,
        runtimes=st.lists(st.builds(RuntimeRange, name=NAMES, minimum=NAMES), max_size=2).map(
            tuple
        ),
        preference=st.integers(0, 100),
    ),
    golden=st.builds(GoldenSpec, count=st.integers(1, 64), atol=FINITE),
    quality=st.builds(
        Quality,
        metric=NAMES,
        samples=st.integers(0, 10**6),
        accuracy=FINITE,
        reference_accuracy=FINITE,
        max_abs_diff=FINITE,
        sqnr_db=FINITE,
        agreement=FINITE,
    ),
    lineage=st.builds(
        Lineage,
        source=NAMES,
        digests=st.dictionaries(NAMES, NAMES, max_size=3),
        recipe=NAMES,
        tools=st.dictionaries(NAMES, NAMES, max_size=3),
    ),
    preprocessing=st.none()
    | st.builds(
        Preprocessing,
        height=st.integers(1, 512),
        width=st.integers(1, 512),
        resize=st.sampled_from(Resize),
        layout=st.sampled_from(Layout),
        scale=FINITE,
    ),
    labels=st.lists(NAMES, max_size=3).map(tuple),
)


@given(MANIFESTS)
def test_a_manifest_reads_back_as_it_was(manifest: Manifest):
    assert parse_manifest(manifest.to_bytes(), where="m") == manifest


@given(MANIFESTS)
def test_equal_manifests_give_equal_bytes(manifest: Manifest):
    again = parse_manifest(manifest.to_bytes(), where="m")
    assert again.to_bytes() == manifest.to_bytes()


def edited(manifest: Manifest, **changes: object) -> bytes:
    return json.dumps({**json.loads(manifest.to_bytes()), **changes}).encode()


@given(MANIFESTS)
def test_unknown_fields_and_minor_versions_are_accepted(manifest: Manifest):
    newer = edited(manifest, format_version="1.7", invented={"later": True})
    assert parse_manifest(newer, where="m").model == manifest.model


@pytest.mark.parametrize("version", ["2.0", "0.9", "", "x"])
@given(MANIFESTS)
def test_an_unknown_major_version_is_refused(version: str, manifest: Manifest):
    with pytest.raises(BundleError, match=r"^m: format version .* is unknown .*; update EdgeKit"):
        parse_manifest(edited(manifest, format_version=version), where="m")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b'{"format_version": "1.0"}'])
def test_what_is_no_manifest_is_refused(data: bytes):
    with pytest.raises(BundleError, match=r"^m: not a valid"):
        parse_manifest(data, where="m")


@given(MANIFESTS)
def test_a_field_of_the_wrong_type_is_named(manifest: Manifest):
    with pytest.raises(BundleError, match="labels"):
        parse_manifest(edited(manifest, labels="a,b"), where="m")
