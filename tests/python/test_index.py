# SPDX-License-Identifier: Apache-2.0
"""QuashIndex: recall on real vectors, exact answers where they are due, sizes."""
import os
import pathlib
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from quashkv import QuashIndex
from support import overlap, read_bvecs, top, unit


CLEAR_REFS = "/proc/self/clear_refs"


@pytest.fixture(scope="module")
def sift(data):
    """Rows and queries of unit length: inner product is then cosine."""
    return [unit(read_bvecs(data / "sift" / f"{name}.bvecs").astype(np.float32))
            for name in ("base", "queries")]


@pytest.mark.parametrize("bits, recall", [(1, .565), (2, .765), (3, .870), (4, .925)])
def test_recall_on_sift(bits, recall, sift):
    base, queries = sift
    exact = top(queries @ base.T, 10)
    found = []
    for seed in range(5):
        index = QuashIndex(128, bits, seed=seed)
        index.add(base)
        found.append(overlap(index.search(queries, 10)[1], exact))
    print(f"R@10 at {bits} bits: {np.mean(found):.4f}")
    assert np.mean(found) >= recall


def test_recall_at_k_is_the_share_of_the_exact_ones(sift):
    base, queries = sift[0], sift[1][:100]
    index = QuashIndex(128, 4)
    index.add(base)
    exact = top(queries @ base.T, 10)
    expected = overlap(index.search(queries, 10)[1], exact)
    assert index.recall_at_k(queries, base, 10) == pytest.approx(expected, abs=.002)
    assert index.recall_at_k(queries, base, k=100) > .9


@pytest.mark.slow
def test_a_thousand_queries_on_a_hundred_thousand_vectors():
    """In bounded memory: the (1,000, 100,000) scores alone would be 400 MB."""
    if not os.access(CLEAR_REFS, os.W_OK):
        pytest.skip(f"{CLEAR_REFS} cannot be written: no peak to measure")
    rng = np.random.default_rng(1)
    factors = rng.standard_normal((24, 128)).astype(np.float32)
    base = rng.standard_normal((100_000, 24)).astype(np.float32) @ factors
    queries = rng.standard_normal((1000, 24)).astype(np.float32) @ factors
    index = QuashIndex(128, 4)
    index.add(base)
    results = {}
    for name, call in (("search", lambda: index.search(queries, 10)[1]),
                       ("brute_force", lambda: index.brute_force(queries, base, 10)[1]),
                       ("recall_at_k", lambda: index.recall_at_k(queries, base, 10))):
        results[name], traced, resident = peaks(call)
        print(f"{name}: {traced / 1e6:.0f} MB traced, {resident / 1e6:.0f} MB resident")
        assert traced < 60e6 and resident < 100e6, name
    assert index.memory_bytes() < 1.3 * 100_000 * 72
    assert results["search"].shape == (1000, 10)
    assert results["recall_at_k"] == pytest.approx(
        overlap(results["search"], results["brute_force"])) and results["recall_at_k"] > .8


def peaks(call):
    """The result of a call, and what it needed besides what was there: bytes that Python allocated,
    and resident ones, which those of libquash and BLAS are among."""
    tracemalloc.start()
    held = tracemalloc.get_traced_memory()[0]
    pathlib.Path(CLEAR_REFS).write_text("5")  # the peak starts anew
    before = resident_peak()
    result = call()
    resident = resident_peak() - before
    traced = tracemalloc.get_traced_memory()[1] - held
    tracemalloc.stop()
    return result, traced, resident


def resident_peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


@pytest.mark.parametrize("metric", ["ip", "cosine", "l2"])
@pytest.mark.parametrize("count, k", [(1, 1), (300, 7), (300, 300), (8192, 10), (8193, 10),
                                      (20_000, 10), (20_000, 9000)])
