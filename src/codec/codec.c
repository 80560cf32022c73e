/* SPDX-License-Identifier: Apache-2.0 */
/* codec.c: memory of a codec: the struct, and the signs of its rotation behind it. */
#include "codec/codec.h"

#include "base/alloc.h"
#include "base/runner.h"
#include "base/status.h"
#include "codec/row.h"

/* Runs under quash_run: thresholds are products of the exact zone. */
static void init_task(void *state, int64_t index, int32_t worker) {
    (void)index;
    (void)worker;
    quash_codec *const codec = state;
    const quash_codec_params *const params = &codec->params;
    uint8_t *const signs = (uint8_t *)codec + quash_round_up(sizeof *codec, QUASH_ALIGNMENT);
    quash_rotation_init(&codec->rotation, (size_t)params->dim, params->rotation_rounds,
                        params->seed, signs);
    quash_quantizer_init(&codec->quantizer, codec->context->kernels, &codec->rotation, params->bits,
                         params->scale_policy, params->search_level);
}

quash_status quash_codec_make(quash_codec **out, const quash_context *context,
                              const quash_codec_params *params) {
    const size_t size = quash_round_up(sizeof(quash_codec), QUASH_ALIGNMENT) +
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

void quash_codec_destroy(quash_codec *codec) {
    if (codec != NULL) {
        quash_release(&codec->context->allocator, codec, codec->size);
    }
}
