/* SPDX-License-Identifier: Apache-2.0 */
/* test_output.c: a disk that is full only at fsync or close, a rename that fails, a name that is
 * taken: nothing appears under the final name, an old file stays, nothing is left beside it. The
 * system calls are this program's own, and fail when told. */
#define _GNU_SOURCE /* syscall */
#include "output.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "test.h"

enum call { NOTHING, FSYNC, CLOSE, RENAME, CHMOD };
static enum call failing;

static char folder[] = "/tmp/quash-output-XXXXXX";
static char path[64];

static int fail_or(long result, bool fails) {
    if (fails) {
        errno = ENOSPC;
        return -1;
    }
    return (int)result;
}

int fsync(int fd) {
    return failing == FSYNC ? fail_or(0, true) : (int)syscall(SYS_fsync, fd);
}

int close(int fd) {
    return fail_or(syscall(SYS_close, fd), failing == CLOSE);
}

int rename(const char *from, const char *to) {
    return failing == RENAME ? fail_or(0, true)
                             : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int fchmod(int fd, mode_t mode) {
    return failing == CHMOD ? fail_or(0, true) : (int)syscall(SYS_fchmod, fd, mode);
}

/* Number of files in the folder. */
static int count_files(void) {
    int count = 0;
    DIR *const directory = opendir(folder);
    const struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        count += entry->d_name[0] != '.';
    }
    if (directory != NULL) {
        (void)closedir(directory);
    }
    return count;
}

/* Writes text to path through an output. */
static int write_file(const char *text, struct tool_error *error) {
    struct output output;
    *error = (struct tool_error){ TOOL_OK, false, "" };
    int code = output_open(&output, path, STDIN_FILENO, error);
    if (code == TOOL_OK) {
        code = output_write(&output, text, strlen(text), error);
    }
    if (code == TOOL_OK) {
        code = output_commit(&output, error);
    }
    output_discard(&output);
    return code;
}

static bool holds(const char *text) {
    char found[100] = "";
    FILE *const file = fopen(path, "rb");
    if (file == NULL) {
        return false;
    }
    const size_t size = fread(found, 1, sizeof found - 1, file);
    (void)fclose(file);
    return size == strlen(text) && memcmp(found, text, size) == 0;
}

static void check_failure(const char *expected) {
    struct tool_error error;
    CHECK_EQ(write_file("new", &error), TOOL_FAILED);
    failing = NOTHING;
    if (!CHECK(strstr(error.text, expected) != NULL)) {
        printf("    %s\n", error.text);
    }
}

TEST(full_at_the_end) {
    static const struct {
        enum call call;
        const char *message;
    } cases[] = { { FSYNC, ": cannot write: No space left on device" },
                  { CLOSE, ": cannot write: No space left on device" },
                  { RENAME, ": cannot rename into place: No space left on device" } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tool_error error;
        failing = cases[i].call;
        check_failure(cases[i].message);
        CHECK_EQ(count_files(), 0);
        CHECK_EQ(write_file("old", &error), TOOL_OK);
        failing = cases[i].call;
        check_failure(cases[i].message);
        CHECK(holds("old"));
        CHECK_EQ(count_files(), 1);
        CHECK_EQ(unlink(path), 0);
    }
}

TEST(permissions_that_cannot_be_kept) {
    struct tool_error error;
    CHECK_EQ(write_file("old", &error), TOOL_OK);
    failing = CHMOD;
    check_failure(": cannot set permissions: ");
    CHECK(holds("old"));
    CHECK_EQ(count_files(), 1);
    CHECK_EQ(unlink(path), 0);
}

/* What a process of our number left behind is neither written over nor removed. */
TEST(temporary_name_is_taken) {
    struct tool_error error;
    char taken[128];
    (void)snprintf(taken, sizeof taken, "%s.%ld.part", path, (long)getpid());
    const int fd = open(taken, O_WRONLY | O_CREAT, 0600);
    CHECK(fd >= 0 && close(fd) == 0);
    CHECK_EQ(write_file("new", &error), TOOL_OK);
    CHECK(holds("new"));
    CHECK_EQ(count_files(), 2);
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(unlink(taken), 0);
}

TEST(header_is_written_last) {
    struct tool_error error = { TOOL_OK, false, "" };
    struct output output;
    CHECK_EQ(output_open(&output, path, STDIN_FILENO, &error), TOOL_OK);
    CHECK_EQ(output_write(&output, "head", 4, &error), TOOL_OK);
    CHECK_EQ(output_write(&output, "body", 4, &error), TOOL_OK);
    CHECK_EQ(output_rewrite(&output, "HEAD", 4, &error), TOOL_OK);
    CHECK_EQ(output_write(&output, "tail", 4, &error), TOOL_OK);
    CHECK_EQ(output.bytes, 12);
    CHECK(access(path, F_OK) != 0);
    CHECK_EQ(output_commit(&output, &error), TOOL_OK);
    CHECK(holds("HEADbodytail"));
    CHECK_EQ(unlink(path), 0);
}

int main(void) {
    if (!CHECK(mkdtemp(folder) != NULL)) {
        return test_report();
    }
    (void)snprintf(path, sizeof path, "%s/out", folder);
    RUN(full_at_the_end);
    RUN(permissions_that_cannot_be_kept);
    RUN(temporary_name_is_taken);
    RUN(header_is_written_last);
    CHECK_EQ(rmdir(folder), 0);
    return test_report();
}
