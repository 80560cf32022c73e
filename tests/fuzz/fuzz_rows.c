/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_rows.c: any bytes as a rows file: header, codec, rows, trailer. Nothing may crash or read
 * beyond the input; a header that is accepted must lead to a codec that writes the same header;
 * rows that decode must be finite. Each input is read as it is, and with the header's checksum
 * made right, which mutations would hardly find. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <quash/codec.h>

#define SMALL_DIM 2048
#define ROWS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(int condition) {
    if (!condition) {
        abort();
    }
}

static void decode_rows(const quash_codec *codec, const uint8_t *codes, size_t bytes, int64_t rows,
                        quash_dtype dtype) {
    const int64_t dim = quash_codec_get_params(codec).dim;
    const size_t numbers = (size_t)rows * (size_t)dim;
    float *const out = malloc(numbers != 0 ? numbers * sizeof *out : 1);
    demand(out != NULL);
    const quash_array array = quash_array_view(out, dtype, 2, rows, dim, 0);
    const quash_status status = quash_decode(codec, codes, bytes, &array);
    demand(status == QUASH_OK || status == QUASH_ERROR_FORMAT);
    if (status == QUASH_OK && dtype == QUASH_F32) {
        for (size_t i = 0; i < numbers; i++) {
            demand(isfinite(out[i]) != 0);
        }
    }
    free(out);
}

static void read_file(quash_context *context, const uint8_t *data, size_t size) {
    quash_codec_params params;
    int64_t rows = -1;
    const quash_status status = quash_rows_header_read(data, size, &params, &rows);
    if (status != QUASH_OK) {
        demand(status == QUASH_ERROR_FORMAT || status == QUASH_ERROR_VERSION);
        demand(quash_last_message()[0] != '\0');
        return;
    }
    demand(rows >= 0);
    if (params.dim > SMALL_DIM) {
        return;
    }
    quash_codec *codec = NULL;
    demand(quash_codec_create(&codec, context, &params) == QUASH_OK);
    uint8_t header[QUASH_ROWS_HEADER_BYTES];
    demand(quash_rows_header_write(codec, rows, header) == QUASH_OK);
    demand(memcmp(header, data, sizeof header) == 0);

    const uint8_t *const codes = data + QUASH_ROWS_HEADER_BYTES;
    const size_t rest = size - QUASH_ROWS_HEADER_BYTES;
    const size_t row_bytes = quash_codec_row_bytes(codec);
    const int64_t present = (int64_t)(rest / row_bytes);
    int64_t count = rows < present ? rows : present;
    const size_t bytes = (size_t)count * row_bytes;
    const uint32_t crc = quash_crc32c(0, codes, bytes);
    const quash_status end = quash_rows_trailer_read(codes + bytes, rest - bytes, crc);
    demand(end == QUASH_OK || end == QUASH_ERROR_FORMAT);
    count = count < ROWS_MAX ? count : ROWS_MAX;
    for (int dtype = QUASH_F32; dtype <= QUASH_BF16; dtype++) {
        decode_rows(codec, codes, (size_t)count * row_bytes, count, (quash_dtype)dtype);
    }
    quash_codec_free(codec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    quash_context *context = NULL;
    quash_context_params params = QUASH_CONTEXT_PARAMS_INIT;
    params.threads = 1; /* a thread per input would cost more than the input */
    demand(quash_context_create(&context, &params) == QUASH_OK);
    read_file(context, data, size);
    if (size >= QUASH_ROWS_HEADER_BYTES) {
        uint8_t *const sealed = malloc(size);
        demand(sealed != NULL);
        memcpy(sealed, data, size);
        const uint32_t crc = quash_crc32c(0, data, 60);
        memcpy(sealed + 60, &crc, sizeof crc);
        read_file(context, sealed, size);
        free(sealed);
    }
    quash_context_free(context);
    return 0;
}
