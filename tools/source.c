/* SPDX-License-Identifier: Apache-2.0 */
/* source.c: picks the reader of a file of rows, and reads whole files. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "source.h"

#include "read_npy.h"
#include "read_vecs.h"

#include <stdlib.h>
#include <string.h>

const char *const source_format_names[] = { "npy", "fvecs", "bvecs", NULL };

int source_format_of(const char *path) {
    const char *dot = strrchr(path, '.');
    for (int i = 0; dot != NULL && source_format_names[i] != NULL; i++) {
        if (strcmp(dot + 1, source_format_names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

int source_open(struct source *source, const char *path, int format, struct tool_error *error) {
    memset(source, 0, sizeof *source);
    source->input.fd = -1;
    if (format < 0) {
        format = source_format_of(path);
    }
    if (format < 0 && strcmp(path, "-") == 0) {
        return tool_fail(error, TOOL_USAGE, "<stdin>: expected --format, which a file's name says");
    }
    if (format < 0) {
        return tool_fail(error, TOOL_USAGE,
                         "%s: the name says no format: expected .npy, .fvecs or .bvecs at "
                         "its end, or --format",
                         path);
    }
    struct input input;
    const int code = input_open(&input, path, error);
    return code != TOOL_OK ? code
                           : source_open_input(source, &input, (enum source_format)format, error);
}

int source_open_input(struct source *source, const struct input *input, enum source_format format,
                      struct tool_error *error) {
    memset(source, 0, sizeof *source);
    source->input = *input;
    source->format = format;
    const int code = format == SOURCE_NPY ? npy_open(source, error) : vecs_open(source, error);
    if (code != TOOL_OK) {
        source_close(source);
    }
    return code;
}

void source_close(struct source *source) {
    input_close(&source->input);
    free(source->spare);
    source->spare = NULL;
}

int64_t source_chunk_rows(const struct source *source) {
    const int64_t rows = (int64_t)(SOURCE_CHUNK_BYTES / source_row_bytes(source));
    return rows > 0 ? rows : 1;
}

int source_read(struct source *source, void *buffer, int64_t max, int64_t *got,
                struct tool_error *error) {
    return source->format == SOURCE_NPY ? npy_read(source, buffer, max, got, error)
                                        : vecs_read(source, buffer, max, got, error);
}

/* Room for `rows` rows of binary32 at *out, kept on failure. */
static int grow(const struct source *source, float **out, int64_t rows, struct tool_error *error) {
    const size_t row = (size_t)source->dim * sizeof(float);
    float *larger = NULL;
    if ((uint64_t)rows <= SIZE_MAX / 2 / row) {
        larger = realloc(*out, (size_t)(rows > 0 ? rows : 1) * row);
    }
    if (larger == NULL) {
        return tool_fail(error, TOOL_FAILED, "%s: out of memory for %lld rows of %lld columns",
                         source->input.name, (long long)rows, (long long)source->dim);
    }
    *out = larger;
    return TOOL_OK;
}

int source_read_all_f32(struct source *source, float **out, struct tool_error *error) {
    const int64_t chunk = source_chunk_rows(source);
    const size_t dim = (size_t)source->dim;
    int64_t room = source->rows >= 0 && !source->input.is_pipe ? source->rows : chunk;
    float *all = NULL;
    void *buffer = malloc((size_t)chunk * source_row_bytes(source));
    int code = buffer == NULL ? tool_fail_memory(error, source->input.name)
                              : grow(source, &all, room, error);
    for (int64_t got = chunk; code == TOOL_OK && got == chunk;) {
        const int64_t first = source->rows_read;
        code = source_read(source, buffer, chunk, &got, error);
        if (code == TOOL_OK) {
            code = tool_check_finite(source->input.name, buffer, source->dtype, first, got,
                                     source->dim, error);
        }
        if (code == TOOL_OK && first + got > room) {
            room = 2 * (first + got);
            code = grow(source, &all, room, error);
        }
        if (code == TOOL_OK) {
            tool_to_f32(all + (size_t)first * dim, buffer, source->dtype, (size_t)got * dim);
        }
    }
    free(buffer);
    if (code != TOOL_OK) {
        free(all);
        return code;
    }
    source->rows = source->rows_read;
    source->shape[0] = source->ndim == 2 ? source->rows : source->shape[0];
    *out = all;
    return TOOL_OK;
}
