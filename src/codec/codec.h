/* SPDX-License-Identifier: Apache-2.0 */
/* codec.h: what the public quash_codec holds. */
#ifndef QUASH_CODEC_CODEC_H
#define QUASH_CODEC_CODEC_H

#include <quash/codec.h>

#include "base/context.h"
#include "codec/quantizer.h"

struct quash_codec {
    const quash_context *context;
    quash_codec_params params;
    struct quash_rotation rotation;
    struct quash_quantizer quantizer;
    size_t scale_bytes;
    size_t packed_bytes;
    size_t size; /* of this block, the signs behind the struct included */
};

/* Validated params. Errors: MEMORY. */
quash_status quash_codec_make(quash_codec **out, const quash_context *context,
                              const quash_codec_params *params);
/* Accepts NULL. */
void quash_codec_destroy(quash_codec *codec);

static inline size_t quash_codec_bytes_per_row(const quash_codec *codec) {
    return codec->scale_bytes + codec->packed_bytes;
}

#endif
