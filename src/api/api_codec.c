/* SPDX-License-Identifier: Apache-2.0 */
/* api_codec.c: the public codec: validation, then src/cpu. */
#include "api/check.h"
#include "base/array.h"
#include "base/status.h"
#include "cpu/rows.h"

static quash_status check_params(const quash_codec_params *params) {
    QUASH_TRY(quash_check_range("dim", params->dim, 1, QUASH_DIM_MAX));
    QUASH_TRY(quash_check_range("bits", params->bits, 1, 4));
    QUASH_TRY(quash_check_range("scale_policy", params->scale_policy, QUASH_SCALE_LEAST_SQUARES,
                                QUASH_SCALE_RAW_NORM));
    QUASH_TRY(quash_check_range("scale_dtype", params->scale_dtype, QUASH_F32, QUASH_F16));
    QUASH_TRY(quash_check_range("search_level", params->search_level, 0, 2));
    return quash_check_range("rotation_rounds", params->rotation_rounds, 1, 2);
}

quash_status quash_codec_create(quash_codec **out, quash_context *context,
                                const quash_codec_params *params) {
    QUASH_TRY(quash_check_create(out, context, params, params == NULL ? 0 : params->struct_size,
                                 sizeof *params));
    QUASH_TRY(check_params(params));
    return quash_codec_make(out, context, params);
}

void quash_codec_free(quash_codec *codec) {
    quash_codec_destroy(codec);
}

size_t quash_codec_row_bytes(const quash_codec *codec) {
    return quash_codec_bytes_per_row(codec);
}

quash_codec_params quash_codec_get_params(const quash_codec *codec) {
    return codec->params;
}

/* codes must hold the rows of the array. */
static quash_status check_codes(const quash_codec *codec, int64_t rows, const void *codes,
                                size_t codes_bytes) {
    const size_t row_bytes = quash_codec_bytes_per_row(codec);
    if (rows > 0 && codes == NULL) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "codes is NULL");
    }
    if ((uint64_t)rows > codes_bytes / row_bytes) {
        return quash_fail(QUASH_ERROR_CAPACITY,
                          "codes_bytes is %zu, which is %zu rows of %zu bytes, expected %lld rows",
                          codes_bytes, codes_bytes / row_bytes, row_bytes, (long long)rows);
    }
    return QUASH_OK;
}

quash_status quash_encode(const quash_codec *codec, const quash_array *rows, void *codes,
                          size_t codes_bytes) {
    QUASH_TRY(
        quash_check_rows(codec->context, rows, "rows", QUASH_ANY_DTYPE, -1, codec->params.dim));
    QUASH_TRY(check_codes(codec, rows->shape[0], codes, codes_bytes));
    return quash_cpu_encode_rows(codec, rows, codes);
}

quash_status quash_decode(const quash_codec *codec, const void *codes, size_t codes_bytes,
                          const quash_array *rows) {
    const int64_t expected[2] = { -1, codec->params.dim };
    QUASH_TRY(quash_array_check_output(rows, "rows", 2, expected));
    QUASH_TRY(check_codes(codec, rows->shape[0], codes, codes_bytes));
    return quash_cpu_decode_rows(codec, codes, rows);
}

quash_status quash_encode_codes(const quash_codec *codec, const quash_array *rows,
                                const quash_array *codes, float *scales) {
    QUASH_TRY(
        quash_check_rows(codec->context, rows, "rows", QUASH_ANY_DTYPE, -1, codec->params.dim));
    QUASH_TRY(quash_check_bytes_output(codes, "codes", rows->shape[0], codec->params.dim));
    QUASH_TRY(quash_check_pointer("scales", scales, rows->shape[0]));
    return quash_cpu_encode_codes(codec, rows, 0, codes, scales);
}

quash_status quash_decode_codes(const quash_codec *codec, const quash_array *codes,
                                const float *scales, const quash_array *rows) {
    const int64_t expected[2] = { -1, codec->params.dim };
    QUASH_TRY(quash_array_check_output(rows, "rows", 2, expected));
    QUASH_TRY(quash_check_bytes(codes, "codes", rows->shape[0], codec->params.dim));
    QUASH_TRY(quash_check_pointer("scales", scales, rows->shape[0]));
    QUASH_TRY(quash_check_codes(codes, codec->params.bits));
    QUASH_TRY(quash_check_scales("scales", scales, rows->shape[0]));
    return quash_cpu_decode_codes(codec, codes, scales, rows);
}

quash_status quash_rotate(const quash_codec *codec, int32_t inverse, const quash_array *rows,
                          const quash_array *out) {
    QUASH_TRY(
        quash_check_rows(codec->context, rows, "rows", QUASH_ANY_DTYPE, -1, codec->params.dim));
    const int64_t expected[2] = { rows->shape[0], codec->params.dim };
    QUASH_TRY(quash_array_check_output(out, "out", 2, expected));
    return quash_cpu_rotate_rows(codec->context, &codec->rotation, inverse, rows, out);
}
