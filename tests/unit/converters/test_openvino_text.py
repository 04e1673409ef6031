from converters.targets.openvino_text import canonical

TOPOLOGY = """<?xml version="1.0"?>
<net name="main_graph" version="11">
  <layers>
    <layer id="0" name="x" type="Parameter"><output><port id="0" names="x"/></output></layer>
    <layer id="1" name="Constant_{number}" type="Const"><output><port id="0"/></output></layer>
    <layer id="2" name="Multiply_{number}" type="Multiply">
      <rt_info>
        <attribute name="fused_names" version="0" value="Multiply_{number}, y" />
        <attribute name="precise" version="0" />
      </rt_info>
      <output><port id="2" names="y,z"/></output>
    </layer>
  </layers>
  <rt_info>
    <Runtime_version value="2026.4.1" />
    <conversion_parameters><input_model value="DIR/{number}.onnx" /></conversion_parameters>
  </rt_info>
</net>
"""


def test_counters_of_the_process_and_names_of_files_leave_no_trace():
    first, second = (canonical(TOPOLOGY.format(number=n).encode()) for n in (17, 2334))
    assert first == second
    assert b"2334" not in first


def test_names_of_tensors_and_what_changes_the_arithmetic_stay():
    text = canonical(TOPOLOGY.format(number=1).encode())
    for kept in (b'name="x"', b'names="y,z"', b'name="y"', b'"precise"', b"Runtime_version"):
        assert kept in text


def test_making_it_canonical_again_changes_nothing():
    text = canonical(TOPOLOGY.format(number=1).encode())
    assert canonical(text) == text
