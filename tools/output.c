/* SPDX-License-Identifier: Apache-2.0 */
/* output.c: temporary file beside the target, fsync, rename. Nothing half-written is ever seen
 * under the final name: not after an error, a full disk or a signal. */
#define _POSIX_C_SOURCE 200809L
#define _XOPEN_SOURCE 700 /* PATH_MAX */
#define _FILE_OFFSET_BITS 64
#include "output.h"

#include "cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LINKS_MAX = 40,     /* as the kernel's own limit */
    BASE_BYTES = 200,   /* of a file's name within the temporary name, which may have 255 */
    SUFFIX_BYTES = 40,  /* ".PID-N.part" */
    ATTEMPTS_MAX = 1000 /* files of dead processes with our number */
};

/* The open descriptor that path stands for, or -1. To open /dev/stdout like a file would lose the
 * position in what is behind it, or replace it. */
static int descriptor_of(const char *path) {
    static const char *const folders[] = { "/dev/fd/", "/proc/self/fd/" };
    if (strcmp(path, "-") == 0 || strcmp(path, "/dev/stdout") == 0) {
        return STDOUT_FILENO;
    }
    if (strcmp(path, "/dev/stderr") == 0) {
        return STDERR_FILENO;
    }
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        const size_t length = strlen(folders[i]);
        if (strncmp(path, folders[i], length) == 0 && path[length] >= '0' && path[length] <= '9') {
            char *end;
            const long number = strtol(path + length, &end, 10);
            return *end == '\0' && number <= INT_MAX ? (int)number : -1;
        }
    }
    return -1;
}

/* The path of the file that path leads to, whether it exists or not; NULL and errno on failure. */
static char *follow_links(const char *path) {
    char *current = strdup(path);
    for (int links = 0; current != NULL && links < LINKS_MAX; links++) {
        char target[PATH_MAX];
        const ssize_t length = readlink(current, target, sizeof target - 1);
        if (length < 0) {
            return current; /* not a link, or nothing yet */
        }
        target[length] = '\0';
        const char *const directory = target[0] == '/' ? "" : dirname(current);
        const size_t size = strlen(directory) + 1 + (size_t)length + 1;
        char *const next = malloc(size);
        if (next != NULL) {
            (void)snprintf(next, size, "%s%s%s", directory, *directory != '\0' ? "/" : "", target);
        }
        free(current);
        current = next;
    }
    if (current != NULL) {
        free(current);
        errno = ELOOP;
    }
    return NULL;
}

/* Creates path.PID.part, or path.PID-N.part when that name is taken. Permissions: those that any
 * new file gets, or *mode. */
static int create_temporary(struct output *output, const mode_t *mode, struct tool_error *error) {
    const char *slash = strrchr(output->path, '/');
    const size_t folder = slash != NULL ? (size_t)(slash - output->path) + 1 : 0;
    const size_t length = strlen(output->path);
    const int kept = (int)(length - folder > BASE_BYTES ? folder + BASE_BYTES : length);
    const size_t size = length + SUFFIX_BYTES;
    sigset_t before;
    output->temporary = malloc(size);
    if (output->temporary == NULL) {
        return tool_fail_memory(error, output->name);
    }
    int number = EEXIST;
    for (int attempt = 0; attempt < ATTEMPTS_MAX && number == EEXIST; attempt++) {
        char suffix[16] = "";
        if (attempt > 0) {
            (void)snprintf(suffix, sizeof suffix, "-%d", attempt);
        }
        (void)snprintf(output->temporary, size, "%.*s.%ld%s.part", kept, output->path,
                       (long)getpid(), suffix);
        cleanup_begin_change(&before);
        output->fd = open(output->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                          mode != NULL ? 0600 : 0666);
        number = output->fd < 0 ? errno : 0;
        if (output->fd >= 0) {
            cleanup_set(output->temporary);
        }
        cleanup_end_change(&before);
    }
    if (number != 0) {
        free(output->temporary);
        output->temporary = NULL; /* not ours to remove */
        return tool_fail_errno(error, output->name, "cannot create a file in its directory",
                               number);
    }
    if (mode != NULL && fchmod(output->fd, *mode) != 0) {
        return tool_fail_errno(error, output->name, "cannot set permissions", errno);
    }
    return TOOL_OK;
}

/* Whether the two are one regular file. */
static bool same_file(const struct stat *out, int input_fd) {
    struct stat in;
    return S_ISREG(out->st_mode) && fstat(input_fd, &in) == 0 && in.st_dev == out->st_dev &&
           in.st_ino == out->st_ino;
}

static int refuse_same(const char *name, struct tool_error *error) {
    return tool_fail(error, TOOL_USAGE, "%s: input and output are the same file", name);
}

