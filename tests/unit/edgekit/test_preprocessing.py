import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import DataError
from edgekit.manifest import Layout, Preprocessing, Resize
from edgekit.preprocessing import prepare

RNG = np.random.default_rng(0)


def test_a_value_is_scaled_then_normalised():
    image = np.array([[0, 255]], dtype=np.uint8)
    spec = Preprocessing(height=1, width=2, scale=1 / 255, mean=(0.5,), std=(0.25,))
    np.testing.assert_allclose(prepare(image, spec).ravel(), [-2.0, 2.0], rtol=1e-6)


def test_mean_and_std_belong_to_channels():
    image = np.ones((2, 2, 3), dtype=np.uint8) * 10
    spec = Preprocessing(height=2, width=2, channels=3, mean=(0, 5, 10), std=(1, 5, 10))
    np.testing.assert_allclose(prepare(image, spec)[0, :, 0, 0], [10, 1, 0])


@pytest.mark.parametrize(
    ("layout", "shape"), [(Layout.NCHW, (1, 3, 4, 5)), (Layout.NHWC, (1, 4, 5, 3))]
)
def test_the_layout_decides_the_axes(layout: Layout, shape: tuple[int, ...]):
    image = RNG.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    batch = prepare(image, Preprocessing(height=4, width=5, channels=3, layout=layout))
    assert batch.shape == shape
    assert batch.dtype == np.float32
    assert batch.flags.c_contiguous


@given(st.sampled_from([np.uint8, np.float32, np.float64]))
def test_a_grey_image_may_leave_out_its_channel(dtype: type):
    image: np.ndarray = RNG.integers(0, 17, (8, 8)).astype(dtype)
    spec = Preprocessing(height=8, width=8, scale=1 / 16)
    np.testing.assert_array_equal(prepare(image, spec), prepare(image[..., None], spec))


def test_without_a_preprocessing_a_sample_only_gets_its_batch():
    tensor = RNG.random((3, 4)).astype(np.float32)
    np.testing.assert_array_equal(prepare(tensor, None), tensor[None])


@pytest.mark.parametrize("shape", [(8, 8, 3), (8,), (1, 8, 8, 1)])
def test_another_number_of_channels_or_axes_is_refused(shape: tuple[int, ...]):
    with pytest.raises(DataError, match="1 channel"):
        prepare(np.zeros(shape), Preprocessing(height=8, width=8))


def test_another_size_is_refused_unless_a_resize_is_set():
    with pytest.raises(DataError, match="9x8 pixels, the model takes 8x8"):
        prepare(np.zeros((9, 8)), Preprocessing(height=8, width=8))


@pytest.mark.parametrize("resize", [Resize.STRETCH, Resize.LETTERBOX, Resize.CENTER_CROP])
@pytest.mark.parametrize("shape", [(20, 10, 3), (10, 20, 3), (4, 4, 3), (7, 3, 3)])
def test_every_resize_gives_the_size_of_the_input(resize: Resize, shape: tuple[int, ...]):
    image = RNG.integers(0, 256, shape, dtype=np.uint8)
    spec = Preprocessing(height=6, width=8, channels=3, resize=resize)
    assert prepare(image, spec).shape == (1, 3, 6, 8)


def test_a_letterbox_keeps_the_aspect_and_pads_with_zeros():
    image = np.full((4, 8), 100, dtype=np.uint8)
    spec = Preprocessing(height=8, width=8, resize=Resize.LETTERBOX)
    rows = prepare(image, spec)[0, 0]
    np.testing.assert_array_equal(rows[[0, 1, 6, 7]], 0)
    np.testing.assert_array_equal(rows[2:6], 100)


def test_a_centre_crop_keeps_the_middle():
    image = np.tile(np.arange(12, dtype=np.uint8), (4, 1))
    spec = Preprocessing(height=4, width=4, resize=Resize.CENTER_CROP)
    np.testing.assert_array_equal(prepare(image, spec)[0, 0, 0], [4, 5, 6, 7])


def test_a_stretch_uses_the_whole_image():
    image = np.zeros((4, 8), dtype=np.uint8)
    image[:, 4:] = 200
    spec = Preprocessing(height=4, width=4, resize=Resize.STRETCH)
    np.testing.assert_array_equal(prepare(image, spec)[0, 0, 0], [0, 0, 200, 200])
