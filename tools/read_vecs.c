/* SPDX-License-Identifier: Apache-2.0 */
/* read_vecs.c: reads .fvecs and .bvecs files: every row is a 32-bit dim, the same for all rows,
 * followed by dim numbers, binary32 or unsigned bytes. The number of rows stands nowhere: a file's
 * size tells, a pipe's end. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "read_vecs.h"

#include <stdlib.h>
#include <string.h>

enum {
    DIM_BYTES = 4,
    SPARE_BYTES = 1 << 20 /* rows are freed of their dims in pieces that stay in the cache */
};

static int32_t read_dim(const unsigned char *bytes) {
    int32_t dim;
    memcpy(&dim, bytes, sizeof dim);
    return dim;
}

int vecs_open(struct source *source, struct tool_error *error) {
    const char *name = source->input.name;
    unsigned char bytes[DIM_BYTES];
    size_t got;
    source->dtype = source->format == SOURCE_FVECS ? QUASH_F32 : QUASH_U8;
    const int code = input_read(&source->input, bytes, sizeof bytes, &got, error);
    if (code != TOOL_OK) {
        return code;
    }
    if (got == 0) {
        return tool_fail(error, TOOL_DATA, "%s: found an empty file, expected at least one row",
                         name);
    }
    if (got < sizeof bytes) {
        return tool_fail(error, TOOL_DATA,
                         "%s: truncated within row 0: expected 4 bytes of its dim, found %lld",
                         name, (long long)got);
    }
    source->dim = read_dim(bytes);
    if (source->dim < 1 || source->dim > QUASH_DIM_MAX) {
        return tool_fail(error, TOOL_DATA,
                         "%s: row 0, byte 0: found dim %lld, expected 1 to %d (is it a .%s file?)",
                         name, (long long)source->dim, QUASH_DIM_MAX,
                         source->format == SOURCE_FVECS ? "fvecs" : "bvecs");
    }
    const int64_t record = DIM_BYTES + (int64_t)source_row_bytes(source);
    source->have_row_start = true;
    source->ndim = 2;
    source->rows = !source->input.is_pipe ? source->input.size / record : -1;
    source->shape[0] = source->rows;
    source->shape[1] = source->dim;
    return TOOL_OK;
}

/* Fills spare with up to max rows as they are in the file; *bytes says how many bytes came. */
static int read_records(struct source *source, int64_t max, size_t *bytes,
                        struct tool_error *error) {
    const size_t record = DIM_BYTES + source_row_bytes(source);
    const size_t wanted = (size_t)max * record;
    size_t filled = 0;
    if (source->spare_bytes < wanted) {
        free(source->spare);
        source->spare = malloc(wanted);
        source->spare_bytes = source->spare != NULL ? wanted : 0;
        if (source->spare == NULL) {
            return tool_fail_memory(error, source->input.name);
        }
    }
    if (source->have_row_start) {
        /* vecs_open has read the first dim already. */
        const int32_t dim = (int32_t)source->dim;
        memcpy(source->spare, &dim, sizeof dim);
        source->have_row_start = false;
        filled = DIM_BYTES;
    }
    size_t got;
    const int code =
        input_read(&source->input, source->spare + filled, wanted - filled, &got, error);
    *bytes = filled + got;
    return code;
}

/* Checks the dim in front of row `row`, which starts at bytes; available of them are there. */
static int check_row(const struct source *source, const unsigned char *bytes, size_t available,
                     int64_t row, struct tool_error *error) {
    const size_t record = DIM_BYTES + source_row_bytes(source);
    const long long offset = (long long)row * (long long)record;
    if (available >= DIM_BYTES && read_dim(bytes) != (int32_t)source->dim) {
        return tool_fail(error, TOOL_DATA,
                         "%s: row %lld, byte %lld: found dim %ld, expected %lld as in row 0",
                         source->input.name, (long long)row, offset, (long)read_dim(bytes),
                         (long long)source->dim);
    }
    if (available < record) {
        return tool_fail(error, TOOL_DATA,
                         "%s: truncated within row %lld at byte %lld: expected %lld bytes of it, "
                         "found %lld",
                         source->input.name, (long long)row, offset + (long long)available,
                         (long long)record, (long long)available);
    }
    return TOOL_OK;
}

/* Reads up to max rows, as many as fit in spare, to buffer. */
static int read_some(struct source *source, char *buffer, int64_t max, int64_t *got,
                     struct tool_error *error) {
    const size_t row_bytes = source_row_bytes(source);
    const size_t record = DIM_BYTES + row_bytes;
    size_t bytes = 0;
    const int code = read_records(source, max, &bytes, error);
    if (code != TOOL_OK) {
        return code;
    }
    int64_t rows = 0;
    for (size_t at = 0; at < bytes; at += record, rows++) {
        const int bad =
            check_row(source, source->spare + at, bytes - at, source->rows_read + rows, error);
        if (bad != TOOL_OK) {
            return bad;
        }
        memcpy(buffer + (size_t)rows * row_bytes, source->spare + at + DIM_BYTES, row_bytes);
    }
    source->rows_read += rows;
    *got = rows;
    return TOOL_OK;
}

int vecs_read(struct source *source, void *buffer, int64_t max, int64_t *got,
              struct tool_error *error) {
    const size_t row_bytes = source_row_bytes(source);
    const size_t fitting = SPARE_BYTES / (DIM_BYTES + row_bytes);
    const int64_t most = fitting > 0 ? (int64_t)fitting : 1;
    int64_t rows = 0;
    int64_t some = most;
    *got = 0;
    while (rows < max && some == most) {
        const int64_t wanted = max - rows < most ? max - rows : most;
        const int code =
            read_some(source, (char *)buffer + (size_t)rows * row_bytes, wanted, &some, error);
        if (code != TOOL_OK) {
            return code;
        }
        rows += some;
    }
    *got = rows;
    return TOOL_OK;
}
