# SPDX-License-Identifier: Apache-2.0
"""InnerProductQuantizer (paper, Algorithm 2): unbiased, with the variance of theory."""
import numpy as np
import pytest

from quashkv import InnerProductQuantizer, _lib
from support import unit

# How many seeds: a seed makes a (d, d) Gaussian matrix.
SEEDS = {64: 1500, 128: 800, 256: 300}


def pairs(d, count=8):
    """Fixed unit vectors x and queries at cosines from 0 to .95: any odd estimator passes on
    queries of both signs, so the sign of the cosine is fixed too."""
    rng = np.random.default_rng(d)
    x, noise = unit(rng.standard_normal((2, count, d)))
    noise = unit(noise - (noise * x).sum(-1, keepdims=True) * x)
    cosine = np.linspace(0, .95, count)[:, None]
    return x.astype(np.float32), (cosine * x + np.sqrt(1 - cosine ** 2) * noise).astype(np.float32)


def estimate(quantizer, x, q, with_residuals=True):
    indices, signs, norms, residuals = quantizer.compress(x, return_residual=True)
    return quantizer.decompress_for_dot(indices, signs, norms, quantizer.mse_quantizer.rotate(q),
                                        residual_norms=residuals if with_residuals else None)


@pytest.mark.parametrize("d", SEEDS)
def test_unbiased_over_seeds_for_fixed_vectors(d):
    x, q = pairs(d)
    estimates = np.array([estimate(InnerProductQuantizer(d, 2 + seed % 3, seed=seed), x, q)
                          for seed in range(SEEDS[d])], np.float64)
    exact = (x.astype(np.float64) * q).sum(-1)
    for bits in 2, 3, 4:
        errors = estimates[bits - 2::3] - exact
        z = errors.mean(0) / (errors.std(0, ddof=1) / len(errors) ** .5)
        assert np.abs(z).max() < 4, f"{bits} bits: z = {z}"
        pooled = errors.mean(1)  # one more degree of averaging: over the pairs
        assert abs(pooled.mean()) < 4 * pooled.std(ddof=1) / len(pooled) ** .5


@pytest.mark.parametrize("d", [64, 128])
@pytest.mark.parametrize("bits", [2, 3, 4])
def test_variance_is_that_of_theory(d, bits, rng):
    theory = _lib.lib.quash_theory_product_variance(d, bits)
    assert theory < _lib.lib.quash_theory_product_bound(d, bits)
    squares = []
    for seed in range(12):
        x, q = unit(rng.standard_normal((2, 1000, d)).astype(np.float32))
        errors = estimate(InnerProductQuantizer(d, bits, seed=seed), x, q) - (x * q).sum(-1)
        squares.append((errors.astype(np.float64) ** 2).mean())
    assert np.mean(squares) == pytest.approx(theory, rel=.05)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_without_residual_norms_the_error_grows_little(bits, rng):
    x, q = unit(rng.standard_normal((2, 4000, 128)).astype(np.float32))
    exact = (x * q).sum(-1)
    quantizer = InnerProductQuantizer(128, bits)
    with_, without = (((estimate(quantizer, x, q, use) - exact) ** 2).mean()
                      for use in (True, False))
    assert without < 1.05 * with_
    near = unit(x + .5 * q)
    error = estimate(quantizer, x, near, False) - (x * near).sum(-1)
    assert abs(error.mean()) < .01


