# SPDX-License-Identifier: Apache-2.0
"""Mixed precision: channels that stand out get more bits."""
import numpy as np
import pytest

from quashkv import (InnerProductQuantizer, MixedPrecisionIPQuantizer, MixedPrecisionMSEQuantizer,
                     MSEQuantizer)
from support import nmse, unit

D = 128
# outlier bits, regular bits, outlier channels: 2.25, 2.5 and 3.5 bits per coordinate.
SPLITS = [(3, 2, 32, 2.25), (3, 2, 64, 2.5), (4, 3, 64, 3.5)]


def gaussian(rng, n=4000):
    return rng.standard_normal((n, D)).astype(np.float32)


def with_outliers(rng, n=4000):
    """16 channels ten times as large as the others."""
    x = gaussian(rng, n)
    x[:, np.arange(16) * 8 + 3] *= 10
    return x


def mixed_error(x, high, low, count):
    quantizer = MixedPrecisionMSEQuantizer(D, high, low, count)
    quantizer.calibrate(x)
    return nmse(x, quantizer.decompress(*quantizer.compress(x)))


def uniform_error(x, high, low, count):
    """Of the uniform quantizers at the same rate: their errors averaged."""
    error = {}
    for bits in high, low:
        quantizer = MSEQuantizer(D, bits)
        error[bits] = nmse(x, quantizer.decompress(*quantizer.compress(x)))
    return (count * error[high] + (D - count) * error[low]) / D


@pytest.mark.parametrize("high, low, count, bits", SPLITS)
def test_beats_the_uniform_quantizer_where_channels_stand_out(high, low, count, bits, rng):
    x = with_outliers(rng)
    assert mixed_error(x, high, low, count) <= .8 * uniform_error(x, high, low, count)


@pytest.mark.parametrize("high, low, count, bits", SPLITS)
def test_costs_nothing_where_they_do_not(high, low, count, bits, rng):
    x = gaussian(rng)
    assert mixed_error(x, high, low, count) <= 1.02 * uniform_error(x, high, low, count)


@pytest.mark.parametrize("high, low, count, bits", SPLITS)
@pytest.mark.parametrize("kind_of", [MixedPrecisionMSEQuantizer, MixedPrecisionIPQuantizer])
def test_effective_bits(kind_of, high, low, count, bits):
    assert kind_of(D, high, low, count).effective_bits == pytest.approx(bits)


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


def test_inner_products_of_outlier_data_are_better_than_uniform(rng):
    """For queries of any direction. (Where queries have the same outliers, each inner product is
    nearly that of 32 channels, and the sketch of a group gets worse as the group gets smaller.)"""
    x, q = with_outliers(rng), gaussian(rng)
    exact = (x * q).sum(-1)
    mixed = MixedPrecisionIPQuantizer(D, 3, 2, 32)
    mixed.calibrate(x)
    found = ((estimate(mixed, x, q) - exact) ** 2).mean()
    uniform = [((estimate(InnerProductQuantizer(D, bits), x, q) - exact) ** 2).mean()
               for bits in (2, 3)]
    assert found < .8 * (.75 * uniform[0] + .25 * uniform[1])
    without = ((estimate(mixed, x, q, False) - exact) ** 2).mean()
    assert without < 1.1 * found


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
    for indices, error, text in (([0, 128], ValueError, "128"), ([-1], ValueError, "-1"),
                                 ([3, 3], ValueError, "3"), ([.5], TypeError, "integer")):
        with pytest.raises(error, match=text):
            quantizer.set_outlier_channels(indices)
    assert not quantizer.calibrated
