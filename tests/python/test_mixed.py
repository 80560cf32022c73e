# SPDX-License-Identifier: Apache-2.0
"""Mixed precision: channels that stand out get more bits."""
import numpy as np
import pytest

from quashkv import (InnerProductQuantizer, MixedPrecisionIPQuantizer, MixedPrecisionMSEQuantizer,
                     MSEQuantizer)
from support import nmse, unit

D = 128
# Preset, outlier bits, regular bits, one outlier in so many channels: as doc/numerics.md has them.
PRESETS = [("2.25", 3, 2, 4), ("2.5", 3, 2, 2), ("3.5", 4, 3, 2)]
presets = pytest.mark.parametrize("preset, high, low, share", PRESETS)


def gaussian(rng, n=4000, d=D):
    return rng.standard_normal((n, d)).astype(np.float32)


def with_outliers(rng, n=4000, d=D):
    """16 channels ten times as large as the others."""
    x = gaussian(rng, n, d)
    x[:, np.arange(16) * (d // 16) + 3] *= 10
    return x


def mixed_error(x, preset):
    quantizer = MixedPrecisionMSEQuantizer.from_preset(x.shape[1], preset)
    quantizer.calibrate(x)
    return nmse(x, quantizer.decompress(*quantizer.compress(x)))


def uniform_error(x, high, low, share):
    """Of the uniform quantizers at the same rate: their errors averaged."""
    error = {}
    for bits in high, low:
        quantizer = MSEQuantizer(x.shape[1], bits)
        error[bits] = nmse(x, quantizer.decompress(*quantizer.compress(x)))
    return (error[high] + (share - 1) * error[low]) / share


@presets
@pytest.mark.parametrize("d", [64, 128, 256])
def test_beats_the_uniform_quantizer_where_channels_stand_out(preset, high, low, share, d, rng):
    x = with_outliers(rng, d=d)
    assert mixed_error(x, preset) <= .8 * uniform_error(x, high, low, share)


@presets
@pytest.mark.parametrize("d", [64, 128, 256])
def test_costs_nothing_where_they_do_not(preset, high, low, share, d, rng):
    x = gaussian(rng, d=d)
    assert mixed_error(x, preset) <= 1.02 * uniform_error(x, high, low, share)


@presets
@pytest.mark.parametrize("kind_of", [MixedPrecisionMSEQuantizer, MixedPrecisionIPQuantizer])
@pytest.mark.parametrize("d", [8, 100, 128])
def test_presets_are_splits_of_the_channels(kind_of, preset, high, low, share, d, rng):
    quantizer = kind_of.from_preset(d, preset, seed=5)
    assert type(quantizer) is kind_of and quantizer.seed == 5
    assert (quantizer.outlier_bits, quantizer.regular_bits) == (high, low)
    assert quantizer.n_outliers == d // share
    assert quantizer.effective_bits == float(preset)
    assert kind_of(d, high, low, d // share).effective_bits == float(preset)
    assert not quantizer.calibrated
    quantizer.calibrate(gaussian(rng, 50, d))
    assert quantizer.effective_bits == float(preset)
    assert len(quantizer.outlier_channels) == d // share
    assert kind_of.from_preset(d, float(preset)).n_outliers == d // share  # the number will do


@pytest.mark.parametrize("kind_of", [MixedPrecisionMSEQuantizer, MixedPrecisionIPQuantizer])
@pytest.mark.parametrize("d, preset, error, message", [
    (90, "2.25", ValueError, "d is 90, expected a multiple of 4 for 2.25 bits"),
    (127, "2.5", ValueError, "d is 127, expected a multiple of 2 for 2.5 bits"),
    (127, 3.5, ValueError, "d is 127, expected a multiple of 2 for 3.5 bits"),
    (128, "3", ValueError, "preset is '3', expected one of 2.25, 2.5, 3.5"),
    (128, None, ValueError, "preset is None, expected one of 2.25, 2.5, 3.5"),
    (64.0, "2.5", TypeError, "d must be an integer, got float")])
def test_presets_that_do_not_fit(kind_of, d, preset, error, message):
    with pytest.raises(error) as raised:
        kind_of.from_preset(d, preset)
    assert str(raised.value) == message


def test_calibration_finds_the_channels(kind, rng):
    for kind_of in MixedPrecisionMSEQuantizer, MixedPrecisionIPQuantizer:
        quantizer = kind_of(D, 3, 2, 16)
        assert not quantizer.calibrated
        quantizer.calibrate(kind(with_outliers(rng, 500)))
        assert quantizer.calibrated
        np.testing.assert_array_equal(quantizer.outlier_channels, np.arange(16) * 8 + 3)


def test_codes_of_a_channel_fit_its_bits(rng):
    x = with_outliers(rng)
    quantizer = MixedPrecisionMSEQuantizer(D, 4, 2, 16)
    quantizer.calibrate(x)
    indices, norms = quantizer.compress(x)
    high = np.zeros(D, bool)
    high[quantizer.outlier_channels] = True
    assert indices[:, high].max() == 15 and indices[:, ~high].max() == 3
    np.testing.assert_allclose(norms, np.stack([np.linalg.norm(x[:, high], axis=1),
                                                np.linalg.norm(x[:, ~high], axis=1)], 1), rtol=1e-5)


def test_listed_channels_do_what_calibration_does(rng):
    x = with_outliers(rng, 300)
    calibrated = MixedPrecisionMSEQuantizer(D, 3, 2, 16)
    calibrated.calibrate(x)
    for indices in ([int(i) for i in calibrated.outlier_channels][::-1],
                    np.asarray(calibrated.outlier_channels)):
        listed = MixedPrecisionMSEQuantizer(D, 3, 2, 16)
        listed.set_outlier_channels(indices)
        assert listed.calibrated
        for found, expected in zip(listed.compress(x), calibrated.compress(x)):
            np.testing.assert_array_equal(found, expected)


def test_uncalibrated_all_channels_are_regular(rng):
    x = gaussian(rng)
    quantizer = MixedPrecisionMSEQuantizer(D)
    indices, norms = quantizer.compress(x)
    assert indices.max() == 3
    assert nmse(x, quantizer.decompress(indices, norms)) == pytest.approx(.1160, rel=.02)


@pytest.mark.parametrize("count", [0, 1, 127, 128])
def test_any_split(count, rng):
    x = gaussian(rng, 200)
    quantizer = MixedPrecisionMSEQuantizer(D, 3, 2, count)
    quantizer.calibrate(x)
    decoded = quantizer.decompress(*quantizer.compress(x))
    assert nmse(x, decoded) < .13
    np.testing.assert_allclose(quantizer.unrotate(quantizer.rotate(x)), x, atol=2e-5)


def test_shapes_and_kinds(kind, rng):
    x = with_outliers(rng, 30).reshape(2, 3, 5, D)
    quantizer = MixedPrecisionMSEQuantizer(D)
    quantizer.calibrate(kind(x.reshape(-1, D)))
    indices, norms = quantizer.compress(kind(x))
    assert kind.check(indices, np.uint8).shape == x.shape
    assert kind.check(norms, np.float32).shape == (*x.shape[:-1], 2)
    decoded = kind.check(quantizer.decompress(indices, norms), np.float32)
    assert decoded.shape == x.shape and nmse(x, decoded) < .1
    assert kind.check(quantizer.rotate(kind(x))).shape == x.shape
    np.testing.assert_allclose(np.linalg.norm(kind.check(quantizer.rotate(kind(x))), axis=-1),
                               np.linalg.norm(x, axis=-1), rtol=1e-5)


def test_zero_vectors():
    quantizer = MixedPrecisionMSEQuantizer(D)
    quantizer.set_outlier_channels(range(32))
    x = np.zeros((2, D), np.float32)
    np.testing.assert_array_equal(quantizer.decompress(*quantizer.compress(x)), x)


# ---- The inner-product variant ----------------------------------------------------------------

def estimate(quantizer, x, q, with_residuals=True):
    rotate = getattr(quantizer, "rotate", None) or quantizer.mse_quantizer.rotate
    indices, signs, norms, residuals = quantizer.compress(x, return_residual=True)
    return quantizer.decompress_for_dot(indices, signs, norms, rotate(q),
                                        residual_norms=residuals if with_residuals else None)


def test_inner_products_are_unbiased_over_seeds(rng):
    x, q = unit(with_outliers(rng, 16)).reshape(2, 8, D)
    q = unit(x + .3 * q)
    exact = (x.astype(np.float64) * q).sum(-1)
    errors = []
    for seed in range(400):
        quantizer = MixedPrecisionIPQuantizer(D, 3, 2, 16, seed=seed)
        quantizer.set_outlier_channels(np.arange(16) * 8 + 3)
        errors.append(estimate(quantizer, x, q) - exact)
    errors = np.array(errors, np.float64)
    assert np.abs(errors.mean(0) / (errors.std(0, ddof=1) / len(errors) ** .5)).max() < 4


@presets
def test_inner_products_of_outlier_data(preset, high, low, share, rng):
    """As the docstring says, with some room: much better than uniform bits for queries of any
    direction; where queries have the same outliers, little better, and worse at 2.25 bits, since
    the sketch of a group gets worse as the group gets smaller. The levels alone are better."""
    x, any_direction, same_outliers = with_outliers(rng), gaussian(rng), with_outliers(rng)
    mixed = MixedPrecisionIPQuantizer.from_preset(D, preset)
    levels = MixedPrecisionMSEQuantizer.from_preset(D, preset)
    for quantizer in mixed, levels:
        quantizer.calibrate(x)
    decoded = levels.decompress(*levels.compress(x))
    ratio = {}
    for name, q in ("any", any_direction), ("same", same_outliers):
        exact = (x.astype(np.float64) * q).sum(-1)
        uniform = [((estimate(InnerProductQuantizer(D, bits), x, q) - exact) ** 2).mean()
                   for bits in (high, low)]
        uniform = (uniform[0] + (share - 1) * uniform[1]) / share
        found = ((estimate(mixed, x, q) - exact) ** 2).mean()
        ratio[name] = found / uniform
        assert (((decoded * q).sum(-1) - exact) ** 2).mean() < .35 * uniform
        assert ((estimate(mixed, x, q, False) - exact) ** 2).mean() < 1.1 * found
    print(f"{preset} bits: {ratio['any']:.2f} and {ratio['same']:.2f} times the uniform error")
    assert ratio["any"] < .6
    assert 1.2 < ratio["same"] < 1.6 if preset == "2.25" else .7 < ratio["same"] < 1.1


def test_inner_product_shapes_and_parts(kind, rng):
    x = with_outliers(rng, 30).reshape(2, 15, D)
    quantizer = MixedPrecisionIPQuantizer(D)
    quantizer.calibrate(kind(x.reshape(-1, D)))
    assert isinstance(quantizer.mse_quantizer, MixedPrecisionMSEQuantizer)
    indices, signs, norms = quantizer.compress(kind(x))
    assert kind.check(indices, np.uint8).shape == x.shape and kind.check(indices).max() <= 3
    assert kind.check(signs, np.uint8).max() == 1
    dots = kind.check(quantizer.decompress_for_dot(indices, signs, norms,
                                                   quantizer.mse_quantizer.rotate(kind(x))))
    squares = (x ** 2).sum(-1)
    assert dots.shape == (2, 15) and np.abs(dots / squares - 1).mean() < .2


# ---- Misuse -----------------------------------------------------------------------------------

@pytest.mark.parametrize("count", [-1, 129])
@pytest.mark.parametrize("kind_of", [MixedPrecisionMSEQuantizer, MixedPrecisionIPQuantizer])
def test_count_out_of_range(kind_of, count):
    with pytest.raises(ValueError) as error:
        kind_of(D, 3, 2, count)
    assert str(error.value) == f"n_outliers must be in [0, d], got {count}"


@pytest.mark.parametrize("kind_of", [MixedPrecisionMSEQuantizer, MixedPrecisionIPQuantizer])
def test_arguments_of_a_wrong_type(kind_of):
    with pytest.raises(TypeError, match="n_outliers must be an integer, got str"):
        kind_of(D, 3, 2, "32")
    with pytest.raises((TypeError, ValueError), match="bits must be"):
        kind_of(D, "3", 2)


def test_bits_out_of_order_or_range():
    with pytest.raises(ValueError) as error:
        MixedPrecisionMSEQuantizer(D, 2, 3)
    assert str(error.value) == "outlier_bits should be >= regular_bits"
    with pytest.raises(ValueError) as error:
        MixedPrecisionIPQuantizer(D, 3, 1)
    assert str(error.value) == "IP quantizer needs at least 2 total bits"
    with pytest.raises(ValueError, match="bits must be in"):
        MixedPrecisionMSEQuantizer(D, 5, 2)


@pytest.mark.parametrize("shape", [(D,), (2, 3, D), (10, 64)])
def test_calibration_data_of_a_wrong_shape(shape):
    with pytest.raises(ValueError, match="Expected \\(N, d\\) calibration data"):
        MixedPrecisionMSEQuantizer(D).calibrate(np.zeros(shape, np.float32))


def test_wrong_channels():
    quantizer = MixedPrecisionMSEQuantizer(D)
    for indices, error, message in (
            ([0, 128], ValueError, "indices[1] is 128, expected 0..127"),
            (np.array([-1]), ValueError, "indices[0] is -1, expected 0..127"),
            ([3, 7, 3], ValueError, "indices: channel 3 appears twice"),
            ([0, .5], TypeError, "indices[1] must be an integer, got float"),
            (np.zeros(2), TypeError,
             "indices: expected one dimension of integers, got float64 of shape (2,)")):
        with pytest.raises(error) as raised:
            quantizer.set_outlier_channels(indices)
        assert str(raised.value) == message
    assert not quantizer.calibrated
