/* SPDX-License-Identifier: Apache-2.0 */
/* read_npy.c: reads NumPy's .npy files, versions 1.0 to 3.0: a magic, the length of a header, the
 * header (a Python dictionary literal, padded with spaces), then the numbers. Only arrays that the
 * tool can use are accepted; every refusal says what was found, where, and what was expected. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "read_npy.h"

#include "npy_header.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PREFIX_BYTES = 8,      /* magic and version */
    HEADER_MAX = 64 << 10, /* a header of ours has about 100 bytes */
    WIDE_CHUNK = 64 << 10  /* binary64 numbers converted at a time */
};

/* Takes over dtype and order, or says why not and what to do about it. */
static int accept_type(struct source *source, const struct npy_description *description,
                       struct tool_error *error) {
    static const struct {
        const char *descr;
        quash_dtype dtype;
        bool wide;
    } types[] = {
        { "<f4", QUASH_F32, false }, { "<f2", QUASH_F16, false }, { "|i1", QUASH_I8, false },
        { "|u1", QUASH_U8, false },  { "<f8", QUASH_F32, true },
    };
    const char *name = source->input.name;
    const char *descr = description->descr;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(descr, types[i].descr) == 0) {
            source->dtype = types[i].dtype;
            source->from_f64 = types[i].wide;
            if (description->fortran_order) {
                return tool_fail(error, TOOL_DATA,
                                 "%s: fortran_order is True, expected False: save "
                                 "numpy.ascontiguousarray(a)",
                                 name);
            }
            return TOOL_OK;
        }
    }
    const char *kind = "";
    if (descr[0] == '>') {
        kind = " (big-endian)";
    } else if (strcmp(descr, "|O") == 0) {
        kind = " (Python objects)";
    }
    return tool_fail(error, TOOL_DATA,
                     "%s: found dtype '%s'%s, expected '<f4', '<f2', '<f8', '|i1' or '|u1'", name,
                     descr, kind);
}

/* Takes over the shape and checks that its product exists and that the file is as long as it says;
 * of a pipe, npy_read checks the length. */
static int accept_shape(struct source *source, const struct npy_description *description,
                        struct tool_error *error) {
    const char *name = source->input.name;
    const int64_t width = source->from_f64 ? 8 : (int64_t)tool_dtype_bytes(source->dtype);
    const int64_t most = (INT64_MAX - source->input.offset) / width;
    source->ndim = description->ndim;
    source->dim = description->shape[source->ndim - 1];
    source->rows = 1;
    if (source->dim < 1 || source->dim > QUASH_DIM_MAX) {
        return tool_fail(error, TOOL_DATA,
                         "%s: found rows of %lld numbers, expected 1 to %d in the last dimension",
                         name, (long long)source->dim, QUASH_DIM_MAX);
    }
    bool empty = false;
    for (int32_t i = 0; i < source->ndim; i++) {
        source->shape[i] = description->shape[i];
        empty = empty || source->shape[i] == 0;
    }
    for (int32_t i = 0; i < source->ndim - 1; i++) {
        if (!empty && source->rows > most / source->dim / source->shape[i]) {
            return tool_fail(error, TOOL_DATA,
                             "%s: the shape in the .npy header is more than a file can hold", name);
        }
        source->rows = empty ? 0 : source->rows * source->shape[i];
    }
    const int64_t wanted = source->input.offset + source->rows * source->dim * width;
    const bool shorter = source->input.size < wanted;
    if (!source->input.is_pipe && source->input.size != wanted) {
        return tool_fail(error, TOOL_DATA,
                         "%s: %s: found %lld bytes, expected %lld (%lld rows of %lld numbers from "
                         "byte %lld)",
                         name, shorter ? "truncated" : "too long", (long long)source->input.size,
                         (long long)wanted, (long long)source->rows, (long long)source->dim,
                         (long long)source->input.offset);
    }
    return TOOL_OK;
}

/* Magic, version and length of the header; leaves the input at the header's first byte. */
static int read_prefix(struct source *source, size_t *header_bytes, struct tool_error *error) {
    const char *name = source->input.name;
    unsigned char bytes[PREFIX_BYTES + 4];
    size_t got;
    int code = input_read(&source->input, bytes, PREFIX_BYTES, &got, error);
    if (code != TOOL_OK) {
        return code;
    }
    if (got < PREFIX_BYTES || memcmp(bytes, "\x93NUMPY", 6) != 0) {
        char found[3 * 6 + 1] = " nothing";
        for (size_t i = 0; i < got && i < 6; i++) {
            (void)snprintf(found + 3 * i, sizeof found - 3 * i, " %02x", bytes[i]);
        }
        return tool_fail(error, TOOL_DATA,
                         "%s: not a .npy file: found%s at byte 0, expected 93 4e 55 4d 50 59", name,
                         found);
    }
    if (bytes[6] < 1 || bytes[6] > 3 || bytes[7] != 0) {
        return tool_fail(error, TOOL_DATA,
                         "%s: found .npy version %d.%d at byte 6, expected 1.0, 2.0 or 3.0", name,
                         bytes[6], bytes[7]);
    }
    const size_t length_bytes = bytes[6] == 1 ? 2 : 4;
    code = input_read(&source->input, bytes + PREFIX_BYTES, length_bytes, &got, error);
    if (code != TOOL_OK) {
        return code;
    }
    uint32_t length = 0;
    for (size_t i = 0; i < got; i++) {
        length |= (uint32_t)bytes[PREFIX_BYTES + i] << (8 * i);
    }
    if (got == length_bytes && length > HEADER_MAX) {
        return tool_fail(error, TOOL_DATA,
                         "%s: found a .npy header of %lu bytes at byte 8, expected at most %d",
                         name, (unsigned long)length, HEADER_MAX);
    }
    if (got < length_bytes) {
        return tool_fail(error, TOOL_DATA, "%s: truncated within the .npy header at byte %lld",
                         name, (long long)source->input.offset);
    }
    *header_bytes = length;
    return TOOL_OK;
}

