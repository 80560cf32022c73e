/* SPDX-License-Identifier: Apache-2.0 */
/* rows_input.h: a rows file (.qrows), read and checked in pieces. */
#ifndef TOOL_ROWS_INPUT_H
#define TOOL_ROWS_INPUT_H

#include "input.h"

struct rows_input {
    struct input input;
    quash_context *context;
    quash_codec *codec;
    quash_codec_params params;
    int64_t rows;
    size_t row_bytes; /* encoded */
    int64_t rows_read;
    uint32_t crc; /* of the codes read so far */
};

/* Names of scale policies and scale dtypes on the command line, by their values in the library. */
extern const char *const rows_policy_names[];
extern const char *const rows_scale_names[];

/* Opens path ("-": standard input) and reads the header. */
int rows_input_open(struct rows_input *rows, const char *path, struct tool_error *error);
void rows_input_close(struct rows_input *rows);

/* Rows of a chunk when each needs row_bytes. */
int64_t rows_chunk(size_t row_bytes);

/* Reads up to max encoded rows; *got is less than max only after the last row. */
int rows_input_read(struct rows_input *rows, void *codes, int64_t max, int64_t *got,
                    struct tool_error *error);

/* After the last row: checks the trailer, its checksum, and that nothing follows. */
int rows_input_finish(struct rows_input *rows, struct tool_error *error);

#endif