def test_brute_force_is_exact_in_any_number_of_blocks(metric, count, k, rng):
    """Small integers: many ties, which go to the lower id, and sums without rounding."""
    base, queries = (rng.integers(-3, 4, (n, 6)).astype(np.float64) for n in (count, 9))
    if metric == "cosine":  # directions whose norms are whole numbers
        base = np.array([[1, 0, 0, 0, 0, 0], [0, -1, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0],
                         [0, 2, 0, 0, 0, 0], [-1, -1, 0, 1, 1, 0]])[rng.integers(0, 5, count)]
        queries = np.array([[2, 0, 0, 0, 0, 0], [3, 0, 0, 0, 0, 4], [1, 1, 1, -1, 0, 0]])
    exact = {"ip": queries @ base.T,
             "l2": -((queries ** 2).sum(1)[:, None] - 2 * queries @ base.T + (base ** 2).sum(1)),
             "cosine": queries @ (base / np.linalg.norm(base, axis=1)[:, None]).T
                       / np.linalg.norm(queries, axis=1)[:, None]}[metric]
    scores, ids = QuashIndex(6, metric=metric).brute_force(queries, base, k)
    wanted = top(exact, k)
    best = np.take_along_axis(exact, wanted, axis=1) * (-1 if metric == "l2" else 1)
    np.testing.assert_allclose(scores, best, rtol=1e-6, atol=1e-4)
    if metric != "l2":  # whose distances are relative to a rounded mean
        np.testing.assert_array_equal(ids, wanted)
    assert all(len(set(row)) == k for row in ids)


def test_brute_force_by_distance_far_from_the_origin(rng):
    base = rng.standard_normal((3000, 32)).astype(np.float32) + np.float32(1000)
    queries = base[:20] + np.float32(.1)
    exact = ((queries[:, None].astype(np.float64) - base) ** 2).sum(-1)
    scores, ids = QuashIndex(32, metric="l2").brute_force(queries, base, 10)
    np.testing.assert_array_equal(ids, top(-exact, 10))
    np.testing.assert_allclose(scores, np.sort(exact, axis=1)[:, :10], rtol=1e-3)


def test_distances_are_never_negative(rng):
    base = rng.standard_normal((500, 64)).astype(np.float32) * 100
    scores, ids = QuashIndex(64, metric="l2").brute_force(base, base, 1)
    np.testing.assert_array_equal(ids[:, 0], np.arange(500))
    assert (scores >= 0).all()


def test_scores_descend_and_estimate_the_inner_product(rng):
    base, queries = rng.standard_normal((2000, 96)), rng.standard_normal((20, 96))
    index = QuashIndex(96, 4)
    index.add(base)
    scores, ids = index.search(queries, 50)
    assert scores.dtype == np.float32 and ids.dtype == np.int64
    assert scores.shape == ids.shape == (20, 50) and (np.diff(scores, axis=1) <= 0).all()
    exact = np.take_along_axis(queries @ base.T, ids, axis=1)
    assert np.abs(scores - exact).std() < .15 * 96 ** .5
    assert all(len(set(row)) == 50 for row in ids)


def test_exact_until_the_centre_is_known(rng):
    base, queries = rng.standard_normal((900, 32)), rng.standard_normal((30, 32))
    index = QuashIndex(32, 1)
    index.add(base)
    scores, ids = index.search(queries, 10)
    np.testing.assert_array_equal(ids, top(queries @ base.T, 10))
    np.testing.assert_allclose(scores, -np.sort(-(queries @ base.T), axis=1)[:, :10], rtol=1e-4)
    index.add(rng.standard_normal((200, 32)))
    assert len(index) == 1100
    assert overlap(index.search(queries, 10)[1], ids) < 1  # coded now, at one bit


@pytest.mark.parametrize("pieces", [[1] * 30 + [1970], [1000, 1000], [1023, 2, 975]])
def test_adds_in_pieces_equal_one_add(pieces, rng):
    base, queries = rng.standard_normal((2000, 64)), rng.standard_normal((10, 64))
    whole, parts = QuashIndex(64), QuashIndex(64)
    whole.add(base)
    for part in np.split(base, np.cumsum(pieces)[:-1]):
        parts.add(part)
    for found, expected in zip(parts.search(queries, 20), whole.search(queries, 20)):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("metric", ["ip", "cosine", "l2"])
