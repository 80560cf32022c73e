/* SPDX-License-Identifier: Apache-2.0 */
/* output.c: temporary file beside the target, fsync, rename. Nothing half-written is ever seen
 * under the final name: not after an error, a full disk or a signal. */
#define _POSIX_C_SOURCE 200809L
#define _XOPEN_SOURCE 700 /* realpath */
#define _FILE_OFFSET_BITS 64
#include "output.h"

#include "progress.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the signal handler removes. Changed only while the signals are blocked. */
static const char *volatile pending_path;

static const int caught_signals[] = { SIGINT, SIGTERM, SIGHUP };
enum { CAUGHT_SIGNALS = sizeof caught_signals / sizeof caught_signals[0] };

/* Removes the temporary file, and ends as the signal would have ended us: SA_RESETHAND has put the
 * default action back. */
static void remove_and_die(int number) {
    if (pending_path != NULL) {
        (void)unlink(pending_path);
    }
    progress_erase_in_handler();
    (void)raise(number);
}

static void catch_signals(void) {
    static bool caught;
    if (caught) {
        return;
    }
    caught = true;
    for (int i = 0; i < CAUGHT_SIGNALS; i++) {
        struct sigaction action;
        /* A signal the parent ignores (nohup) stays ignored. */
        if (sigaction(caught_signals[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN) {
            memset(&action, 0, sizeof action);
            action.sa_handler = remove_and_die;
            action.sa_flags = (int)SA_RESETHAND;
            (void)sigemptyset(&action.sa_mask);
            (void)sigaction(caught_signals[i], &action, NULL);
        }
    }
}

static void block_signals(sigset_t *before) {
    sigset_t set;
    (void)sigemptyset(&set);
    for (int i = 0; i < CAUGHT_SIGNALS; i++) {
        (void)sigaddset(&set, caught_signals[i]);
    }
    (void)sigprocmask(SIG_BLOCK, &set, before);
}

static void restore_signals(const sigset_t *before) {
    (void)sigprocmask(SIG_SETMASK, before, NULL);
}

/* Sets path and temporary for the file that path leads to: a link stays a link. */
static int name_files(struct output *output, const char *path, bool exists,
                      struct tool_error *error) {
    output->path = exists ? realpath(path, NULL) : strdup(path);
    if (output->path == NULL) {
        return tool_fail_errno(error, path, "cannot resolve", errno);
    }
    char *copy = strdup(output->path);
    const size_t size = strlen(output->path) + 32;
    output->temporary = malloc(size);
    if (copy == NULL || output->temporary == NULL) {
        free(copy);
        return tool_fail_memory(error, path);
    }
    (void)snprintf(output->temporary, size, "%s/.quash-XXXXXX", dirname(copy));
    free(copy);
    return TOOL_OK;
}

static int create_temporary(struct output *output, mode_t mode, struct tool_error *error) {
    sigset_t before;
    catch_signals();
    block_signals(&before);
    output->fd = mkstemp(output->temporary);
    const int number = errno;
    if (output->fd >= 0) {
        pending_path = output->temporary;
    }
    restore_signals(&before);
    if (output->fd < 0) {
        return tool_fail_errno(error, output->name, "cannot create a file in its directory",
                               number);
    }
    if (fchmod(output->fd, mode) != 0) {
        return tool_fail_errno(error, output->name, "cannot set permissions", errno);
    }
    return TOOL_OK;
}

int output_open(struct output *output, const char *path, struct tool_error *error) {
    *output = (struct output){ path, NULL, NULL, -1, 0 };
    if (strcmp(path, "-") == 0) {
        output->name = "<stdout>";
        output->fd = STDOUT_FILENO;
        return TOOL_OK;
    }
    struct stat info;
    const bool exists = stat(path, &info) == 0;
    if (exists && S_ISDIR(info.st_mode)) {
        return tool_fail_errno(error, path, "cannot write", EISDIR);
    }
    if (exists && !S_ISREG(info.st_mode)) {
        output->fd = open(path, O_WRONLY | O_CLOEXEC);
        return output->fd < 0 ? tool_fail_errno(error, path, "cannot open", errno) : TOOL_OK;
    }
    const mode_t mask = umask(0);
    (void)umask(mask);
    const mode_t mode = exists ? info.st_mode & 0777 : 0666 & ~mask;
    int code = name_files(output, path, exists, error);
    if (code == TOOL_OK) {
        code = create_temporary(output, mode, error);
    }
    if (code != TOOL_OK) {
        output_discard(output);
    }
    return code;
}

int output_write(struct output *output, const void *data, size_t size, struct tool_error *error) {
    const char *bytes = data;
    for (size_t done = 0; done < size;) {
        const ssize_t count = write(output->fd, bytes + done, size - done);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return tool_fail_errno(error, output->name, "cannot write", errno);
        }
        done += (size_t)count;
    }
    output->bytes += (int64_t)size;
    return TOOL_OK;
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
    block_signals(&before);
    const int result = rename(output->temporary, output->path);
    const int number = errno;
    if (result == 0) {
        pending_path = NULL;
    }
    restore_signals(&before);
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
    if (output->fd > STDOUT_FILENO && close(output->fd) != 0 && code == TOOL_OK) {
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
    if (output->fd > STDOUT_FILENO) {
        (void)close(output->fd);
    }
    output->fd = -1;
    if (output->temporary != NULL && pending_path == output->temporary) {
        sigset_t before;
        block_signals(&before);
        (void)unlink(output->temporary);
        pending_path = NULL;
        restore_signals(&before);
    }
    free(output->temporary);
    free(output->path);
    output->temporary = NULL;
    output->path = NULL;
}

int output_check_distinct(const char *path, int input_fd, struct tool_error *error) {
    struct stat in;
    struct stat out;
    if (strcmp(path, "-") != 0 && stat(path, &out) == 0 && S_ISREG(out.st_mode) &&
        fstat(input_fd, &in) == 0 && in.st_dev == out.st_dev && in.st_ino == out.st_ino) {
        return tool_fail(error, TOOL_USAGE, "%s: input and output are the same file", path);
    }
    return TOOL_OK;
}

int output_spool(FILE **out, struct tool_error *error) {
    const char *directory = getenv("TMPDIR");
    char path[4096];
    if (directory == NULL || *directory == '\0') {
        directory = "/tmp";
    }
    if ((size_t)snprintf(path, sizeof path, "%s/quash-XXXXXX", directory) >= sizeof path) {
        return tool_fail(error, TOOL_FAILED, "TMPDIR: the name is too long");
    }
    sigset_t before;
    block_signals(&before);
    const int fd = mkstemp(path);
    const int number = errno;
    if (fd >= 0) {
        (void)unlink(path);
    }
    restore_signals(&before);
    if (fd < 0) {
        return tool_fail_errno(error, directory, "cannot create a temporary file", number);
    }
    *out = fdopen(fd, "w+b");
    if (*out == NULL) {
        (void)close(fd);
        return tool_fail_memory(error, directory);
    }
    return TOOL_OK;
}

int output_flush_stdout(struct tool_error *error) {
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        return tool_fail_errno(error, "<stdout>", "cannot write", errno != 0 ? errno : EIO);
    }
    return TOOL_OK;
}
