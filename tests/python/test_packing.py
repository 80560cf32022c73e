# SPDX-License-Identifier: Apache-2.0
"""pack_bits and unpack_bits: the byte layout of the prototype, without loss for every d."""
import numpy as np
import pytest
from hypothesis import given, strategies as st

from quashkv import pack_bits, unpack_bits
from quashkv.packing import packed_size

# bits, codes, bytes. 3 bits: 8 codes in 3 bytes, code i at bits 3i, 3i + 1, 3i + 2.
LAYOUT = [
    (1, [1, 0, 0, 0, 0, 0, 0, 0], [0x01]),
    (1, [0, 1, 1, 0, 1, 0, 0, 1, 1], [0b10010110, 0x01]),
    (2, [1, 2, 3, 0], [0b00111001]),
    (2, [3, 0, 0, 1, 2], [0b01000011, 0x02]),
    (3, [1, 2, 3, 4, 5, 6, 7, 0], [0b11010001, 0b01011000, 0b00011111]),
    (3, [7, 0, 0, 0, 0, 0, 0, 7], [0x07, 0x00, 0xe0]),
    (3, [0, 0, 5, 0], [0b01000000, 0b00000001]),
    (4, [1, 2, 15, 0], [0x21, 0x0f]),
    (4, [9], [0x09]),
    (8, [255, 0, 7], [255, 0, 7]),
]


@pytest.mark.parametrize("bits, codes, packed", LAYOUT)
def test_layout(bits, codes, packed, kind):
    codes, packed = np.array(codes, np.uint8), np.array(packed, np.uint8)
    found = kind.check(pack_bits(kind(codes), bits), np.uint8)
    size = packed_size(len(codes), bits)
    assert found.shape == (size,)
    np.testing.assert_array_equal(found[:len(packed)], packed)
    assert not found[len(packed):].any()
    np.testing.assert_array_equal(
        kind.check(unpack_bits(kind(found), bits, len(codes)), np.uint8), codes)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
def test_lossless_for_every_d(bits, rng):
    for d in range(1, 101):
        codes = rng.integers(0, 2 ** bits, (3, d), np.uint8)
        packed = pack_bits(codes, bits)
        assert packed.shape == (3, packed_size(d, bits)) and packed.dtype == np.uint8
        np.testing.assert_array_equal(unpack_bits(packed, bits, d), codes)
        np.testing.assert_array_equal(packed[1], pack_bits(codes[1], bits))


@pytest.mark.parametrize("d, bits, size", [(128, 1, 16), (128, 2, 32), (128, 3, 48), (128, 4, 64),
                                           (1, 1, 1), (9, 1, 2), (5, 2, 2), (3, 4, 2), (7, 8, 7)])
def test_packed_size(d, bits, size):
    assert packed_size(d, bits) == size


@given(st.sampled_from([1, 2, 3, 4, 8]), st.lists(st.integers(0, 4), max_size=3),
       st.integers(1, 70), st.integers(0, 2 ** 32 - 1))
def test_any_batch_shape(bits, batch, d, seed):
    codes = np.random.default_rng(seed).integers(0, 2 ** bits, (*batch, d)).astype(np.uint8)
    packed = pack_bits(codes, bits)
    assert packed.shape == (*batch, packed_size(d, bits))
    np.testing.assert_array_equal(unpack_bits(packed, bits, d), codes)


def test_strides_and_dtypes(rng):
    codes = rng.integers(0, 8, (6, 40)).astype(np.uint8)
    for view in codes.T, codes[::2], codes[:, ::-1], codes[:, ::3]:
        np.testing.assert_array_equal(unpack_bits(pack_bits(view, 3), 3, view.shape[-1]), view)
    for dtype in np.int8, np.int16, np.int32, np.int64, ">i4", np.uint16:
        np.testing.assert_array_equal(pack_bits(codes.astype(dtype), 3), pack_bits(codes, 3))


@pytest.mark.parametrize("bits", [0, 5, 6, 7, 9, 16, -1])
def test_bits_out_of_range(bits):
    codes = np.zeros(8, np.uint8)
    for call in (lambda: pack_bits(codes, bits), lambda: unpack_bits(codes, bits, 8),
                 lambda: packed_size(8, bits)):
        with pytest.raises(ValueError) as error:
            call()
        assert str(error.value) == f"Unsupported bits: {bits}"


def test_misuse():
    with pytest.raises(ValueError, match="8"):
        pack_bits(np.array([1, 8], np.uint8), 3)
    with pytest.raises(ValueError, match="-1"):
        pack_bits(np.array([1, -1]), 3)
    with pytest.raises(TypeError, match="float32"):
        pack_bits(np.zeros(8, np.float32), 3)
    with pytest.raises(ValueError, match="expected shape"):
        unpack_bits(np.zeros(5, np.uint8), 3, 8)
    for shape in (), (0,), (3, 0):
        with pytest.raises(ValueError, match="indices: expected shape"):
            pack_bits(np.zeros(shape, np.uint8), 3)
    with pytest.raises(ValueError, match="d is 0"):
        unpack_bits(np.zeros(0, np.uint8), 3, 0)
