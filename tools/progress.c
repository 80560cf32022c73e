/* SPDX-License-Identifier: Apache-2.0 */
/* progress.c: the progress line: shown after a second, a few times a second, erased at the end. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "progress.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const double quiet_seconds = 1.0;
static const double update_seconds = 0.2;
static const char erase_line[] = "\r\033[K";

/* For the signal handler, which may run on another thread. */
static atomic_int line_shown;

void progress_start_bytes(struct progress *progress, const char *what, int64_t total,
                          size_t bytes_each, bool quiet) {
    const double now = tool_seconds();
    const bool enabled = !quiet && isatty(STDERR_FILENO) == 1;
    *progress = (struct progress){ what, total, bytes_each, now, now, enabled, false };
}

void progress_start(struct progress *progress, const char *what, int64_t total) {
    progress_start_bytes(progress, what, total, 0, false);
}

/* Appends to text of `size` bytes at *length. */
static void append(char *text, size_t size, size_t *length, const char *format, ...)
    TOOL_PRINTF(4, 5);

static void append(char *text, size_t size, size_t *length, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const int count = vsnprintf(text + *length, size - *length, format, arguments);
    va_end(arguments);
    *length += count > 0 && (size_t)count < size - *length ? (size_t)count : 0;
}

/* One write, so that the line does not flicker. */
static void print_line(const struct progress *progress, int64_t done, double elapsed) {
    const double rate = (double)done / elapsed;
    const bool total_known = progress->total > 0 && done > 0;
    char text[256] = "";
    size_t length = 0;
    append(text, sizeof text, &length, "%s%lld", erase_line, (long long)done);
    if (total_known) {
        append(text, sizeof text, &length, " of %lld", (long long)progress->total);
    }
    append(text, sizeof text, &length, " %s", progress->what);
    if (total_known) {
        append(text, sizeof text, &length, " (%.0f %%)",
               100.0 * (double)done / (double)progress->total);
    }
    append(text, sizeof text, &length, ", %.0f/s", rate);
    if (progress->bytes_each > 0) {
        append(text, sizeof text, &length, ", %.1f MB/s",
               1e-6 * rate * (double)progress->bytes_each);
    }
    if (total_known) {
        const double left = (double)(progress->total - done) / rate;
        append(text, sizeof text, &length, left < 120 ? ", %.0f s left" : ", %.0f min left",
               left < 120 ? left : left / 60);
    }
    (void)fputs(text, stderr);
    (void)fflush(stderr);
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
    progress->last = now;
    progress->shown = true;
    atomic_store(&line_shown, 1);
    print_line(progress, done, elapsed);
}

void progress_end(struct progress *progress) {
    if (progress->shown) {
        (void)fputs(erase_line, stderr);
        (void)fflush(stderr);
    }
    progress->shown = false;
    atomic_store(&line_shown, 0);
}

void progress_erase_in_handler(void) {
    if (atomic_load(&line_shown) != 0) {
        const ssize_t ignored = write(STDERR_FILENO, erase_line, sizeof erase_line - 1);
        (void)ignored;
    }
}
