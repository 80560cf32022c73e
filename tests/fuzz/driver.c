/* SPDX-License-Identifier: Apache-2.0 */
/* driver.c: replays a fuzz corpus without a fuzzing engine, so that every ordinary build runs it.
 * Arguments are files and folders (not recursive); no file at all is a failure. */
#define _POSIX_C_SOURCE 200809L /* dirent.h, sys/stat.h */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static long replayed;

static void fail(const char *what, const char *path) {
    fprintf(stderr, "%s: %s\n", path, what);
    exit(1);
}

static void replay_file(const char *path, size_t size) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fail("cannot open", path);
        return;
    }
    /* A block of exactly this size: an address sanitizer then sees any read beyond the input. */
    uint8_t *data = malloc(size != 0 ? size : 1);
    if (data == NULL || fread(data, 1, size, file) != size) {
        fail("cannot read", path);
        return;
    }
    fclose(file);
    (void)LLVMFuzzerTestOneInput(data, size);
    free(data);
    replayed++;
}

static void replay(const char *path, int depth) {
    struct stat info;
    if (stat(path, &info) != 0) {
        fail("not found", path);
    }
    if (S_ISREG(info.st_mode)) {
        replay_file(path, (size_t)info.st_size);
        return;
    }
    if (!S_ISDIR(info.st_mode) || depth > 0) {
        return;
    }
    DIR *folder = opendir(path);
    if (folder == NULL) {
        fail("cannot open", path);
        return;
    }
    const struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        char name[4096];
        const int length = snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (length < 0 || (size_t)length >= sizeof name) {
            fail("path too long", path);
        }
        replay(name, depth + 1);
    }
    closedir(folder);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        replay(argv[i], 0);
    }
    printf("%ld inputs replayed\n", replayed);
    return replayed > 0 ? 0 : 1;
}
