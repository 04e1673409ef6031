"""From a waveform to log-mel energies or MFCC, as a manifest declares; NumPy only, and pure.

The same code prepares samples at calibration, evaluation, in golden samples and on the device.
Everything is computed in float64 and rounded once, so that machines agree to float32 precision.
"""

from __future__ import annotations

import functools
import io
import wave

import numpy as np

from edgekit.errors import DataError
from edgekit.manifest import AudioFeatures, AudioNormalize, Preprocessing
from edgekit.runtime.base import FloatArray, Tensor

_INT16_FULL_SCALE = 32768.0
_DEVIATION_FLOOR = 1e-8


def waveform_length(spec: AudioFeatures, frames: int) -> int:
    """Return the samples that give exactly `frames` frames, the first one at sample 0."""
    return spec.frame_length + (frames - 1) * spec.hop_length


def fitted(waveform: Tensor, spec: AudioFeatures, frames: int) -> Tensor:
    """Return a waveform of the length that the model takes, of the waveform's type.

    Args:
        waveform: [N], int16 or float32 in [-1, 1], mono, at the declared rate.
        spec: How features are computed; with `pad`, zeros are added at the end and what is too
            long is cut there.
        frames: Frames that the model takes.

    Raises:
        DataError: Not mono, another type, not finite, or another length while `pad` is off.
    """
    if waveform.ndim != 1 or waveform.dtype not in (np.int16, np.float32):
        raise DataError(
            f"a waveform is {waveform.dtype.name} {list(waveform.shape)}, "
            "the model takes int16 or float32 of one channel, shape [samples]"
        )
    if waveform.dtype.kind == "f" and not np.isfinite(waveform).all():
        raise DataError("a waveform holds values that are not finite")
    length = waveform_length(spec, frames)
    if len(waveform) == length:
        return waveform
    if not spec.pad or not len(waveform):
        how = "too short" if len(waveform) < length else "too long"
        raise DataError(
            f"a waveform of {len(waveform)} samples is {how}, the model takes {length} "
            f"({length / spec.sample_rate_hz:.3g} s at {spec.sample_rate_hz} Hz)",
            todo="cut the data to that length, or set pad in the preprocessing's audio",
        )
    whole: Tensor = np.zeros(length, waveform.dtype)
    whole[: min(length, len(waveform))] = waveform[:length]
    return whole


def audio_features(waveform: Tensor, spec: AudioFeatures, frames: int) -> FloatArray:
    """Return log-mel energies, or MFCC where `mfcc_count` is set.

    Frames lie at multiples of the hop, each under a periodic Hann window, zero-padded to the
    transform. `E[t, b] = sum_k |X[t, k]|^2 H[b, k]`, `L = ln(max(E, log_floor))`,
    `C[t, i] = s_i sum_b L[t, b] cos(pi i (b + 1/2) / B)`, s_0 = sqrt(1/B), s_i = sqrt(2/B).

    Source: Davis and Mermelstein 1980, "Comparison of parametric representations for monosyllabic
    word recognition", equation 1, with the orthonormal DCT-II.

    Args:
        waveform: As `fitted` takes it.
        spec: How they are computed.
        frames: Frames that the model takes.

    Returns:
        [frames, mel_bands] or [frames, mfcc_count], float32.

    Raises:
        DataError: As `fitted`.
    """
    signal = fitted(waveform, spec, frames).astype(np.float64)
    if waveform.dtype == np.int16:
        signal /= _INT16_FULL_SCALE
    views = np.lib.stride_tricks.sliding_window_view(signal, spec.frame_length)
    spectrum = np.fft.rfft(views[:: spec.hop_length] * _hann(spec.frame_length), spec.fft_size)
    power = spectrum.real**2 + spectrum.imag**2
    values = np.log(np.maximum(power @ mel_filters(spec).T, spec.log_floor))
    if spec.mfcc_count:
        values = values @ _cosines(spec.mel_bands, spec.mfcc_count).T
    if spec.normalize is AudioNormalize.SAMPLE:
        deviation = np.maximum(values.std(axis=0), _DEVIATION_FLOOR)
        values = (values - values.mean(axis=0)) / deviation
    return values.astype(np.float32)