def test_metrics(metric, rng):
    base, queries = rng.standard_normal((1500, 64)) + 1, rng.standard_normal((40, 64)) + 1
    index = QuashIndex(64, 4, metric=metric)
    index.add(base)
    scores, ids = index.search(queries, 10)
    exact = {"ip": queries @ base.T, "cosine": unit(queries) @ unit(base).T,
             "l2": -((queries[:, None] - base) ** 2).sum(-1)}[metric]
    assert overlap(ids, top(exact, 10)) > .8
    assert (np.diff(scores, axis=1) * (1 if metric == "l2" else -1) >= 0).all()
    brute_scores, brute_ids = index.brute_force(queries, base, 10)
    np.testing.assert_array_equal(brute_ids, top(exact, 10))
    best = np.take_along_axis(exact, brute_ids, axis=1) * (-1 if metric == "l2" else 1)
    np.testing.assert_allclose(brute_scores, best, rtol=1e-3, atol=1e-4)


def test_given_centre(rng):
    base = rng.standard_normal((600, 64)) + 5
    index = QuashIndex(64, 4, centre=base.mean(0))
    index.add(base)
    queries = rng.standard_normal((20, 64)) + 5
    assert overlap(index.search(queries, 10)[1], top(queries @ base.T, 10)) > .75
    assert index.memory_bytes() < 600 * 64 * 4  # coded from the first vector on


def test_k_is_cut_to_the_number_of_vectors(rng):
    index = QuashIndex(16)
    index.add(rng.standard_normal((7, 16)))
    scores, ids = index.search(rng.standard_normal((3, 16)), k=10)
    assert scores.shape == ids.shape == (3, 7)
    assert (np.sort(ids, axis=1) == np.arange(7)).all()


@pytest.mark.parametrize("bits, per_row", [(1, 24), (2, 40), (3, 56), (4, 72)])
def test_sizes(bits, per_row, rng):
    index = QuashIndex(128, bits)
    assert (len(index), index.n_vectors, index.memory_bytes()) == (0, 0, 0)
    assert index.compression_ratio() == 1.0
    index.add(rng.standard_normal((1000, 128)))
    assert index.memory_bytes() >= 1000 * 512  # the centre is not known yet
    index.add(rng.standard_normal((9000, 128)))
    assert len(index) == index.n_vectors == 10_000
    assert index.compression_ratio() == pytest.approx(512 / per_row)
    assert index.compression_ratio(np.float16) == pytest.approx(256 / per_row)
    assert 10_000 * per_row <= index.memory_bytes() < 1.6 * 10_000 * per_row
    index.reset()
    assert (len(index), index.memory_bytes(), index.compression_ratio()) == (0, 0, 1.0)
    index.add(rng.standard_normal((3, 128)))
    assert len(index) == 3


def test_kinds(kind, rng):
    base = unit(rng.standard_normal((1200, 32))).astype(np.float32)
    index = QuashIndex(32, 4)
    index.add(kind(base))
    for scores, ids in (index.search(kind(base[:4]), 3), index.brute_force(kind(base[:4]),
                                                                           kind(base), 3)):
        assert kind.check(scores, np.float32).shape == (4, 3)
        np.testing.assert_array_equal(kind.check(ids, np.int64)[:, 0], np.arange(4))
    assert index.recall_at_k(kind(base[:50]), kind(base), k=10) > .5


def test_attributes_and_repr():
    index = QuashIndex(64, 2, seed=3, pack_storage=True)
    assert (index.dim, index.bits) == (64, 2) and index.to("cpu") is index
    assert "QuashIndex" in repr(index) and "64" in repr(index)
    assert QuashIndex(64).bits == 3
    index.add(np.empty((0, 64)))
    assert len(index) == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 70), st.sampled_from([1, 2, 3, 4]), st.integers(1, 80), st.integers(0, 5),
       st.integers(1, 90), st.integers(1, 40), st.integers(0, 2 ** 32 - 1))