def test_norms_scale_the_estimate(rng):
    x, q = rng.standard_normal((2, 50, 64)).astype(np.float32)
    quantizer = InnerProductQuantizer(64, 3)
    np.testing.assert_allclose(estimate(quantizer, 100 * x, q), 100 * estimate(quantizer, x, q),
                               rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(estimate(quantizer, x, -q), -estimate(quantizer, x, q),
                               rtol=1e-5, atol=1e-5)


def test_definition_from_its_parts(rng):
    """|x| * (<q, u'> + sqrt(pi/2)/d * |r| * <S q, sign(S r)>), all after the rotation."""
    x, q = rng.standard_normal((2, 40, 64)).astype(np.float32)
    quantizer = InnerProductQuantizer(64, 3)
    indices, signs, norms, residuals = quantizer.compress(x, return_residual=True)
    s, level = np.asarray(quantizer.S, np.float64), np.asarray(
        quantizer.mse_quantizer.codebook.centroids, np.float64)[indices]
    rotated = quantizer.mse_quantizer.rotate(x) / np.linalg.norm(x, axis=-1, keepdims=True)
    residual = rotated - level
    np.testing.assert_allclose(residuals, np.linalg.norm(residual, axis=-1), rtol=1e-4)
    assert ((residual @ s.T >= 0) == signs).mean() > .999
    q_rot = quantizer.mse_quantizer.rotate(q)
    dots = (q_rot * level).sum(-1) + quantizer.qjl_scale * residuals * (
        (q_rot @ s.T) * (2. * signs - 1)).sum(-1)
    found = quantizer.decompress_for_dot(indices, signs, norms, q_rot, residual_norms=residuals)
    np.testing.assert_allclose(found, norms * dots, rtol=1e-4, atol=1e-4)


def test_projection_is_gaussian():
    s = np.asarray(InnerProductQuantizer(128).S, np.float64)
    assert s.shape == (128, 128)
    assert abs(s.mean()) < 4 / 128 and s.var() == pytest.approx(1, abs=.06)
    assert (s ** 4).mean() == pytest.approx(3, abs=.4)
    assert np.abs(s @ s.T / 128 - np.eye(128)).max() < .6  # rows are independent


def test_shapes_and_kinds(kind, rng):
    x = rng.standard_normal((2, 3, 5, 64)).astype(np.float32)
    quantizer = InnerProductQuantizer(64)
    indices, signs, norms = quantizer.compress(kind(x))
    assert kind.check(indices, np.uint8).shape == x.shape and kind.check(indices).max() <= 3
    assert kind.check(signs, np.uint8).shape == x.shape
    assert set(np.unique(kind.check(signs))) == {0, 1}
    assert kind.check(norms, np.float32).shape == x.shape[:-1]
    with_residuals = quantizer.compress(kind(x), return_residual=True)
    assert len(with_residuals) == 4
    residuals = kind.check(with_residuals[3], np.float32)
    assert residuals.shape == x.shape[:-1]
    assert (residuals ** 2).mean() == pytest.approx(.116, rel=.1)
    rotated = quantizer.mse_quantizer.rotate(kind(x))
    dots = kind.check(quantizer.decompress_for_dot(indices, signs, norms, rotated), np.float32)
    assert dots.shape == x.shape[:-1]
    one = quantizer.mse_quantizer.rotate(kind(x[0, 0, 0]))
    broadcast = kind.check(quantizer.decompress_for_dot(indices, signs, norms, one))
    assert broadcast.shape == x.shape[:-1]
    np.testing.assert_allclose(broadcast[0, 0, 0], dots[0, 0, 0], rtol=1e-5)


def test_zero_vectors(rng):
    quantizer = InnerProductQuantizer(64, 3)
    x = np.zeros((3, 64), np.float32)
    q = rng.standard_normal((3, 64)).astype(np.float32)
    np.testing.assert_array_equal(estimate(quantizer, x, q), 0)
    np.testing.assert_array_equal(estimate(quantizer, x, q, False), 0)
    assert np.isfinite(estimate(quantizer, q, x)).all()


def test_attributes():
    quantizer = InnerProductQuantizer(128, 3)
    assert (quantizer.d, quantizer.total_bits, quantizer.mse_bits) == (128, 3, 2)
    assert quantizer.mse_quantizer.bits == 2
    assert quantizer.qjl_scale == pytest.approx((np.pi / 2) ** .5 / 128)
    assert quantizer.to("cpu") is quantizer


@pytest.mark.parametrize("bits", [1, 0, -1])
def test_too_few_bits(bits):
    with pytest.raises(ValueError) as error:
        InnerProductQuantizer(64, bits)
    assert str(error.value) == "InnerProductQuantizer needs at least 2 total bits"


def test_too_many_bits():
    with pytest.raises(ValueError, match="total_bits is 5, expected 2..4"):
        InnerProductQuantizer(64, 5)
