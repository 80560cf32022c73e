/* SPDX-License-Identifier: Apache-2.0 */
/* codebook.c: the step factors of scale search, and access to the codebooks. */
#include "codec/codebook.h"

#include <string.h>

const struct quash_search quash_searches[3] = {
    { 1, { 1.0f } },
    { 3, { 1.0f, 0.93f, 1.08f } },
    { 5, { 1.0f, 0.86f, 0.93f, 1.07f, 1.14f } },
};

int32_t quash_codebook_levels(int32_t bits, int8_t levels[16], float *step) {
    if (bits < 1 || bits > 4) {
        return 0;
    }
    const struct quash_codebook *const book = quash_codebook_for(bits);
    memcpy(levels, book->values, (size_t)book->half * 2);
    *step = book->step;
    return book->half * 2;
}
