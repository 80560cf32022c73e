/* SPDX-License-Identifier: Apache-2.0 */
/* progress.h: a line on standard error while a long job runs, for a person at a terminal only. */
#ifndef TOOL_PROGRESS_H
#define TOOL_PROGRESS_H

#include "tool.h"

struct progress {
    const char *what;   /* "rows" */
    int64_t total;      /* -1: unknown */
    size_t bytes_each;  /* bytes of one, for a rate in MB/s; 0: no such rate */
    double start, last; /* seconds */
    bool enabled, shown;
};

void progress_start(struct progress *progress, const char *what, int64_t total);

/* The same for things of bytes_each bytes; quiet: no line, terminal or not. */
void progress_start_bytes(struct progress *progress, const char *what, int64_t total,
                          size_t bytes_each, bool quiet);
void progress_update(struct progress *progress, int64_t done);
void progress_end(struct progress *progress);

/* Removes a line that is shown; safe within a signal handler. */
void progress_erase_in_handler(void);

#endif
