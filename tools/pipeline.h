/* SPDX-License-Identifier: Apache-2.0 */
/* pipeline.h: a file worked on in pieces: while one is computed, the next is read and the one
 * before is written. Memory is a few pieces, whatever the length of the file. */
#ifndef TOOL_PIPELINE_H
#define TOOL_PIPELINE_H

#include "tool.h"

struct piece {
    int64_t first; /* number of its first row in the file */
    int64_t count; /* rows in it: set by read */
    bool last;     /* set by read: nothing follows */
    void *in;      /* filled by read */
    void *out;     /* filled by work */
};

/* Every step sees every piece, in the order of the file; a tool_exit other than TOOL_OK ends the
 * run. What a step touches besides the piece is its own: read and write run on threads of theirs,
 * work on the caller's. */
typedef int pipeline_step(void *user, struct piece *piece, struct tool_error *error);

struct pipeline {
    const char *name; /* of the input, for messages */
    void *user;
    int64_t piece_rows; /* rows that a piece has room for */
    size_t in_row_bytes, out_row_bytes;
    pipeline_step *read, *work, *write;
    /* After a failure: makes a read that waits for a pipe return, with any outcome. */
    void (*interrupt)(void *user);
};

/* Rows of a piece when a row takes so many bytes before and after the work: pieces are of 32 MiB,
 * enough for all processors, and the whole pipeline stays below 200 MiB. rows: those of the file,
 * or -1. */
int64_t pipeline_piece_rows(size_t in_row_bytes, size_t out_row_bytes, int64_t rows);

/* Runs the steps until the last piece is written. Of several failures, reports the one that comes
 * first in the file, as if all was done one after the other. */
int pipeline_run(const struct pipeline *pipeline, struct tool_error *error);

#endif
