/* SPDX-License-Identifier: Apache-2.0 */
/* output.h: a file that appears under its name whole or not at all. */
#ifndef TOOL_OUTPUT_H
#define TOOL_OUTPUT_H

#include "tool.h"

#include <stdio.h>

struct output {
    const char *name; /* for messages */
    char *path;       /* final name, links resolved; NULL: written in place */
    char *temporary;  /* name until commit; NULL: written in place */
    int fd;           /* -1: closed */
    int64_t bytes;    /* written so far */
};

/* Opens path for writing; "-" is standard output. A regular file is written under a temporary name
 * in the same directory; a pipe or a device is written in place. On SIGINT, SIGTERM and SIGHUP the
 * temporary file is removed. One output at a time. */
int output_open(struct output *output, const char *path, struct tool_error *error);

int output_write(struct output *output, const void *data, size_t size, struct tool_error *error);

/* Puts the file under its final name: written to disk, renamed. Closes. */
int output_commit(struct output *output, struct tool_error *error);

/* Closes and removes the temporary file; harmless after output_commit. */
void output_discard(struct output *output);

/* Refuses to write over the file that is being read. */
int output_check_distinct(const char *path, int input_fd, struct tool_error *error);

/* Opens a nameless temporary file in TMPDIR, for writing and then reading. */
int output_spool(FILE **out, struct tool_error *error);

/* Checks that what was printed to standard output has arrived. */
int output_flush_stdout(struct tool_error *error);

#endif
