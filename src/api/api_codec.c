/* SPDX-License-Identifier: Apache-2.0 */
/* api_codec.c: the public codec: validation, then src/cpu. */
#include "api/check.h"
#include "base/alloc.h"
#include "base/array.h"
#include "base/runner.h"
#include "base/status.h"
#include "codec/row.h"
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

/* Runs under quash_run: thresholds are products of the exact zone. */
static void init_task(void *state, int64_t index, int32_t worker) {
    (void)index;
    (void)worker;
    quash_codec *const codec = state;
    const quash_codec_params *const params = &codec->params;
    uint8_t *const signs = (uint8_t *)codec + quash_round_up(sizeof *codec, QUASH_ALIGNMENT);
    quash_rotation_init(&codec->rotation, (size_t)params->dim, params->rotation_rounds,
                        params->seed, signs);
    quash_quantizer_init(&codec->quantizer, codec->context->kernels, &codec->rotation,
                         params->bits, params->scale_policy, params->search_level);
}

quash_status quash_codec_create(quash_codec **out, quash_context *context,
                                const quash_codec_params *params) {
    QUASH_TRY(quash_check_create(out, context, params, params == NULL ? 0 : params->struct_size,
                                 sizeof *params));
    QUASH_TRY(check_params(params));
    const size_t size =
        quash_round_up(sizeof(quash_codec), QUASH_ALIGNMENT) +
        quash_rotation_sign_bytes((size_t)params->dim, params->rotation_rounds);
    void *memory;
    QUASH_TRY(quash_alloc(&context->allocator, size, "the codec", &memory));
    quash_codec *const codec = memory;
    codec->context = context;
    codec->params = *params;
    codec->size = size;
    codec->scale_bytes = params->scale_dtype == QUASH_F16 ? 2 : 4;
    codec->packed_bytes = quash_packed_bytes((size_t)params->dim, params->bits);
    quash_run(&quash_serial_runner, init_task, codec, 1);
    *out = codec;
    return QUASH_OK;
}

void quash_codec_free(quash_codec *codec) {
    if (codec != NULL) {
        quash_release(&codec->context->allocator, codec, codec->size);
    }
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
    const int64_t expected[2] = { -1, codec->params.dim };
    QUASH_TRY(quash_array_check(rows, "rows", QUASH_ANY_DTYPE, 2, expected));
    QUASH_TRY(check_codes(codec, rows->shape[0], codes, codes_bytes));
    int64_t at[3];
    if (quash_cpu_find_nonfinite(codec->context, rows, at)) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "rows: NaN or infinity in row %lld, column %lld",
                          (long long)at[0], (long long)at[2]);
    }
    return quash_cpu_encode_rows(codec, rows, codes);
}

quash_status quash_decode(const quash_codec *codec, const void *codes, size_t codes_bytes,
                          const quash_array *rows) {
    const int64_t expected[2] = { -1, codec->params.dim };
    QUASH_TRY(quash_array_check_output(rows, "rows", 2, expected));
    QUASH_TRY(check_codes(codec, rows->shape[0], codes, codes_bytes));
    return quash_cpu_decode_rows(codec, codes, rows);
}
