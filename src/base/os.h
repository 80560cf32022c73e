/* SPDX-License-Identifier: Apache-2.0 */
/* os.h: what the library asks of the operating system. */
#ifndef QUASH_BASE_OS_H
#define QUASH_BASE_OS_H

#include <pthread.h> /* for the types below alone */
#include <stdint.h>

/* Value of an environment variable, or NULL. */
const char *quash_os_environment(const char *name);

/* Whether an AArch64 CPU has the dotprod instructions. */
int quash_os_has_dotprod(void);

/* CPUs that the calling thread may run on, at least 1. A quota of CPU time is not looked at. */
int32_t quash_os_cpus(void);

/* Number of the calling process, above 0. It differs in a forked child. */
int32_t quash_os_process(void);

/* ---- Threads ----------------------------------------------------------------------------- */

typedef pthread_t quash_os_thread;
typedef pthread_mutex_t quash_os_mutex;
typedef pthread_cond_t quash_os_condition;

/* Starts a thread that blocks the signals a host may handle, so that handlers run on the host's own
 * threads. Signals of a thread's own faults stay open: a debugger or a crash handler sees them.
 * It is named "quash-<number>", where the system has names, before this returns.
 * Returns 1, or 0 when the system has no thread to give. */
int quash_os_thread_start(quash_os_thread *thread, void *(*start)(void *), void *argument,
                          int32_t number);

void quash_os_thread_join(quash_os_thread thread);

/* Memory of any content becomes an open mutex, a condition that nobody waits for. */
void quash_os_mutex_init(quash_os_mutex *mutex);
void quash_os_condition_init(quash_os_condition *condition);
void quash_os_mutex_destroy(quash_os_mutex *mutex);
void quash_os_condition_destroy(quash_os_condition *condition);

void quash_os_lock(quash_os_mutex *mutex);
void quash_os_unlock(quash_os_mutex *mutex);

/* Opens the mutex, sleeps until woken (or for no reason at all) and locks it again. */
void quash_os_wait(quash_os_condition *condition, quash_os_mutex *mutex);
void quash_os_wake_one(quash_os_condition *condition);
void quash_os_wake_all(quash_os_condition *condition);

#endif
