/* SPDX-License-Identifier: Apache-2.0 */
/* rows_file.c: header and trailer of a rows file (doc/format.md, "Rows file"). Parses untrusted
 * bytes. Header, 64 bytes, little-endian:
 *   0 magic "QUASHROW"   8 u32 version   12 u32 dim      16 u8 bits        17 u8 scale_dtype
 *   18 u8 scale_policy   19 u8 search_level  20 u8 rotation_rounds  21 3 x 0   24 u64 seed
 *   32 u64 rows          40 u32 row_bytes    44 16 x 0   60 u32 CRC-32C of bytes 0..59
 * Trailer, 8 bytes: u32 CRC-32C of all rows, "QEND". */
#include <string.h>

#include "base/status.h"
#include "codec/codec.h"
#include "codec/row.h"

#define ROWS_VERSION 0u

static const char rows_magic[8] = { 'Q', 'U', 'A', 'S', 'H', 'R', 'O', 'W' };
static const char rows_end[4] = { 'Q', 'E', 'N', 'D' };

static void put_u32(uint8_t *at, uint32_t value) {
    memcpy(at, &value, sizeof value); /* hosts are little-endian: quash_context_create checks */
}

static void put_u64(uint8_t *at, uint64_t value) {
    memcpy(at, &value, sizeof value);
}

static uint32_t get_u32(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint64_t get_u64(const uint8_t *at) {
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

quash_status quash_rows_header_write(const quash_codec *codec, int64_t rows, void *header) {
    const size_t row_bytes = quash_codec_bytes_per_row(codec);
    if (header == NULL) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "header is NULL");
    }
    if (rows < 0 || rows > INT64_MAX / 2 / (int64_t)row_bytes) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "rows is %lld, expected 0 or more, fitting a file",
                          (long long)rows);
    }
    uint8_t *const out = header;
    memset(out, 0, QUASH_ROWS_HEADER_BYTES);
    memcpy(out, rows_magic, sizeof rows_magic);
    put_u32(out + 8, ROWS_VERSION);
    put_u32(out + 12, (uint32_t)codec->params.dim);
    out[16] = (uint8_t)codec->params.bits;
    out[17] = (uint8_t)codec->params.scale_dtype;
    out[18] = (uint8_t)codec->params.scale_policy;
    out[19] = (uint8_t)codec->params.search_level;
    out[20] = (uint8_t)codec->params.rotation_rounds;
    put_u64(out + 24, codec->params.seed);
    put_u64(out + 32, (uint64_t)rows);
    put_u32(out + 40, (uint32_t)row_bytes);
    put_u32(out + 60, quash_crc32c(0, out, 60));
    return QUASH_OK;
}

static quash_status check_field(const char *name, uint32_t value, uint32_t low, uint32_t high) {
    if (value < low || value > high) {
        return quash_fail(QUASH_ERROR_FORMAT, "rows file: %s is %u, expected %u..%u", name, value,
                          low, high);
    }
    return QUASH_OK;
}

static quash_status check_zeros(const uint8_t *in, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) {
        if (in[i] != 0) {
            return quash_fail(QUASH_ERROR_FORMAT, "rows file: byte %zu of the header is %u, not 0",
                              i, in[i]);
        }
    }
    return QUASH_OK;
}

quash_status quash_rows_header_read(const void *header, size_t header_bytes,
                                    quash_codec_params *params, int64_t *rows) {
    if (header == NULL || params == NULL || rows == NULL) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "header, params or rows is NULL");
    }
    const uint8_t *const in = header;
    if (header_bytes < QUASH_ROWS_HEADER_BYTES) {
        return quash_fail(QUASH_ERROR_FORMAT, "rows file: %zu bytes, shorter than a header (%d)",
                          header_bytes, QUASH_ROWS_HEADER_BYTES);
    }
    if (memcmp(in, rows_magic, sizeof rows_magic) != 0) {
        return quash_fail(QUASH_ERROR_FORMAT, "rows file: does not start with QUASHROW");
    }
    if (get_u32(in + 8) != ROWS_VERSION) {
        return quash_fail(QUASH_ERROR_VERSION, "rows file: version %u, this library reads %u",
                          get_u32(in + 8), ROWS_VERSION);
    }
    if (get_u32(in + 60) != quash_crc32c(0, in, 60)) {
        return quash_fail(QUASH_ERROR_FORMAT, "rows file: the header's checksum does not match");
    }
    QUASH_TRY(check_field("dim", get_u32(in + 12), 1, QUASH_DIM_MAX));
    QUASH_TRY(check_field("bits", in[16], 1, 4));
    QUASH_TRY(check_field("scale_dtype", in[17], QUASH_F32, QUASH_F16));
    QUASH_TRY(check_field("scale_policy", in[18], QUASH_SCALE_LEAST_SQUARES, QUASH_SCALE_RAW_NORM));
    QUASH_TRY(check_field("search_level", in[19], 0, 2));
    QUASH_TRY(check_field("rotation_rounds", in[20], 1, 2));
    QUASH_TRY(check_zeros(in, 21, 24));
    QUASH_TRY(check_zeros(in, 44, 60));
    quash_codec_params read = QUASH_CODEC_PARAMS_INIT;
    read.dim = (int32_t)get_u32(in + 12);
    read.bits = in[16];
    read.scale_dtype = in[17];
    read.scale_policy = in[18];
    read.search_level = in[19];
    read.rotation_rounds = in[20];
    read.seed = get_u64(in + 24);
    const size_t row_bytes =
        (read.scale_dtype == QUASH_F16 ? 2u : 4u) + quash_packed_bytes((size_t)read.dim, read.bits);
    QUASH_TRY(check_field("row_bytes", get_u32(in + 40), (uint32_t)row_bytes, (uint32_t)row_bytes));
    const uint64_t count = get_u64(in + 32);
    if (count > (uint64_t)INT64_MAX / 2 / row_bytes) {
        return quash_fail(QUASH_ERROR_FORMAT, "rows file: %llu rows, more than a file can hold",
                          (unsigned long long)count);
    }
    *params = read;
    *rows = (int64_t)count;
    return QUASH_OK;
}

void quash_rows_trailer_write(uint32_t crc, void *trailer) {
    uint8_t *const out = trailer;
    put_u32(out, crc);
    memcpy(out + 4, rows_end, sizeof rows_end);
}

quash_status quash_rows_trailer_read(const void *trailer, size_t trailer_bytes, uint32_t crc) {
    const uint8_t *const in = trailer;
    if (trailer == NULL) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "trailer is NULL");
    }
    if (trailer_bytes < QUASH_ROWS_TRAILER_BYTES || memcmp(in + 4, rows_end, 4) != 0) {
        return quash_fail(QUASH_ERROR_FORMAT, "rows file: the trailer is missing or damaged");
    }
    if (get_u32(in) != crc) {
        return quash_fail(QUASH_ERROR_FORMAT,
                          "rows file: the checksum of the rows is %08x, stored is %08x", crc,
                          get_u32(in));
    }
    return QUASH_OK;
}