@functools.lru_cache(maxsize=8)
def mel_filters(spec: AudioFeatures) -> Tensor:
    """Return triangles of height 1, evenly spaced in mel, [mel_bands, fft_size / 2 + 1], float64.

    Source: O'Shaughnessy 1987, "Speech communication", mel = 2595 log10(1 + f / 700 Hz).
    """
    ends = 2595 * np.log10(1 + np.array([spec.fmin_hz, spec.fmax_hz]) / 700)
    edges = 700 * (10 ** (np.linspace(ends[0], ends[1], spec.mel_bands + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(spec.fft_size, 1 / spec.sample_rate_hz)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    return _kept(np.maximum(0.0, np.minimum(rising, falling)))


def fault_of(spec: Preprocessing) -> str:
    """Say what is wrong with a preprocessing that declares audio; "" when nothing is."""
    audio = spec.audio
    if audio is None:
        return ""
    fault = _fault_in_numbers(audio)
    if fault:
        return fault
    width = audio.mfcc_count or audio.mel_bands
    if spec.width != width or spec.channels != 1:
        return f"height is the number of frames, width {width} and channels 1"
    if not mel_filters(audio).any(axis=1).all():
        return "a mel band holds no frequency of the transform: use fewer bands or more fft_size"
    return ""


def _fault_in_numbers(audio: AudioFeatures) -> str:
    rules = (
        (
            min(audio.sample_rate_hz, audio.hop_length, audio.mel_bands) >= 1,
            "sample_rate_hz, hop_length and mel_bands are at least 1",
        ),
        (
            2 <= audio.frame_length <= audio.fft_size,
            "frame_length is at least 2 and at most fft_size",
        ),
        (
            0 <= audio.fmin_hz < audio.fmax_hz <= audio.sample_rate_hz / 2,
            "fmin_hz is at least 0, below fmax_hz, and that at most half the sample rate",
        ),
        (audio.log_floor > 0, "log_floor is above 0"),
        (0 <= audio.mfcc_count <= audio.mel_bands, "mfcc_count is 0 (log-mel) to mel_bands"),
    )
    return next((fault for holds, fault in rules if not holds), "")


def decode_wave(data: bytes, spec: AudioFeatures) -> Tensor:
    """Return the samples of a WAV file: 16-bit PCM, mono, at the declared rate; [N], int16.

    Raises:
        DataError: It is none, or of another kind.
    """
    try:
        with wave.open(io.BytesIO(data)) as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            content = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise DataError("is no WAV file of PCM samples", where="audio") from error
    if channels != 1 or width != 2 or len(content) % 2:
        raise DataError(
            f"has {channels} channel(s) of {8 * width} bits, not 1 of 16", where="audio"
        )
    check_rate(rate, spec)
    return np.frombuffer(content, "<i2").astype(np.int16)


def check_rate(sample_rate_hz: object, spec: AudioFeatures) -> None:
    """Refuse a waveform that says another rate than the model takes.

    Raises:
        DataError: It does.
    """
    if sample_rate_hz != spec.sample_rate_hz:
        raise DataError(
            f"is sampled at {sample_rate_hz} Hz, the model takes {spec.sample_rate_hz} Hz",
            where="audio",
            todo="resample it",
        )


@functools.lru_cache(maxsize=8)
def _hann(length: int) -> Tensor:
    """Return a periodic window. Source: Harris 1978, equation 27a."""
    return _kept(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length))


@functools.lru_cache(maxsize=8)
def _cosines(bands: int, count: int) -> Tensor:
    """Return the first rows of the orthonormal DCT-II, [count, bands]."""
    rows, places = np.arange(count)[:, None], np.arange(bands) + 0.5
    table = np.sqrt(2 / bands) * np.cos(np.pi * rows * places / bands)
    table[0] /= np.sqrt(2)
    return _kept(table)


def _kept(table: Tensor) -> Tensor:
    """Return a table that may be shared: nobody can write to it."""
    table.flags.writeable = False
    return table
