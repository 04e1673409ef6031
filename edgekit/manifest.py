"""What is in a bundle, as frozen dataclasses with canonical JSON.

The manifest is what a converter promises and what a device checks. It holds no measurement that
changes from run to run (latency lives in the conversion report), so that two conversions of the
same inputs give the same bytes. It reads and writes no file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from edgekit import codec
from edgekit.device import Requirements
from edgekit.errors import BundleError, FormatError

FORMAT_VERSION = "1.0"
FORMAT_MAJOR = 1


class ModelFormat(StrEnum):
    """File format of the model inside a bundle."""

    ONNX = "onnx"
    TFLITE = "tflite"
    OPENVINO = "openvino"


class Precision(StrEnum):
    """Number format of a variant's weights and activations.

    "int8-int16" is weights, then activations; "mixed" keeps some layers in a higher precision.
    """

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"
    INT8_INT16 = "int8-int16"
    MIXED = "mixed"


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One input or output of a model.

    Attributes:
        name: Name in the model file.
        shape: Sizes; a string is a named dynamic dimension, such as "batch".
        dtype: NumPy name of the element type, such as "float32".
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str


class Resize(StrEnum):
    """How an image of another size becomes the size of the model's input."""

    NONE = "none"
    STRETCH = "stretch"
    LETTERBOX = "letterbox"
    CENTER_CROP = "center_crop"


class Layout(StrEnum):
    """Order of the axes of an image tensor."""

    NCHW = "nchw"
    NHWC = "nhwc"


class AudioNormalize(StrEnum):
    """What is done to audio features before scale, mean and std."""

    NONE = "none"
    SAMPLE = "sample"


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFeatures:
    """From a mono waveform to log-mel energies or MFCC; formulas in `edgekit.audio`.

    Attributes:
        sample_rate_hz: Rate of the waveform; another one is refused.
        frame_length: Samples of a frame.
        hop_length: Samples from one frame to the next.
        fft_size: Samples of the transform, at least a frame.
        mel_bands: Triangles between fmin_hz and fmax_hz.
        fmin_hz: Lower end of the first band.
        fmax_hz: Upper end of the last band, at most half the rate.
        log_floor: Smallest energy whose logarithm is taken, > 0.
        mfcc_count: Cepstral coefficients, from the 0th on; 0 gives log-mel energies.
        normalize: "sample" gives each band mean 0 and deviation 1 over the frames of a waveform.
        pad: A waveform that is too short gets zeros at its end, one that is too long is cut
            there; else both are refused.
    """

    sample_rate_hz: int
    frame_length: int
    hop_length: int
    fft_size: int
    mel_bands: int
    fmax_hz: float
    fmin_hz: float = 0.0
    log_floor: float = 1e-6
    mfcc_count: int = 0
    normalize: AudioNormalize = AudioNormalize.NONE
    pad: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """From a raw sample to the model's input: resize, scale, normalise, lay out.

    `x = (resized * scale - mean) / std`, per channel, in float32. Of a waveform, features take the
    place of the resized image: frames are rows, bands or coefficients columns.

    Attributes:
        height: Rows of the model's input, pixels; of audio, frames.
        width: Columns of the model's input, pixels; of audio, bands or coefficients.
        channels: 1 (grey) or 3 (colour, in the order of the raw sample).
        resize: What to do with an image of another size.
        scale: Factor on raw values, such as 1/255.
        mean: One value a channel, after scaling.
        std: One value a channel, > 0.
        layout: Axes of the tensor handed to the model.
        audio: Raw samples are waveforms, and how features are computed; None for images.
    """

    height: int
    width: int
    channels: int = 1
    resize: Resize = Resize.NONE
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: Layout = Layout.NCHW
    audio: AudioFeatures | None = None


class Task(StrEnum):
    """What the outputs of a model mean."""

    CLASSIFICATION = "classification"
    DETECTION = "detection"
    SEGMENTATION = "segmentation"
    EMBEDDING = "embedding"


