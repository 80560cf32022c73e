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
    bool is_stdout;   /* figures must go elsewhere */
    int64_t bytes;    /* written so far */
};

/* Opens path for writing. "-", /dev/stdout and /dev/fd/N are descriptors that are open already:
 * they, pipes and devices are written in place. A file is written as path.PID.part in the same
 * folder, PID being the process, and that is removed on failure and by signals that end the
 * program; a file that exists keeps its permissions, a link stays a link. Refuses to write over
 * the file behind input_fd. One output at a time. */
int output_open(struct output *output, const char *path, int input_fd, struct tool_error *error);

int output_write(struct output *output, const void *data, size_t size, struct tool_error *error);

/* Writes over the beginning of what has been written: for a header that is known last. Only when
 * not written in place. */
int output_rewrite(struct output *output, const void *data, size_t size, struct tool_error *error);

/* Puts the file under its final name: written to disk, renamed. Closes. */
int output_commit(struct output *output, struct tool_error *error);

/* Closes and removes the temporary file; harmless after output_commit. */
void output_discard(struct output *output);

/* Writes all of data to a descriptor; name is for messages. */
int output_write_fd(int fd, const char *name, const void *data, size_t size,
                    struct tool_error *error);

/* Checks that what was printed to standard output has arrived; a reader that has gone away, as
 * head does, is a quiet failure. */
int output_flush_stdout(struct tool_error *error);

#endif
