import io
import wave
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.fft import dct
from scipy.signal import stft

from edgekit.audio import decode_wave, fault_of, fitted, mel_filters, waveform_length
from edgekit.errors import DataError
from edgekit.manifest import AudioFeatures, AudioNormalize, Layout, Preprocessing
from edgekit.preprocessing import prepare, sized

RATE = 16000
AUDIO = AudioFeatures(
    sample_rate_hz=RATE,
    frame_length=480,
    hop_length=160,
    fft_size=512,
    mel_bands=40,
    fmin_hz=20,
    fmax_hz=7600,
)
FRAMES = 30
SPEC = Preprocessing(height=FRAMES, width=40, audio=AUDIO)
LENGTH = 480 + 29 * 160


def speech(length: int = LENGTH) -> np.ndarray:
    """Return a tone that rises under noise, int16."""
    seconds = np.arange(length) / RATE
    rising = np.sin(2 * np.pi * (300 + 4000 * seconds) * seconds)
    noise = np.random.default_rng(1).normal(0, 0.1, length)
    return ((0.5 * rising + noise) * 16000).astype(np.int16)


def reference(waveform: np.ndarray, audio: AudioFeatures) -> np.ndarray:
    """Return log-mel energies [frames, bands] by SciPy's transform and filters drawn one by one."""
    _, _, spectrum = stft(
        waveform / 32768,
        fs=audio.sample_rate_hz,
        window="hann",
        nperseg=audio.frame_length,
        noverlap=audio.frame_length - audio.hop_length,
        nfft=audio.fft_size,
        boundary=None,
        padded=False,
    )
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(audio.frame_length) / audio.frame_length)
    power = np.abs(spectrum * window.sum()) ** 2
    low, high = (2595 * np.log10(1 + f / 700) for f in (audio.fmin_hz, audio.fmax_hz))
    mel = np.linspace(low, high, audio.mel_bands + 2)
    hertz = [700 * (10 ** (m / 2595) - 1) for m in mel]
    frequencies = np.arange(audio.fft_size // 2 + 1) * audio.sample_rate_hz / audio.fft_size
    bands = [
        np.interp(frequencies, hertz[b : b + 3], [0.0, 1.0, 0.0], left=0, right=0) @ power
        for b in range(audio.mel_bands)
    ]
    logarithms: np.ndarray = np.log(np.maximum(np.stack(bands, axis=1), audio.log_floor))
    return logarithms


def test_log_mel_energies_are_those_of_scipy():
    got = prepare(speech(), SPEC)
    assert got.shape == (1, 1, FRAMES, 40)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got[0, 0], reference(speech(), AUDIO), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("count", [1, 13, 40])
def test_mfcc_are_the_orthonormal_cosine_transform_of_scipy(count: int):
    spec = replace(SPEC, width=count, audio=replace(AUDIO, mfcc_count=count))
    wanted = dct(reference(speech(), AUDIO), type=2, norm="ortho", axis=1)[:, :count]
    np.testing.assert_allclose(prepare(speech(), spec)[0, 0], wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("fft_size", "frame_length"), [(480, 480), (481, 333), (1024, 2)])
def test_transforms_of_any_size_agree_with_scipy(fft_size: int, frame_length: int):
    audio = replace(AUDIO, fft_size=fft_size, frame_length=frame_length, hop_length=1, mel_bands=10)
    spec = replace(SPEC, height=5, width=10, audio=audio)
    signal = speech(waveform_length(audio, 5))
    np.testing.assert_allclose(
        prepare(signal, spec)[0, 0], reference(signal, audio), rtol=1e-5, atol=1e-5
    )


def test_int16_and_the_same_waveform_as_float32_give_the_same():
    as_float = (speech() / 32768).astype(np.float32)
    np.testing.assert_array_equal(prepare(as_float, SPEC), prepare(speech(), SPEC))


def test_silence_gives_the_logarithm_of_the_floor():
    got = prepare(np.zeros(LENGTH, np.int16), SPEC)
    np.testing.assert_allclose(got, np.log(1e-6), rtol=1e-6)


def test_scale_mean_and_std_apply_to_features_and_the_layout_decides_the_axes():
    decibels = 10 / np.log(10)
    spec = replace(SPEC, scale=decibels, mean=(-30.0,), std=(20.0,), layout=Layout.NHWC)
    wanted = (reference(speech(), AUDIO) * decibels + 30) / 20
    got = prepare(speech(), spec)
    assert got.shape == (1, FRAMES, 40, 1)
    np.testing.assert_allclose(got[0, ..., 0], wanted, rtol=1e-5, atol=1e-5)


def test_normalising_a_sample_gives_each_band_mean_0_and_deviation_1():
    spec = replace(SPEC, audio=replace(AUDIO, normalize=AudioNormalize.SAMPLE))
    got = prepare(speech(), spec)[0, 0].astype(np.float64)
    np.testing.assert_allclose(got.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(got.std(axis=0), 1, atol=1e-6)
    assert np.isfinite(prepare(np.zeros(LENGTH, np.int16), spec)).all()


def test_padding_adds_zeros_at_the_end_and_cuts_there():
    audio = replace(AUDIO, pad=True)
    short, long = speech(1000), speech(LENGTH + 1000)
    padded = fitted(short, audio, FRAMES)
    assert padded.dtype == np.int16
    np.testing.assert_array_equal(padded, np.concatenate([short, np.zeros(LENGTH - 1000)]))
    np.testing.assert_array_equal(fitted(long, audio, FRAMES), long[:LENGTH])


def test_what_is_kept_for_calibration_prepares_to_the_same():
    spec = replace(SPEC, audio=replace(AUDIO, pad=True))
    kept = sized(speech(3000), spec)
    np.testing.assert_array_equal(prepare(kept, spec), prepare(speech(3000), spec))


@pytest.mark.parametrize(
    ("waveform", "reason"),
    [
        (speech(LENGTH - 1), rf"too short, the model takes {LENGTH} \(0.32 s at 16000 Hz\)"),
        (speech(LENGTH + 1), "too long"),
        (np.zeros((LENGTH, 2), np.int16), "one channel"),
        (np.zeros(LENGTH, np.uint8), "int16 or float32"),
        (np.zeros(LENGTH, np.float64), "int16 or float32"),
        (np.full(LENGTH, np.nan, np.float32), "not finite"),
    ],
)
def test_a_waveform_that_does_not_suit_is_refused(waveform: np.ndarray, reason: str):
    with pytest.raises(DataError, match=reason):
        prepare(waveform, SPEC)


def test_nothing_at_all_is_refused_even_with_padding():
    with pytest.raises(DataError, match="too short"):
        fitted(np.zeros(0, np.int16), replace(AUDIO, pad=True), FRAMES)


def wav(samples: np.ndarray, *, rate: int = RATE, channels: int = 1, width: int = 2) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return out.getvalue()


def test_a_wav_file_gives_its_samples():
    np.testing.assert_array_equal(decode_wave(wav(speech()), AUDIO), speech())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (wav(speech(), rate=8000), "sampled at 8000 Hz, the model takes 16000 Hz"),
        (wav(speech(), channels=2), "2 channel"),
        (wav(speech(), width=1), "8 bits"),
        (b"", "no WAV file"),
        (b"RIFF....WAVEjunk", "no WAV file"),
        (wav(speech())[:20], "no WAV file"),
    ],
)
def test_another_wav_file_is_refused(data: bytes, reason: str):
    with pytest.raises(DataError, match=reason):
        decode_wave(data, AUDIO)


def test_tables_that_are_shared_cannot_be_written():
    with pytest.raises(ValueError, match="read-only"):
        mel_filters(AUDIO)[0, 0] = 1


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, ""),
        ({"mfcc_count": 40}, ""),
        ({"sample_rate_hz": 0}, "at least 1"),
        ({"hop_length": 0}, "at least 1"),
        ({"frame_length": 513}, "at most fft_size"),
        ({"frame_length": 1}, "at least 2"),
        ({"fmax_hz": 8001.0}, "half the sample rate"),
        ({"fmin_hz": 7600.0}, "below fmax_hz"),
        ({"log_floor": 0.0}, "log_floor"),
        ({"mfcc_count": 41}, "mfcc_count"),
        ({"mel_bands": 200, "mfcc_count": 40}, "holds no frequency"),
        ({"mel_bands": 32}, "width 32"),
        ({"mfcc_count": 10}, "width 10"),
    ],
)
def test_a_declaration_that_cannot_be_used_is_told(changed: dict[str, Any], reason: str):
    fault = fault_of(replace(SPEC, audio=replace(AUDIO, **changed)))
    assert (reason in fault) if reason else not fault