int npy_open(struct source *source, struct tool_error *error) {
    size_t length = 0;
    size_t got = 0;
    int code = read_prefix(source, &length, error);
    if (code != TOOL_OK) {
        return code;
    }
    const int64_t start = source->input.offset;
    char *text = malloc(length + 1);
    if (text == NULL) {
        return tool_fail_memory(error, source->input.name);
    }
    code = input_read(&source->input, text, length, &got, error);
    if (code == TOOL_OK && got < length) {
        code = tool_fail(error, TOOL_DATA,
                         "%s: truncated within the .npy header: found %lld bytes, expected %lld",
                         source->input.name, (long long)source->input.offset,
                         (long long)start + (long long)length);
    }
    text[got] = '\0';
    struct npy_description description;
    if (code == TOOL_OK) {
        code = npy_parse_header(source->input.name, text, length, start, &description, error);
    }
    free(text);
    if (code == TOOL_OK) {
        code = accept_type(source, &description, error);
    }
    return code != TOOL_OK ? code : accept_shape(source, &description, error);
}

/* Reads size bytes of numbers at buffer; the header promised them. */
static int read_promised(struct source *source, void *buffer, size_t size,
                         struct tool_error *error) {
    size_t got;
    const int code = input_read(&source->input, buffer, size, &got, error);
    if (code == TOOL_OK && got < size) {
        return tool_fail(error, TOOL_DATA,
                         "%s: truncated at byte %lld: the .npy header promises %lld rows of %lld "
                         "numbers",
                         source->input.name, (long long)source->input.offset,
                         (long long)source->rows, (long long)source->dim);
    }
    return code;
}

/* count binary64 numbers, the first of them number `first` of the file, narrowed to out. */
static int read_wide(struct source *source, float *out, size_t first, size_t count,
                     struct tool_error *error) {
    if (source->spare == NULL) {
        source->spare_bytes = WIDE_CHUNK * sizeof(double);
        source->spare = malloc(source->spare_bytes);
        if (source->spare == NULL) {
            return tool_fail_memory(error, source->input.name);
        }
    }
    for (size_t done = 0; done < count;) {
        const size_t n = count - done < WIDE_CHUNK ? count - done : WIDE_CHUNK;
        const int code = read_promised(source, source->spare, n * sizeof(double), error);
        if (code != TOOL_OK) {
            return code;
        }
        for (size_t i = 0; i < n; i++, done++) {
            double wide;
            memcpy(&wide, source->spare + i * sizeof wide, sizeof wide);
            out[done] = (float)wide;
            if (isinf(out[done]) && !isinf(wide)) {
                const size_t at = first + done;
                return tool_fail(error, TOOL_DATA,
                                 "%s: row %lld, column %lld: found %.6g, expected a number in the "
                                 "range of f32",
                                 source->input.name, (long long)(at / (size_t)source->dim),
                                 (long long)(at % (size_t)source->dim), wide);
            }
        }
    }
    return TOOL_OK;
}

int npy_read(struct source *source, void *buffer, int64_t max, int64_t *got,
             struct tool_error *error) {
    const int64_t left = source->rows - source->rows_read;
    const int64_t rows = max < left ? max : left;
    const size_t dim = (size_t)source->dim;
    *got = 0;
    int code =
        source->from_f64
            ? read_wide(source, buffer, (size_t)source->rows_read * dim, (size_t)rows * dim, error)
            : read_promised(source, buffer, (size_t)rows * source_row_bytes(source), error);
    if (code == TOOL_OK && rows < max) {
        unsigned char byte;
        size_t extra = 0;
        code = input_read(&source->input, &byte, 1, &extra, error);
        if (code == TOOL_OK && extra > 0) {
            code = tool_fail(error, TOOL_DATA,
                             "%s: found bytes after the last number, expected the end at byte %lld",
                             source->input.name, (long long)source->input.offset - 1);
        }
    }
    if (code == TOOL_OK) {
        source->rows_read += rows;
        *got = rows;
    }
    return code;
}
