/* SPDX-License-Identifier: Apache-2.0 */
/* spool.h: a nameless temporary file: written, then copied to an output. */
#ifndef TOOL_SPOOL_H
#define TOOL_SPOOL_H

#include "input.h"
#include "output.h"

struct spool {
    int fd; /* -1: closed */
};

/* In the folder TMPDIR, or /tmp. */
int spool_open(struct spool *spool, struct tool_error *error);
int spool_write(struct spool *spool, const void *data, size_t size, struct tool_error *error);

/* Appends all that was written to output. */
int spool_copy(struct spool *spool, struct output *output, struct tool_error *error);

void spool_close(struct spool *spool);

#endif