def test_any_shape(dim, bits, count, queries, k, centre_rows, seed):
    rng = np.random.default_rng(seed)
    index = QuashIndex(dim, bits, centre_rows=centre_rows)
    index.add(rng.standard_normal((count, dim)))
    scores, ids = index.search(rng.standard_normal((queries, dim)), k)
    assert scores.shape == ids.shape == (queries, min(k, count))
    assert np.isfinite(scores).all() and (np.diff(scores, axis=1) <= 0).all()
    assert all(len(set(row)) == len(row) and min(row) >= 0 and max(row) < count for row in ids)


# ---- Misuse: the texts of the interface --------------------------------------------------------

@pytest.mark.parametrize("call", [lambda index, x: index.search(x),
                                  lambda index, x: index.recall_at_k(x, x)])
def test_empty(call):
    with pytest.raises(ValueError) as error:
        call(QuashIndex(64), np.zeros((1, 64)))
    assert str(error.value) == "Index is empty. Call add() first."
    assert isinstance(error.value, RuntimeError)
    assert f"{type(error.value).__module__}.{type(error.value).__name__}" == "quashkv.EmptyError"


def test_original_dtypes():
    index = QuashIndex(64)
    index.add(np.ones((3, 64)))
    assert index.compression_ratio("float16") * 2 == index.compression_ratio()
    with pytest.raises(TypeError, match="original_dtype: data type 'float99' not understood"):
        index.compression_ratio("float99")


@pytest.mark.parametrize("shape", [(64,), (2, 3, 64), ()])
def test_not_a_matrix(shape):
    index = QuashIndex(64)
    x = np.zeros(shape, np.float32)
    with pytest.raises(ValueError) as error:
        index.add(x)
    assert str(error.value).startswith(f"Expected (N, D) tensor, got shape {shape}")
    index.add(np.ones((1, 64)))
    with pytest.raises(ValueError, match="Expected \\(N, D\\) tensor, got shape"):
        index.search(x)


@pytest.mark.parametrize("k", [0, -1])
def test_k_below_one(k):
    index = QuashIndex(8)
    index.add(np.ones((3, 8)))
    for call in (lambda: index.search(np.ones((1, 8)), k),
                 lambda: index.brute_force(np.ones((1, 8)), np.ones((3, 8)), k),
                 lambda: index.recall_at_k(np.ones((1, 8)), np.ones((3, 8)), k)):
        with pytest.raises(ValueError, match=f"k is {k}"):
            call()


def test_recall_of_another_database():
    index = QuashIndex(8)
    index.add(np.ones((3, 8)))
    with pytest.raises(ValueError, match="database has 4 vectors, the index 3"):
        index.recall_at_k(np.ones((1, 8)), np.ones((4, 8)))
    with pytest.raises(ValueError, match="queries has no vectors"):
        index.recall_at_k(np.ones((0, 8)), np.ones((3, 8)))


@pytest.mark.parametrize("call", ["add", "search", "database"])
def test_vectors_without_direction_and_too_long_ones_are_named(call):
    calls = {"add": ("vectors", lambda index, x: index.add(x)),
             "search": ("queries", lambda index, x: index.search(x)),
             "database": ("database", lambda index, x: index.brute_force(np.ones((1, 8)), x))}
    name, function = calls[call]
    x = np.ones((5, 8), np.float32)
    for metric, value, message in (
            ("cosine", 0, f"{name}[3] is zero: it has no direction (metric cosine)"),
            ("ip", 1e30, f"{name}[3] has norm 2.828e+30, expected at most 2^60"),
            ("l2", 1e30, f"{name}[3] has norm 2.828e+30, expected at most 2^60")):
        index = QuashIndex(8, metric=metric)
        index.add(x)
        wrong = x.copy()
        wrong[3] = value
        with pytest.raises(ValueError) as error:
            function(index, wrong)
        assert str(error.value) == message


@pytest.mark.parametrize("options", [{"dim": 0}, {"dim": 8, "bits": 5}, {"dim": 8, "metric": "x"},
                                     {"dim": 8, "metric": 5},
                                     {"dim": 8, "centre_rows": 0}, {"dim": 20000}])
def test_parameters_out_of_range(options):
    name, value = list(options.items())[-1]
    with pytest.raises(ValueError, match=f"{name}.*{value}"):
        QuashIndex(**options)
