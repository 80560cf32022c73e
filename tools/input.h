/* SPDX-License-Identifier: Apache-2.0 */
/* input.h: bytes of a file, of standard input or of memory, read once from front to back. */
#ifndef TOOL_INPUT_H
#define TOOL_INPUT_H

#include "tool.h"

struct input {
    const char *name; /* for messages */
    int fd;           /* -1: memory */
    const unsigned char *memory;
    int64_t memory_size;
    bool is_pipe;   /* the size is unknown until the end */
    int64_t size;   /* bytes in all, unless is_pipe */
    int64_t offset; /* bytes read so far */
    bool interruptible;
    int interrupt[2]; /* a pipe: a byte in it ends a read that waits */
};

/* Opens path, or standard input for "-". */
int input_open(struct input *input, const char *path, struct tool_error *error);

/* Reads from memory, which must outlive the input. A test may set is_pipe afterwards. */
void input_open_memory(struct input *input, const char *name, const void *memory, size_t size);

void input_close(struct input *input);

/* Reads size bytes, or fewer at the end of the input: *got says how many. */
int input_read(struct input *input, void *buffer, size_t size, size_t *got,
               struct tool_error *error);

/* Allows another thread to call input_interrupt: a read that waits for a pipe, and every later one,
 * then fails. Calling it while nothing waits does no harm. */
int input_make_interruptible(struct input *input, struct tool_error *error);
void input_interrupt(const struct input *input);

#endif
