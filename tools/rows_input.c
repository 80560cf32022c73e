/* SPDX-License-Identifier: Apache-2.0 */
/* rows_input.c: reads a rows file from front to back: header, codes, trailer. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "rows_input.h"

#include <string.h>

const char *const rows_policy_names[] = { "least-squares", "norm", "unbiased", "raw-norm", NULL };
const char *const rows_scale_names[] = { "f32", "f16", NULL };

enum { ENDS_BYTES = QUASH_ROWS_HEADER_BYTES + QUASH_ROWS_TRAILER_BYTES, CHUNK_BYTES = 4 << 20 };

int64_t rows_chunk(size_t row_bytes) {
    return row_bytes < CHUNK_BYTES ? (int64_t)(CHUNK_BYTES / row_bytes) : 1;
}

static int read_header(struct rows_input *rows, struct tool_error *error) {
    unsigned char header[QUASH_ROWS_HEADER_BYTES];
    size_t got;
    const char *name = rows->input.name;
    int code = input_read(&rows->input, header, sizeof header, &got, error);
    if (code != TOOL_OK) {
        return code;
    }
    quash_status status = quash_rows_header_read(header, got, &rows->params, &rows->rows);
    if (status != QUASH_OK) {
        return tool_fail_library(error, name, status, TOOL_DAMAGED);
    }
    code = tool_context(&rows->context, 0, error);
    if (code != TOOL_OK) {
        return code;
    }
    status = quash_codec_create(&rows->codec, rows->context, &rows->params);
    if (status != QUASH_OK) {
        return tool_fail_library(error, name, status, TOOL_DAMAGED);
    }
    rows->row_bytes = quash_codec_row_bytes(rows->codec);
    if (rows->rows > (INT64_MAX - ENDS_BYTES) / (int64_t)rows->row_bytes) {
        return tool_fail(error, TOOL_DAMAGED, "%s: header: found %lld rows, more than a file holds",
                         name, (long long)rows->rows);
    }
    const int64_t wanted = ENDS_BYTES + rows->rows * (int64_t)rows->row_bytes;
    if (!rows->input.is_pipe && rows->input.size != wanted) {
        return tool_fail(
            error, TOOL_DAMAGED, "%s: %s: found %lld bytes, expected %lld (%lld rows of %zu bytes)",
            name, rows->input.size < wanted ? "truncated" : "too long", (long long)rows->input.size,
            (long long)wanted, (long long)rows->rows, rows->row_bytes);
    }
    return TOOL_OK;
}

int rows_input_open(struct rows_input *rows, const char *path, struct tool_error *error) {
    memset(rows, 0, sizeof *rows);
    int code = input_open(&rows->input, path, error);
    if (code == TOOL_OK) {
        code = read_header(rows, error);
    }
    if (code != TOOL_OK) {
        rows_input_close(rows);
    }
    return code;
}

void rows_input_close(struct rows_input *rows) {
    input_close(&rows->input);
    quash_codec_free(rows->codec);
    quash_context_free(rows->context);
    rows->codec = NULL;
    rows->context = NULL;
}

int rows_input_read(struct rows_input *rows, void *codes, int64_t max, int64_t *got,
                    struct tool_error *error) {
    const int64_t left = rows->rows - rows->rows_read;
    const int64_t count = max < left ? max : left;
    const size_t size = (size_t)count * rows->row_bytes;
    size_t bytes;
    *got = 0;
    const int code = input_read(&rows->input, codes, size, &bytes, error);
    if (code != TOOL_OK) {
        return code;
    }
    if (bytes < size) {
        return tool_fail(
            error, TOOL_DAMAGED, "%s: truncated within row %lld at byte %lld, expected %lld rows",
            rows->input.name, (long long)(rows->rows_read + (int64_t)(bytes / rows->row_bytes)),
            (long long)rows->input.offset, (long long)rows->rows);
    }
    rows->crc = quash_crc32c(rows->crc, codes, size);
    rows->rows_read += count;
    *got = count;
    return TOOL_OK;
}

int rows_input_finish(struct rows_input *rows, struct tool_error *error) {
    unsigned char trailer[QUASH_ROWS_TRAILER_BYTES + 1];
    size_t got;
    const int code = input_read(&rows->input, trailer, sizeof trailer, &got, error);
    if (code != TOOL_OK) {
        return code;
    }
    const size_t size = got < QUASH_ROWS_TRAILER_BYTES ? got : QUASH_ROWS_TRAILER_BYTES;
    const quash_status status = quash_rows_trailer_read(trailer, size, rows->crc);
    if (status != QUASH_OK) {
        return tool_fail_library(error, rows->input.name, status, TOOL_DAMAGED);
    }
    if (got > QUASH_ROWS_TRAILER_BYTES) {
        return tool_fail(error, TOOL_DAMAGED,
                         "%s: found bytes after the trailer, expected the end at byte %lld",
                         rows->input.name, (long long)rows->input.offset - 1);
    }
    return TOOL_OK;
}
