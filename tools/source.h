/* SPDX-License-Identifier: Apache-2.0 */
/* source.h: rows of numbers from a .npy, .fvecs or .bvecs file, read in pieces, so that a file may
 * be larger than memory. Every reader of such files is behind this interface. */
#ifndef TOOL_SOURCE_H
#define TOOL_SOURCE_H

#include "input.h"

enum source_format { SOURCE_NPY = 0, SOURCE_FVECS = 1, SOURCE_BVECS = 2 };

/* Names of the formats for --format, NULL-terminated. */
extern const char *const source_format_names[];

struct source {
    struct input input;
    enum source_format format;
    quash_dtype dtype; /* of the rows that source_read gives */
    bool from_f64;     /* the file holds binary64, converted on reading */
    int32_t ndim;      /* 1..4 */
    int64_t shape[4];  /* as in the file; .fvecs and .bvecs: (rows, dim) */
    int64_t rows;      /* product of all sizes but the last; -1: unknown until the end */
    int64_t dim;       /* 1..QUASH_DIM_MAX */
    int64_t rows_read;
    unsigned char *spare; /* of .fvecs, .bvecs and binary64: bytes as they are in the file */
    size_t spare_bytes;
    bool have_row_start; /* .fvecs, .bvecs: the dim of the next row has been read */
};

/* Bytes of a piece of rows that commands work on: large against the cost of a call, small against
 * memory. */
enum { SOURCE_CHUNK_BYTES = 4 << 20 };

/* Which format a path has by its ending, or -1. */
int source_format_of(const char *path);

/* Opens path ("-": standard input). format is a source_format, or -1 to go by the path's ending. */
int source_open(struct source *source, const char *path, int format, struct tool_error *error);

/* The same on an input that is open already; takes it over, and closes it on failure. */
int source_open_input(struct source *source, const struct input *input, enum source_format format,
                      struct tool_error *error);

void source_close(struct source *source);

/* Bytes of one row as source_read gives it, and rows of a chunk. */
size_t source_row_bytes(const struct source *source);
int64_t source_chunk_rows(const struct source *source);

/* Reads up to max rows, densely, into buffer; *got is less than max only at the end, and then the
 * end has been checked: the file holds what it promised and not more. */
int source_read(struct source *source, void *buffer, int64_t max, int64_t *got,
                struct tool_error *error);

/* Reads all rows, widened to binary32, into memory from malloc. Refuses NaN and infinity. */
int source_read_all_f32(struct source *source, float **out, struct tool_error *error);

/* The two families of readers behind source_open_input and source_read. */
int npy_open(struct source *source, struct tool_error *error);
int npy_read(struct source *source, void *buffer, int64_t max, int64_t *got,
             struct tool_error *error);
int vecs_open(struct source *source, struct tool_error *error);
int vecs_read(struct source *source, void *buffer, int64_t max, int64_t *got,
              struct tool_error *error);

#endif
