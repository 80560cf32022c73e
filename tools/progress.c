/* SPDX-License-Identifier: Apache-2.0 */
/* progress.c: the progress line: shown after a second, a few times a second, erased at the end. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "progress.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const double quiet_seconds = 1.0;
static const double update_seconds = 0.2;
static const char erase_line[] = "\r\033[K";

/* For the signal handler. */
static volatile sig_atomic_t line_shown;

void progress_start(struct progress *progress, const char *what, int64_t total) {
    const double now = tool_seconds();
    *progress = (struct progress){ what, total, now, now, isatty(STDERR_FILENO) == 1, false };
}

void progress_update(struct progress *progress, int64_t done) {
    if (!progress->enabled) {
        return;
    }
    const double now = tool_seconds();
    const double elapsed = now - progress->start;
    if (elapsed < quiet_seconds || (progress->shown && now - progress->last < update_seconds)) {
        return;
    }
    const double rate = (double)done / elapsed;
    progress->last = now;
    progress->shown = true;
    line_shown = 1;
    if (progress->total > 0 && done > 0) {
        const double left = (double)(progress->total - done) / rate;
        fprintf(stderr, "%s%lld of %lld %s (%.0f %%), %.0f/s, %.0f s left", erase_line,
                (long long)done, (long long)progress->total, progress->what,
                100.0 * (double)done / (double)progress->total, rate, left);
    } else {
        fprintf(stderr, "%s%lld %s, %.0f/s", erase_line, (long long)done, progress->what, rate);
    }
    (void)fflush(stderr);
}

void progress_end(struct progress *progress) {
    if (progress->shown) {
        (void)fputs(erase_line, stderr);
        (void)fflush(stderr);
    }
    progress->shown = false;
    line_shown = 0;
}

void progress_erase_in_handler(void) {
    if (line_shown != 0) {
        const ssize_t ignored = write(STDERR_FILENO, erase_line, sizeof erase_line - 1);
        (void)ignored;
    }
}
