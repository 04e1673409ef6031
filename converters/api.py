"""The Python interface of the converters: the words of the command line, as typed functions.

Nothing but names: `convert` is `edgekit convert`, `package` is `edgekit package`, `preflight`,
`differences` (`edgekit diff`) and `collect` (`edgekit calibration build`) likewise. What the
options say is a `ConversionPlan`; what is printed comes back as a report. Errors are those of
`edgekit.errors`, with the exit code that the command would have.
"""

from converters.cache import Cache, default_folder
from converters.collection import Collected, Facts, collect
from converters.declared import (
    read_labels,
    read_parameters,
    read_postprocessing,
    read_preprocessing,
)
from converters.difference import Change, differences
from converters.given import package_given as package
from converters.pipeline import convert
from converters.plan import ConversionPlan, parse_dynamic, parse_input, parse_state
from converters.preflight import Finding, preflight
from converters.report import Attempt, ConversionReport, SourceReport, VariantReport
from converters.steps import Step, Watch

__all__ = [
    "convert",
    "package",
    "preflight",
    "differences",
    "collect",
    "ConversionPlan",
    "parse_input",
    "parse_dynamic",
    "parse_state",
    "read_preprocessing",
    "read_postprocessing",
    "read_parameters",
    "read_labels",
    "ConversionReport",
    "SourceReport",
    "VariantReport",
    "Attempt",
    "Finding",
    "Change",
    "Collected",
    "Facts",
    "Cache",
    "default_folder",
    "Step",
    "Watch",
]
