/* SPDX-License-Identifier: Apache-2.0 */
/* progress.h: a line on standard error while a long job runs, for a person at a terminal only. */
#ifndef TOOL_PROGRESS_H
#define TOOL_PROGRESS_H

#include "tool.h"

struct progress {
    const char *what;   /* "rows" */
    int64_t total;      /* -1: unknown */
    double start, last; /* seconds */
    bool enabled, shown;
};

void progress_start(struct progress *progress, const char *what, int64_t total);
void progress_update(struct progress *progress, int64_t done);
void progress_end(struct progress *progress);

/* Removes a line that is shown; safe within a signal handler. */
void progress_erase_in_handler(void);

#endif
