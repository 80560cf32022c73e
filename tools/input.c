/* SPDX-License-Identifier: Apache-2.0 */
/* input.c: sequential bytes from a file, a pipe or memory. Readers ask for megabytes at a time, so
 * there is no buffer in between. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int input_open(struct input *input, const char *path, struct tool_error *error) {
    const bool standard = strcmp(path, "-") == 0;
    *input = (struct input){ .name = standard ? "<stdin>" : path, .is_pipe = true };
    input->fd = STDIN_FILENO;
    if (!standard) {
        input->fd = open(path, O_RDONLY | O_CLOEXEC);
        if (input->fd < 0) {
            return tool_fail_errno(error, input->name, "cannot open", errno);
        }
    }
    struct stat info;
    int code = TOOL_OK;
    if (fstat(input->fd, &info) != 0) {
        code = tool_fail_errno(error, input->name, "cannot examine", errno);
    } else if (S_ISDIR(info.st_mode)) {
        code = tool_fail_errno(error, input->name, "cannot read", EISDIR);
    } else if (S_ISREG(info.st_mode)) {
        /* Standard input may be a file that someone has read the beginning of. */
        const off_t start = lseek(input->fd, 0, SEEK_CUR);
        input->is_pipe = false;
        input->size = start > 0 && start <= info.st_size ? info.st_size - start : info.st_size;
    }
    if (code != TOOL_OK) {
        input_close(input);
    }
    return code;
}

void input_open_memory(struct input *input, const char *name, const void *memory, size_t size) {
    *input = (struct input){ .name = name,
                             .fd = -1,
                             .memory = memory,
                             .memory_size = (int64_t)size,
                             .size = (int64_t)size };
}

void input_close(struct input *input) {
    if (input->fd > STDIN_FILENO) {
        (void)close(input->fd);
    }
    input->fd = -1;
    input->memory = NULL;
    if (input->interruptible) {
        (void)close(input->interrupt[0]);
        (void)close(input->interrupt[1]);
    }
    input->interruptible = false;
}

int input_make_interruptible(struct input *input, struct tool_error *error) {
    if (input->is_pipe && input->fd >= 0) { /* what is on a disk does not wait */
        if (pipe(input->interrupt) != 0) {
            return tool_fail_errno(error, input->name, "cannot create a pipe", errno);
        }
        input->interruptible = true;
    }
    return TOOL_OK;
}

void input_interrupt(const struct input *input) {
    if (input->interruptible) {
        const ssize_t ignored = write(input->interrupt[1], "", 1);
        (void)ignored;
    }
}

/* read, which may be interrupted while it waits. */
static ssize_t read_or_stop(const struct input *input, void *buffer, size_t size) {
    if (input->interruptible) {
        struct pollfd files[2] = { { input->interrupt[0], POLLIN, 0 }, { input->fd, POLLIN, 0 } };
        if (poll(files, 2, -1) < 0) {
            return -1;
        }
        if (files[0].revents != 0) {
            errno = ECANCELED;
            return -1;
        }
    }
    return read(input->fd, buffer, size);
}

int input_read(struct input *input, void *buffer, size_t size, size_t *got,
               struct tool_error *error) {
    size_t filled = 0;
    *got = 0;
    if (input->fd < 0) {
        const size_t left = (size_t)(input->memory_size - input->offset);
        filled = size < left ? size : left;
        if (filled > 0) {
            memcpy(buffer, input->memory + input->offset, filled);
        }
    }
    while (input->fd >= 0 && filled < size) {
        const ssize_t count = read_or_stop(input, (char *)buffer + filled, size - filled);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return tool_fail_errno(error, input->name, "cannot read", errno);
        }
        if (count == 0) {
            break;
        }
        filled += (size_t)count;
    }
    input->offset += (int64_t)filled;
    *got = filled;
    return TOOL_OK;
}
