/* SPDX-License-Identifier: Apache-2.0 */
/* test_cleanup.c: a signal removes the unfinished file whichever thread receives it, also in the
 * moment in which the file is created or renamed. */
#define _POSIX_C_SOURCE 200809L
#include "cleanup.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

static char folder[] = "/tmp/quash-cleanup-XXXXXX";
static char path[64];

static void sleep_ms(long ms) {
    const struct timespec time = { 0, ms * 1000000 };
    (void)nanosleep(&time, NULL);
}

static void *wait_for_signals(void *unused) {
    for (;;) {
        sleep_ms(10);
    }
    return unused;
}

static void create_file(void) {
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0 || close(fd) != 0) {
        _exit(99);
    }
}

/* Begins to catch, starts a thread that receives what this one blocks, and creates the file. */
static void run_child(bool within) {
    sigset_t before;
    pthread_t thread;
    cleanup_begin_change(&before);
    cleanup_end_change(&before);
    if (pthread_create(&thread, NULL, wait_for_signals, NULL) != 0) {
        _exit(98);
    }
    cleanup_begin_change(&before);
    create_file();
    if (within) {
        (void)kill(getpid(), SIGTERM); /* only the other thread can take it */
        sleep_ms(50);
    }
    cleanup_set(path);
    cleanup_end_change(&before);
    if (!within) {
        (void)pthread_kill(thread, SIGTERM);
    }
    sleep_ms(900);
    _exit(97); /* the signal has not ended us */
}

static void check_child(bool within) {
    int status = 0;
    (void)fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        run_child(within);
    }
    if (!CHECK(child > 0) || !CHECK_EQ(waitpid(child, &status, 0), child)) {
        return;
    }
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status), SIGTERM);
    CHECK(access(path, F_OK) != 0);
    (void)unlink(path);
}

TEST(signal_after_a_change) {
    check_child(false);
}

TEST(signal_within_a_change) {
    check_child(true);
}

int main(void) {
    if (!CHECK(mkdtemp(folder) != NULL)) {
        return test_report();
    }
    (void)snprintf(path, sizeof path, "%s/file", folder);
    RUN(signal_after_a_change);
    RUN(signal_within_a_change);
    CHECK_EQ(rmdir(folder), 0);
    return test_report();
}
