/* SPDX-License-Identifier: Apache-2.0 */
/* pool_support.h: what tests of the built-in pool need: the threads of this process as Linux lists
 * them, and a task in which all workers meet. Include after defining _POSIX_C_SOURCE. */
#ifndef QUASH_TESTS_POOL_SUPPORT_H
#define QUASH_TESTS_POOL_SUPPORT_H

#include <dirent.h>
#include <sched.h>
#include <time.h>

#include "support.h"

#include "base/context.h"
#include "base/runner.h"

#define TEST_POOL_MAX 64

/* Calls visit(state, id) for each thread of the process; returns their number, or 0 where there is
 * no /proc. */
static inline int test_each_thread(void (*visit)(void *state, const char *id), void *state) {
    DIR *const folder = opendir("/proc/self/task");
    int count = 0;
    if (folder == NULL) {
        return 0;
    }
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (entry->d_name[0] != '.') {
            count++;
            if (visit != NULL) {
                visit(state, entry->d_name);
            }
        }
    }
    (void)closedir(folder);
    return count;
}

/* The number of threads once it is `expected`, or as it is after two seconds: the kernel lists a
 * thread for a moment after it was joined. */
static inline int test_thread_count(int expected) {
    const struct timespec moment = { 0, 1000000 };
    int count = test_each_thread(NULL, NULL);
    for (int i = 0; i < 2000 && count != expected; i++) {
        (void)nanosleep(&moment, NULL);
        count = test_each_thread(NULL, NULL);
    }
    return count;
}

/* ---- A meeting of all workers ------------------------------------------------------------ */

/* A job of as many pieces as workers: every piece waits for all others, so each worker has one. */
struct test_meeting {
    int32_t workers;
    atomic_int present;
    atomic_int seen[TEST_POOL_MAX];
    pthread_t thread[TEST_POOL_MAX];
};

static inline void test_meet(void *state, int64_t index, int32_t worker) {
    struct test_meeting *const meeting = state;
    (void)index;
    atomic_fetch_add(&meeting->seen[worker], 1);
    meeting->thread[worker] = pthread_self();
    atomic_fetch_add(&meeting->present, 1);
    while (atomic_load(&meeting->present) < meeting->workers) {
        (void)sched_yield();
    }
}

/* Starts every thread of the pool, and proves that all work at once. */
static inline void test_start_all(const quash_context *context, struct test_meeting *meeting) {
    memset(meeting, 0, sizeof *meeting);
    meeting->workers = context->runner.workers;
    quash_run(&context->runner, test_meet, meeting, meeting->workers);
    for (int32_t w = 0; w < meeting->workers; w++) {
        CHECK_EQ(atomic_load(&meeting->seen[w]), 1);
    }
    CHECK(pthread_equal(meeting->thread[0], pthread_self()));
}

#endif
