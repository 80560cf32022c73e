/* SPDX-License-Identifier: Apache-2.0 */
/* os_posix.c: every call of the library to the operating system. */
#if defined(__linux__)
#define _GNU_SOURCE /* affinity, names of threads */
#else
#define _POSIX_C_SOURCE 200809L
#endif
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/os.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#define HAS_DOTPROD ((getauxval(AT_HWCAP) >> 20 & 1u) != 0) /* HWCAP_ASIMDDP */
#else
#define HAS_DOTPROD 0
#endif

const char *quash_os_environment(const char *name) {
    return getenv(name);
}

int quash_os_has_dotprod(void) {
    return HAS_DOTPROD;
}

int32_t quash_os_cpus(void) {
#if defined(__linux__)
    cpu_set_t sets[8]; /* 8,192 CPUs, the most a kernel is built for */
    if (sched_getaffinity(0, sizeof sets, sets) == 0) {
        return CPU_COUNT_S(sizeof sets, sets);
    }
#endif
#if defined(_SC_NPROCESSORS_ONLN)
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    if (online > 1) {
        return online < INT32_MAX ? (int32_t)online : INT32_MAX;
    }
#endif
    return 1;
}

int32_t quash_os_process(void) {
    return (int32_t)getpid();
}

/* ---- Threads ----------------------------------------------------------------------------- */

static void name_thread(quash_os_thread thread, int32_t number) {
#if defined(__linux__)
    char name[16]; /* the most Linux keeps */
    (void)snprintf(name, sizeof name, "quash-%d", (int)number);
    (void)pthread_setname_np(thread, name);
#else
    (void)thread;
    (void)number;
#endif
}

/* A new thread has the mask of its creator from its first instruction on. */
int quash_os_thread_start(quash_os_thread *thread, void *(*start)(void *), void *argument,
                          int32_t number) {
    static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS };
    sigset_t blocked;
    sigset_t host;
    (void)sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        (void)sigdelset(&blocked, faults[i]);
    }
    if (pthread_sigmask(SIG_SETMASK, &blocked, &host) != 0) {
        return 0;
    }
    const int failed = pthread_create(thread, NULL, start, argument);
    (void)pthread_sigmask(SIG_SETMASK, &host, NULL);
    if (failed == 0) {
        name_thread(*thread, number);
    }
    return failed == 0;
}

void quash_os_thread_join(quash_os_thread thread) {
    (void)pthread_join(thread, NULL);
}

void quash_os_mutex_init(quash_os_mutex *mutex) {
    *mutex = (quash_os_mutex)PTHREAD_MUTEX_INITIALIZER; /* unlike the function, cannot fail */
}

void quash_os_condition_init(quash_os_condition *condition) {
    *condition = (quash_os_condition)PTHREAD_COND_INITIALIZER;
}

void quash_os_mutex_destroy(quash_os_mutex *mutex) {
    (void)pthread_mutex_destroy(mutex);
}

void quash_os_condition_destroy(quash_os_condition *condition) {
    (void)pthread_cond_destroy(condition);
}

void quash_os_lock(quash_os_mutex *mutex) {
    (void)pthread_mutex_lock(mutex);
}

void quash_os_unlock(quash_os_mutex *mutex) {
    (void)pthread_mutex_unlock(mutex);
}

void quash_os_wait(quash_os_condition *condition, quash_os_mutex *mutex) {
    (void)pthread_cond_wait(condition, mutex);
}

void quash_os_wake_one(quash_os_condition *condition) {
    (void)pthread_cond_signal(condition);
}

void quash_os_wake_all(quash_os_condition *condition) {
    (void)pthread_cond_broadcast(condition);
}
