/* SPDX-License-Identifier: Apache-2.0 */
/* tool.h: what every file of the command-line tool stands on: exit codes, one error record, the
 * clock and number conversions. */
#ifndef TOOL_H
#define TOOL_H

#include <math.h>
#include <quash/quash.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define TOOL_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define TOOL_PRINTF(text, first)
#endif

/* Exit codes of the program: part of its interface, listed by `quash --help`. */
enum tool_exit {
    TOOL_OK = 0,
    TOOL_FAILED = 1, /* input/output, memory, a machine that lacks something */
    TOOL_USAGE = 2,  /* the command line */
    TOOL_DATA = 3,   /* an input that cannot be used */
    TOOL_DAMAGED = 4 /* a rows file that is damaged or of an unknown version */
};

/* Why something failed. Functions fill it and return its code; only main prints it, so that the
 * readers can run inside a fuzzer. */
struct tool_error {
    int code;        /* a tool_exit; TOOL_OK: nothing failed */
    bool quiet;      /* print nothing: whoever read our output has gone */
    char text[1024]; /* "FILE: what, found, expected" */
};

/* Records a failure and returns code. The first failure wins: a later one is a consequence. */
int tool_fail(struct tool_error *error, int code, const char *format, ...) TOOL_PRINTF(3, 4);

/* Records "name: what: strerror(number)" and returns TOOL_FAILED. */
int tool_fail_errno(struct tool_error *error, const char *name, const char *what, int number);

/* Records that malloc failed and returns TOOL_FAILED. */
int tool_fail_memory(struct tool_error *error, const char *name);

/* Records the library's last message under name and returns the exit code that fits status;
 * an ARGUMENT becomes argument_code, since only the caller knows where the argument came from. */
int tool_fail_library(struct tool_error *error, const char *name, quash_status status,
                      int argument_code);

/* A context for the command. threads: 0 for what the environment and the machine say. */
int tool_context(quash_context **out, int threads, struct tool_error *error);

/* A figure that does not exist: "-" in a table, null in JSON. */
#define TOOL_NO_VALUE ((double)NAN)

/* Seconds of a clock that never goes back. */
double tool_seconds(void);

/* Name of this machine's CPU, or "unknown". */
void tool_cpu_model(char *text, size_t size);

/* Size of an element, and its name as the tables print it ("f32"). */
size_t tool_dtype_bytes(quash_dtype dtype);
const char *tool_dtype_name(quash_dtype dtype);

/* Widens count elements of dtype at data to binary32: exact for every dtype. */
void tool_to_f32(float *out, const void *data, quash_dtype dtype, size_t count);

/* First NaN or infinity among rows of dim elements: true, and where it is. */
bool tool_find_nonfinite(const void *data, quash_dtype dtype, int64_t rows, int64_t dim,
                         int64_t *row, int64_t *column);

/* Checks a chunk whose first row is row `first` of the file, and names the row of the file. */
int tool_check_finite(const char *name, const void *data, quash_dtype dtype, int64_t first,
                      int64_t rows, int64_t dim, struct tool_error *error);

/* The candidate nearest to word by edit distance, or NULL when none is near. */
const char *tool_nearest(const char *word, const char *const *candidates, size_t count);

#endif
