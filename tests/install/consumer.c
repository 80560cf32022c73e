/* SPDX-License-Identifier: Apache-2.0 */
/* consumer.c: a program that uses libquash as any user would; run.sh builds it in every way people
 * do. Prints the version and the checksum of codes, which must be the same in all of them, and
 * whether the program runs in flush-to-zero mode, as those linked with -ffast-math do. */
#include <quash/quash.h>

#include <float.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { ROWS = 64, DIM = 96, CODES_MAX = ROWS * (DIM / 2 + 4) };

/* The last row holds subnormal numbers. Bits and integers: the flags of this program cannot change
 * what it feeds to the library. */
static float input(int row, int column) {
    uint32_t bits = (uint32_t)(column * 7919 + 1);
    float value = (float)((row * 7919 + column * 104729) % 2003 - 1001);
    if (row == ROWS - 1) {
        memcpy(&value, &bits, sizeof value);
    }
    return value;
}

static quash_status add_codes(quash_context *context, int32_t bits, int32_t level,
                              uint32_t *checksum) {
    static float rows[ROWS][DIM];
    static unsigned char codes[CODES_MAX];
    quash_codec_params params = QUASH_CODEC_PARAMS_INIT;
    quash_codec *codec = NULL;
    for (int row = 0; row < ROWS; row++) {
        for (int column = 0; column < DIM; column++) {
            rows[row][column] = input(row, column);
        }
    }
    params.dim = DIM;
    params.bits = bits;
    params.search_level = level;
    quash_status status = quash_codec_create(&codec, context, &params);
    if (status == QUASH_OK) {
        const quash_array array = quash_array_view(rows, QUASH_F32, 2, ROWS, DIM, 0);
        const size_t size = ROWS * quash_codec_row_bytes(codec);
        status = quash_encode(codec, &array, codes, sizeof codes);
        *checksum = quash_crc32c(*checksum, codes, size);
    }
    quash_codec_free(codec);
    return status;
}

int main(void) {
    quash_context *context = NULL;
    uint32_t checksum = 0;
    quash_status status = quash_context_create(&context, NULL);
    for (int32_t bits = 1; bits <= 4 && status == QUASH_OK; bits++) {
        for (int32_t level = 0; level <= 2 && status == QUASH_OK; level++) {
            status = add_codes(context, bits, level, &checksum);
        }
    }
    quash_context_free(context);
    if (status != QUASH_OK) {
        fprintf(stderr, "%s: %s\n", quash_status_string(status), quash_last_message());
        return 1;
    }
    volatile float smallest = FLT_MIN;
    volatile float half = smallest * 0.5f;
    printf("%s %08lx%s\n", quash_version_string(), (unsigned long)checksum,
           half == 0.0f ? " flush-to-zero" : "");
    return 0;
}
