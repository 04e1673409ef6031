"""Makes an OpenVINO topology the same on every run and free of the machine that wrote it.

OpenVINO numbers the nodes that it adds by a counter of the whole process, and writes down which
nodes it fused and from which folder a file came. Tensor names, which people know, stay.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

_KEPT_KINDS = ("Parameter", "Result")
_TRACES = ("conversion_parameters",)


def canonical(xml: bytes) -> bytes:
    """Return the text of a topology with names that follow from its structure alone."""
    root = ET.fromstring(xml)  # noqa: S314 (written by OpenVINO in this process)
    root.set("name", "model")
    for layer in root.iter("layer"):
        if layer.get("type") not in _KEPT_KINDS:
            layer.set("name", _name(layer))
        _forget_fusions(layer)
        for port in layer.iter("port"):
            _forget_fusions(port)
    info = root.find("rt_info")
    for trace in list(info) if info is not None else []:
        if info is not None and trace.tag in _TRACES:
            info.remove(trace)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _name(layer: ET.Element) -> str:
    """Return the first name of a layer's outputs, or its kind and place."""
    named = (port.get("names", "") for port in layer.iterfind("output/port"))
    first = next((names.split(",")[0] for names in named if names), "")
    return first or f"{layer.get('type')}_{layer.get('id')}"


def _forget_fusions(part: ET.Element) -> None:
    info = part.find("rt_info")
    if info is None:
        return
    for attribute in list(info):
        if attribute.get("name", "").startswith(("fused_names", "original_")):
            info.remove(attribute)
    if len(info) == 0:
        part.remove(info)
