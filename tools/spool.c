/* SPDX-License-Identifier: Apache-2.0 */
/* spool.c: a temporary file that has lost its name at once: whatever ends the program, the system
 * takes it back. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "spool.h"

#include "cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { COPY_BYTES = 1 << 20 };
static const char spool_name[] = "temporary file";

int spool_open(struct spool *spool, struct tool_error *error) {
    const char *directory = getenv("TMPDIR");
    char path[4096];
    if (directory == NULL || *directory == '\0') {
        directory = "/tmp";
    }
    spool->fd = -1;
    if ((size_t)snprintf(path, sizeof path, "%s/quash-XXXXXX", directory) >= sizeof path) {
        return tool_fail(error, TOOL_FAILED, "TMPDIR: the name is too long");
    }
    sigset_t before;
    cleanup_begin_change(&before);
    spool->fd = mkstemp(path);
    const int number = errno;
    if (spool->fd >= 0) {
        (void)unlink(path);
    }
    cleanup_end_change(&before);
    if (spool->fd < 0) {
        return tool_fail_errno(error, directory, "cannot create a temporary file", number);
    }
    return TOOL_OK;
}

int spool_write(struct spool *spool, const void *data, size_t size, struct tool_error *error) {
    return output_write_fd(spool->fd, spool_name, data, size, error);
}

int spool_copy(struct spool *spool, struct output *output, struct tool_error *error) {
    struct input input = { .name = spool_name, .fd = spool->fd };
    int code = TOOL_OK;
    if (lseek(spool->fd, 0, SEEK_SET) != 0) {
        return tool_fail_errno(error, spool_name, "cannot read", errno);
    }
    void *buffer = malloc(COPY_BYTES);
    if (buffer == NULL) {
        return tool_fail_memory(error, spool_name);
    }
    for (size_t got = COPY_BYTES; code == TOOL_OK && got == COPY_BYTES;) {
        code = input_read(&input, buffer, COPY_BYTES, &got, error);
        if (code == TOOL_OK) {
            code = output_write(output, buffer, got, error);
        }
    }
    free(buffer);
    return code;
}

void spool_close(struct spool *spool) {
    if (spool->fd >= 0) {
        (void)close(spool->fd);
    }
    spool->fd = -1;
}
