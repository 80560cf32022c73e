# SPDX-License-Identifier: Apache-2.0
"""MSEQuantizer (paper, Algorithm 1)."""
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from quashkv import MSEQuantizer
from quashkv.codebook import LloydMaxCodebook
from support import nmse, unit


@pytest.mark.parametrize("d", [1, 2, 3, 8, 31, 64, 80, 96, 127, 128, 192, 576])
def test_rotation_is_orthonormal(d, rng):
    quantizer = MSEQuantizer(d, 2)
    pi = np.asarray(quantizer.Pi, np.float64)
    assert pi.shape == (d, d)
    np.testing.assert_allclose(pi @ pi.T, np.eye(d), atol=3e-6)
    x = rng.standard_normal((7, d)).astype(np.float32)
    rotated = quantizer.rotate(x)
    np.testing.assert_allclose(rotated, x @ pi.T, atol=2e-5)
    np.testing.assert_allclose(quantizer.unrotate(rotated), x, atol=2e-5)


def test_seeds_give_different_rotations_and_the_same_seed_the_same():
    first, again, other = (np.asarray(MSEQuantizer(64, 2, seed=s).Pi) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > .1


@pytest.mark.parametrize("d", [64, 80, 128])
@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_error_is_that_of_theory(d, bits, rng):
    """Rows of a random direction and any length: the optimal error within 2 %, and below the
    paper's bound sqrt(3)*pi/2 * 4^-bits."""
    x = rng.standard_normal((4000, d)).astype(np.float32) * rng.uniform(.01, 100, (4000, 1))
    quantizer = MSEQuantizer(d, bits)
    indices, norms = quantizer.compress(x)
    decoded = quantizer.decompress(indices, norms)
    error = nmse(unit(x), decoded / np.asarray(norms)[:, None])
    assert error == pytest.approx(LloydMaxCodebook(d, bits, use_exact_pdf=True).mse_cost(), rel=.02)
    assert error < 3 ** .5 * np.pi / 2 * 4. ** -bits


def test_spiky_rows_are_coded_as_well_as_gaussian_ones(rng):
    x = np.zeros((2000, 96), np.float32)
    for row in x:
        row[rng.choice(96, 2, replace=False)] = rng.standard_normal(2)
    quantizer = MSEQuantizer(96, 3)
    assert nmse(x, quantizer.decompress(*quantizer.compress(x))) < 1.1 * .0346


def test_shapes_and_kinds(kind, rng):
    x = rng.standard_normal((2, 3, 5, 64)).astype(np.float32)
    quantizer = MSEQuantizer(64, 3)
    indices, norms = quantizer.compress(kind(x))
    assert kind.check(indices, np.uint8).shape == x.shape
    assert kind.check(indices).max() <= 7
    assert kind.check(norms, np.float32).shape == x.shape[:-1]
    np.testing.assert_allclose(kind.check(norms), np.linalg.norm(x, axis=-1), rtol=1e-5)
    decoded = kind.check(quantizer.decompress(indices, norms), np.float32)
    assert decoded.shape == x.shape and nmse(x, decoded) < .04
    assert kind.check(quantizer.rotate(kind(x)), np.float32).shape == x.shape
    assert kind.check(quantizer.unrotate(kind(x)), np.float32).shape == x.shape


def test_decompress_takes_norms_of_any_source(rng):
    """The norm is |x| itself: doubling it doubles the vector."""
    x = rng.standard_normal((5, 64)).astype(np.float32)
    quantizer = MSEQuantizer(64, 3)
    indices, norms = quantizer.compress(x)
    twice = quantizer.decompress(indices, 2 * norms)
    np.testing.assert_allclose(twice, 2 * quantizer.decompress(indices, norms), rtol=1e-6)
    exact = np.linalg.norm(x, axis=-1).astype(np.float16)
    np.testing.assert_allclose(quantizer.decompress(indices, exact),
                               quantizer.decompress(indices, norms), rtol=2e-3, atol=1e-4)


def test_definition_from_its_parts(rng):
    """indices = nearest centroid of the rotated direction; decoded = norm * centroids, rotated
    back: what code written against Pi and codebook computes."""
    x = rng.standard_normal((300, 64)).astype(np.float32)
    quantizer = MSEQuantizer(64, 3)
    indices, norms = quantizer.compress(x)
    pi = np.asarray(quantizer.Pi)
    direction = (x / np.linalg.norm(x, axis=-1, keepdims=True)) @ pi.T
    same = indices == np.asarray(quantizer.codebook.quantize(direction))
    assert same.mean() > .9995  # products in another order may move a value over a boundary
    centroids = np.asarray(quantizer.codebook.centroids)[indices] * np.asarray(norms)[:, None]
    np.testing.assert_allclose(quantizer.decompress(indices, norms), centroids @ pi, atol=2e-5)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_zero_vectors_survive(bits):
    quantizer = MSEQuantizer(48, bits)
    indices, norms = quantizer.compress(np.zeros((2, 48), np.float32))
    assert not np.asarray(norms).any()
    np.testing.assert_array_equal(quantizer.decompress(indices, norms), np.zeros((2, 48)))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 200), st.sampled_from([1, 2, 3, 4]), st.lists(st.integers(0, 3), max_size=3),
       st.integers(0, 2 ** 32 - 1), st.floats(-30, 30))
def test_any_shape_and_length(d, bits, batch, seed, exponent):
    x = np.random.default_rng(seed).standard_normal((*batch, d)).astype(np.float32)
    x *= np.float32(10. ** exponent)
    quantizer = MSEQuantizer(d, bits, seed=seed)
    indices, norms = quantizer.compress(x)
    assert indices.shape == x.shape and np.asarray(norms).shape == x.shape[:-1]
    decoded = quantizer.decompress(indices, norms)
    assert decoded.shape == x.shape and np.isfinite(decoded).all()
    if x.size and d > 1:
        assert nmse(x / np.float32(10. ** exponent), decoded / np.float32(10. ** exponent)) < 1


def test_attributes_to_and_repr():
    quantizer = MSEQuantizer(64, 3, 7, "cpu")
    assert quantizer.to("cpu") is quantizer
    assert quantizer.codebook.centroids.shape == (8,)
    assert (quantizer.d, quantizer.bits, quantizer.seed) == (64, 3, 7)
    assert "MSEQuantizer" in repr(quantizer)
    with pytest.raises(ValueError, match=r"bits must be in \{1, 2, 3, 4\}, got 5"):
        MSEQuantizer(64, 5)
