/* SPDX-License-Identifier: Apache-2.0 */
/* write_npy.c: writes the header of a .npy file as NumPy does: version 1.0, padded with spaces so
 * that the numbers start at a multiple of 64. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "write_npy.h"

#include <stdio.h>
#include <string.h>

enum {
    TOTAL_BYTES = 128, /* 10 + 118; the longest dictionary (two sizes of 19 digits) has 100 bytes */
    PREFIX_BYTES = 10
};

int npy_write_header(struct output *output, quash_dtype dtype, int64_t rows, int64_t dim,
                     struct tool_error *error) {
    char bytes[TOTAL_BYTES + 1];
    memset(bytes, ' ', sizeof bytes);
    memcpy(bytes, "\x93NUMPY\x01\x00", 8);
    bytes[8] = TOTAL_BYTES - PREFIX_BYTES;
    bytes[9] = 0;
    const int length =
        snprintf(bytes + PREFIX_BYTES, TOTAL_BYTES - PREFIX_BYTES,
                 "{'descr': '%s', 'fortran_order': False, 'shape': (%lld, %lld), }",
                 dtype == QUASH_F16 ? "<f2" : "<f4", (long long)rows, (long long)dim);
    bytes[PREFIX_BYTES + length] = ' ';
    bytes[TOTAL_BYTES - 1] = '\n';
    return output_write(output, bytes, TOTAL_BYTES, error);
}
