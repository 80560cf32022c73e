# SPDX-License-Identifier: Apache-2.0
"""LloydMaxCodebook and the functions beside it."""
import numpy as np
import pytest
from hypothesis import given, strategies as st

from quashkv.codebook import LloydMaxCodebook, compute_mse_cost, get_codebook, solve_lloyd_max

# Max (1960), N(0, 1): positive levels and mean squared error.
LEVELS = {1: [.797885], 2: [.452780, 1.510418], 3: [.245094, .756005, 1.343909, 2.151946],
          4: [.128395, .388048, .656759, .942340, 1.256231, 1.618046, 2.069017, 2.732590]}
ERRORS = {1: .363380, 2: .117482, 3: .034548, 4: .009501}


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
@pytest.mark.parametrize("d", [16, 64, 128])
def test_levels_are_the_optimal_ones(d, bits):
    codebook = LloydMaxCodebook(d, bits)
    centroids, boundaries = np.asarray(codebook.centroids), np.asarray(codebook.boundaries)
    assert centroids.shape == (2 ** bits,) and boundaries.shape == (2 ** bits - 1,)
    assert (np.diff(centroids) > 0).all() and (np.diff(boundaries) > 0).all()
    np.testing.assert_allclose(centroids[2 ** (bits - 1):] * d ** .5, LEVELS[bits], atol=2e-5)
    np.testing.assert_allclose(centroids, -centroids[::-1], atol=1e-7)
    np.testing.assert_allclose(boundaries, (centroids[1:] + centroids[:-1]) / 2, atol=1e-7)
    assert codebook.mse_cost() == pytest.approx(ERRORS[bits], rel=1e-4)
    assert compute_mse_cost(d, bits) * d == pytest.approx(codebook.mse_cost(), rel=1e-6)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_exact_density_has_lighter_tails(bits):
    exact = LloydMaxCodebook(32, bits, use_exact_pdf=True)
    assert exact.mse_cost() < LloydMaxCodebook(32, bits).mse_cost()
    near = LloydMaxCodebook(4096, bits, use_exact_pdf=True)
    assert near.mse_cost() == pytest.approx(ERRORS[bits], rel=5e-3)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_cost_is_what_one_measures(bits, rng):
    d = 64
    rows = rng.standard_normal((4000, d))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    codebook = LloydMaxCodebook(d, bits, use_exact_pdf=True)
    decoded = np.asarray(codebook.dequantize(codebook.quantize(rows.astype(np.float32))))
    assert ((rows - decoded) ** 2).sum(1).mean() == pytest.approx(codebook.mse_cost(), rel=.02)


@given(st.sampled_from([1, 2, 3, 4]), st.integers(2, 300), st.integers(0, 2 ** 32 - 1),
       st.lists(st.integers(0, 4), max_size=3))
def test_quantize_is_nearest_and_search_agrees(bits, d, seed, shape):
    codebook = get_codebook(d, bits)
    x = np.asarray(np.random.default_rng(seed).standard_normal(shape) / d ** .5, np.float32)
    codes = np.asarray(codebook.quantize(x))
    assert codes.dtype == np.uint8 and codes.shape == x.shape
    np.testing.assert_array_equal(codes, codebook.quantize_boundary(x))
    distance = np.abs(x[..., None] - np.asarray(codebook.centroids))
    found = np.take_along_axis(distance, codes[..., None].astype(int), -1)[..., 0]
    np.testing.assert_allclose(found, distance.min(-1), atol=1e-6)


def test_dequantize(kind):
    codebook = LloydMaxCodebook(64, 2)
    codes = np.array([[0, 1, 2], [3, 0, 0]], np.uint8)
    decoded = kind.check(codebook.dequantize(kind(codes)), np.float32)
    np.testing.assert_array_equal(decoded, np.asarray(codebook.centroids)[codes])
    kind.check(codebook.quantize(kind(np.zeros((2, 3), np.float32))), np.uint8)
    kind.check(codebook.quantize_boundary(kind(np.zeros((2, 3), np.float32))), np.uint8)


def test_solve_and_cache():
    centroids, boundaries = solve_lloyd_max(128, 3)[:2]
    codebook = LloydMaxCodebook(128, 3)
    np.testing.assert_allclose(np.asarray(centroids), np.asarray(codebook.centroids), atol=1e-7)
    np.testing.assert_allclose(np.asarray(boundaries), np.asarray(codebook.boundaries), atol=1e-7)
    assert get_codebook(128, 3) is get_codebook(128, 3)


def test_to_and_repr():
    codebook = LloydMaxCodebook(128, 3)
    assert codebook.to("cpu") is codebook
    assert "LloydMaxCodebook" in repr(codebook) and "128" in repr(codebook)


@pytest.mark.parametrize("bits", [0, 5, -1, 8, 2.5])
def test_bits_out_of_range(bits):
    with pytest.raises(ValueError) as error:
        LloydMaxCodebook(128, bits)
    assert str(error.value) == f"bits must be in {{1, 2, 3, 4}}, got {bits}"
    with pytest.raises(ValueError, match="bits must be in"):
        get_codebook(128, bits)
    with pytest.raises(ValueError, match="bits must be in"):
        solve_lloyd_max(128, bits)