static int open_descriptor(struct output *output, int descriptor, int input_fd,
                           struct tool_error *error) {
    struct stat info;
    output->is_stdout = descriptor == STDOUT_FILENO;
    output->name = output->is_stdout ? "<stdout>" : output->name;
    /* A copy, since close is the last chance of a file system to say that the disk is full. */
    output->fd = fcntl(descriptor, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (output->fd < 0 || fstat(output->fd, &info) != 0) {
        return tool_fail_errno(error, output->name, "cannot open", errno);
    }
    return same_file(&info, input_fd) ? refuse_same(output->name, error) : TOOL_OK;
}

static int open_path(struct output *output, const char *path, int input_fd,
                     struct tool_error *error) {
    struct stat info;
    const bool exists = stat(path, &info) == 0;
    if (exists && S_ISDIR(info.st_mode)) {
        return tool_fail_errno(error, path, "cannot write", EISDIR);
    }
    if (exists && same_file(&info, input_fd)) {
        return refuse_same(path, error);
    }
    if (exists && !S_ISREG(info.st_mode)) {
        output->fd = open(path, O_WRONLY | O_CLOEXEC);
        return output->fd < 0 ? tool_fail_errno(error, path, "cannot open", errno) : TOOL_OK;
    }
    output->path = follow_links(path);
    if (output->path == NULL) {
        return tool_fail_errno(error, path, "cannot resolve", errno);
    }
    const mode_t mode = exists ? info.st_mode & 0777 : 0;
    return create_temporary(output, exists ? &mode : NULL, error);
}

int output_open(struct output *output, const char *path, int input_fd, struct tool_error *error) {
    *output = (struct output){ .name = path, .fd = -1 };
    if (*path == '\0') {
        return tool_fail(error, TOOL_USAGE, "the name of the output is empty");
    }
    const int descriptor = descriptor_of(path);
    const int code = descriptor >= 0 ? open_descriptor(output, descriptor, input_fd, error)
                                     : open_path(output, path, input_fd, error);
    if (code != TOOL_OK) {
        output_discard(output);
    }
    return code;
}

int output_write_fd(int fd, const char *name, const void *data, size_t size,
                    struct tool_error *error) {
    const char *bytes = data;
    for (size_t done = 0; done < size;) {
        const ssize_t count = write(fd, bytes + done, size - done);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return tool_fail_errno(error, name, "cannot write", errno);
        }
        done += (size_t)count;
    }
    return TOOL_OK;
}

int output_write(struct output *output, const void *data, size_t size, struct tool_error *error) {
    const int code = output_write_fd(output->fd, output->name, data, size, error);
    if (code == TOOL_OK) {
        output->bytes += (int64_t)size;
    }
    return code;
}

int output_rewrite(struct output *output, const void *data, size_t size, struct tool_error *error) {
    if (lseek(output->fd, 0, SEEK_SET) != 0) {
        return tool_fail_errno(error, output->name, "cannot write", errno);
    }
    int code = output_write_fd(output->fd, output->name, data, size, error);
    if (code == TOOL_OK && lseek(output->fd, 0, SEEK_END) != (off_t)output->bytes) {
        code = tool_fail_errno(error, output->name, "cannot write", errno);
    }
    return code;
}

/* So that the rename itself survives a power failure; not every file system allows it. */
static void sync_directory(const char *path) {
    char *copy = strdup(path);
    const int fd = copy != NULL ? open(dirname(copy), O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        (void)fsync(fd);
        (void)close(fd);
    }
    free(copy);
}

static int rename_into_place(struct output *output, struct tool_error *error) {
    sigset_t before;
    cleanup_begin_change(&before);
    const int result = rename(output->temporary, output->path);
    const int number = errno;
    if (result == 0) {
        cleanup_set(NULL);
    }
    cleanup_end_change(&before);
    if (result != 0) {
        return tool_fail_errno(error, output->name, "cannot rename into place", number);
    }
    free(output->temporary);
    output->temporary = NULL;
    sync_directory(output->path);
    return TOOL_OK;
}

int output_commit(struct output *output, struct tool_error *error) {
    int code = TOOL_OK;
    if (output->temporary != NULL && fsync(output->fd) != 0) {
        code = tool_fail_errno(error, output->name, "cannot write", errno);
    }
    if (close(output->fd) != 0 && code == TOOL_OK) {
        code = tool_fail_errno(error, output->name, "cannot write", errno);
    }
    output->fd = -1;
    if (code == TOOL_OK && output->temporary != NULL) {
        code = rename_into_place(output, error);
    }
    output_discard(output);
    return code;
}

void output_discard(struct output *output) {
    if (output->fd >= 0) {
        (void)close(output->fd);
    }
    output->fd = -1;
    if (output->temporary != NULL) {
        sigset_t before;
        cleanup_begin_change(&before);
        (void)unlink(output->temporary);
        cleanup_set(NULL);
        cleanup_end_change(&before);
    }
    free(output->temporary);
    free(output->path);
    output->temporary = NULL;
    output->path = NULL;
}

int output_flush_stdout(struct tool_error *error) {
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        const int number = errno != 0 ? errno : EIO;
        error->quiet = number == EPIPE;
        return tool_fail_errno(error, "<stdout>", "cannot write", number);
    }
    return TOOL_OK;
}