class Boxes(StrEnum):
    """How a detector writes a box."""

    CORNERS = "xyxy"
    CENTER = "cxcywh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Postprocessing:
    """From the model's outputs to an answer.

    Detectors give either boxes [1, N, 4] and scores [1, N, classes], or both in one output,
    [1, N, 4 + classes] or [1, 4 + classes, N].

    Attributes:
        task: What the outputs mean.
        boxes: How a detector writes a box, in pixels of the model's input.
        score_threshold: Detections below it are left out, in [0, 1].
        iou_threshold: Of two boxes of one class that overlap more, the better one stays.
        max_detections: Most detections of one answer.
    """

    task: Task = Task.CLASSIFICATION
    boxes: Boxes = Boxes.CORNERS
    score_threshold: float = 0.25
    iou_threshold: float = 0.45
    max_detections: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What was proven about a variant at conversion, on data that it was not calibrated on.

    Attributes:
        metric: Name of the accuracy measure, such as "top1"; "agreement" is the share of answers
            equal to the source's; "parity" has no accuracy.
        samples: Samples that it was measured on.
        accuracy: Of this variant, in [0, 1] unless the metric says otherwise.
        reference_accuracy: Of the source model on the same samples.
        max_abs_diff: Largest absolute difference of any output element to the source model.
        sqnr_db: Signal to quantization noise ratio of the outputs, dB.
        agreement: Share of samples with the same answer as the source model, in [0, 1].
    """

    metric: str
    samples: int
    accuracy: float | None
    reference_accuracy: float | None
    max_abs_diff: float
    sqnr_db: float
    agreement: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Where a variant comes from: enough to make the same bytes again.

    Attributes:
        source: What was converted, as the engineer named it.
        digests: SHA-256 (hex) of the inputs: "weights", "calibration", "evaluation", ...
        recipe: Name of the quantization recipe.
        tools: Versions of the tools that took part.
    """

    source: str
    digests: dict[str, str]
    recipe: str
    tools: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenSpec:
    """How golden samples are compared.

    Attributes:
        count: Number of samples in the bundle.
        atol: Largest absolute difference of an output element that still counts as equal.
        providers: The same on execution providers that compute less exactly, such as "cuda".
    """

    count: int
    atol: float
    providers: dict[str, float] = field(default_factory=dict)

    def allowed(self, provider: str) -> float:
        """Return the tolerance on an execution provider."""
        return self.providers.get(provider, self.atol)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSpec:
    """One file of the bundle.

    Attributes:
        sha256: Hex digest of its bytes.
        size: Length in bytes.
    """

    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything about one variant.

    Attributes:
        model: Name of the model, such as "digits".
        version: Version of the release that the variant is part of.
        variant: Name of the variant, such as "onnx-int8".
        format: File format of the model.
        precision: Number format of the variant.
        file: Name of the model file inside the bundle.
        inputs: The model's inputs, in order.
        outputs: The model's outputs, in order.
        preprocessing: From a raw sample to the first input; None when samples are tensors.
        postprocessing: From the outputs to an answer; None classifies where the shape allows it.
        labels: Class names by index; empty when the model has no classes.
        parameters_schema: JSON schema of what may be set on each device, see
            `edgekit.parameters`; None when nothing may.
        requires: What a device needs to run it.
        golden: How the golden samples are compared.
        quality: What was proven at conversion.
        lineage: Where it comes from.
        files: Every other file of the bundle.
        features: What a reader must understand; an unknown one is refused, never skipped.
        format_version: Version of the bundle format, "major.minor".
    """

    model: str
    version: str
    variant: str
    format: ModelFormat
    precision: Precision
    file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    requires: Requirements
    golden: GoldenSpec
    quality: Quality
    lineage: Lineage
    preprocessing: Preprocessing | None = None
    postprocessing: Postprocessing | None = None
    labels: tuple[str, ...] = ()
    parameters_schema: dict[str, Any] | None = None
    files: dict[str, FileSpec] = field(default_factory=dict)
    features: tuple[str, ...] = ()
    format_version: str = FORMAT_VERSION

    @property
    def classifies(self) -> bool:
        """Whether the first output holds scores of classes, where its shape allows it."""
        return self.postprocessing is None or self.postprocessing.task is Task.CLASSIFICATION

    def to_bytes(self) -> bytes:
        """Return canonical JSON: equal manifests give equal bytes."""
        return codec.encode(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Version:
    format_version: str


def parse_manifest(data: bytes, *, where: str) -> Manifest:
    """Read a manifest.

    Raises:
        BundleError: Not JSON, a field of the wrong type, or an unknown major version.
    """
    try:
        version = codec.decode(data, _Version, where=where)
        codec.check_major(version.format_version, FORMAT_MAJOR, where=where)
        return codec.decode(data, Manifest, where=where)
    except FormatError as error:
        raise BundleError(error.what, where=where, todo=error.todo) from error
