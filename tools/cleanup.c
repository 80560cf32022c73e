/* SPDX-License-Identifier: Apache-2.0 */
/* cleanup.c: signals that end a program: the unfinished file is removed, the progress line erased,
 * and the program ends as the signal would have ended it. */
#define _POSIX_C_SOURCE 200809L
#define _XOPEN_SOURCE 700 /* SIGXCPU */
#define _FILE_OFFSET_BITS 64
#include "cleanup.h"

#include "progress.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static const int caught_signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGXCPU };
enum { CAUGHT_SIGNALS = sizeof caught_signals / sizeof caught_signals[0] };

/* A lock that the handler may take: its holder has the signals blocked, so that the handler never
 * waits for the thread it interrupts. The handler keeps it, and no change begins after it. */
static atomic_flag changing = ATOMIC_FLAG_INIT;
static const char *volatile pending_path;

static void take_lock(void) {
    while (atomic_flag_test_and_set_explicit(&changing, memory_order_acquire)) {
        /* held for one system call */
    }
}

static void fill_set(sigset_t *set) {
    (void)sigemptyset(set);
    for (int i = 0; i < CAUGHT_SIGNALS; i++) {
        (void)sigaddset(set, caught_signals[i]);
    }
}

/* SA_RESETHAND has put the default action back: raise ends us once the handler returns. */
static void remove_and_die(int number) {
    take_lock();
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
            fill_set(&action.sa_mask); /* a second signal must not wait for the first's lock */
            (void)sigaction(caught_signals[i], &action, NULL);
        }
    }
}

void cleanup_begin_change(sigset_t *before) {
    sigset_t set;
    catch_signals();
    fill_set(&set);
    (void)pthread_sigmask(SIG_BLOCK, &set, before);
    take_lock();
}

void cleanup_end_change(const sigset_t *before) {
    atomic_flag_clear_explicit(&changing, memory_order_release);
    (void)pthread_sigmask(SIG_SETMASK, before, NULL);
}

void cleanup_set(const char *path) {
    pending_path = path;
}
