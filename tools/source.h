/* SPDX-License-Identifier: Apache-2.0 */
/* source.h: rows of numbers from a .npy, .fvecs or .bvecs file, read in pieces, so that a file may
 * be larger than memory. Every reader of such files is behind this interface. */
#ifndef TOOL_SOURCE_H
#define TOOL_SOURCE_H

#include "source_state.h"

/* Names of the formats for --format, NULL-terminated. */
extern const char *const source_format_names[];

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

/* Rows of a chunk. */
int64_t source_chunk_rows(const struct source *source);

/* Reads up to max rows, densely, into buffer; *got is less than max only at the end, and then the
 * end has been checked: the file holds what it promised and not more. */
int source_read(struct source *source, void *buffer, int64_t max, int64_t *got,
                struct tool_error *error);

/* Reads all rows, widened to binary32, into memory from malloc. Refuses NaN and infinity. */
int source_read_all_f32(struct source *source, float **out, struct tool_error *error);

#endif
