/* SPDX-License-Identifier: Apache-2.0 */
/* pool.c: the built-in runner. A job hands out its pieces by an atomic counter. It offers as many
 * tickets as it could use threads; a thread that wakes takes one and works until no piece is left.
 * The caller works likewise, then withdraws the tickets that nobody took: it waits for threads that
 * are at work, never for one that still sleeps, so a busy machine delays no job. */
#include "base/pool.h"

#include <assert.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "base/os.h"
#include "base/runner.h"
#include "base/status.h"

/* How often the caller looks whether the helpers have finished their last pieces before it sleeps:
 * some 50 us on Zen 4, about what falling asleep and being woken take. Helpers sleep at once. */
#define LOOKS 2000

struct helper {
    struct quash_pool *pool;
    int32_t worker;
    quash_os_thread thread;
};

struct quash_pool {
    int32_t workers;

    /* p: serves a job of process p; -p: the state below is of process p, and free; 0: no process
     * has used it. Whoever puts its own process here owns all that follows. */
    _Atomic int32_t owner;

    int32_t started; /* helpers [0, started) run */
    int32_t limit;   /* helpers that may be started */

    quash_os_mutex mutex; /* guards the rest, but next, and looks at active */
    quash_os_condition wake;
    quash_os_condition done;
    int stop;
    int32_t tickets;
    _Atomic int32_t active;
    quash_task task; /* this and the next two: unchanged while a helper is active */
    void *state;
    int64_t count;

    _Alignas(QUASH_ALIGNMENT) _Atomic int64_t next; /* on a line of its own: all workers write it */
    _Alignas(QUASH_ALIGNMENT) struct helper helpers[];
};

/* ---- Choice of the number ---------------------------------------------------------------- */

/* 1..QUASH_WORKERS_MAX in decimal digits, or -1. */
static int32_t parse_workers(const char *text) {
    int32_t value = 0;
    for (; *text >= '0' && *text <= '9' && value <= QUASH_WORKERS_MAX; text++) {
        value = 10 * value + (*text - '0');
    }
    return *text == '\0' && value >= 1 && value <= QUASH_WORKERS_MAX ? value : -1;
}

quash_status quash_pool_workers(int32_t threads, const char *environment, int32_t *workers) {
    if (threads < 0 || threads > QUASH_WORKERS_MAX) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "threads is %d, expected 0..%d", (int)threads,
                          QUASH_WORKERS_MAX);
    }
    if (threads > 0) {
        *workers = threads;
        return QUASH_OK;
    }
    if (environment != NULL && *environment != '\0') {
        const int32_t forced = parse_workers(environment);
        if (forced < 0) {
            return quash_fail(QUASH_ERROR_ARGUMENT, "QUASH_THREADS is \"%.32s\", expected 1..%d",
                              environment, QUASH_WORKERS_MAX);
        }
        *workers = forced;
        return QUASH_OK;
    }
    const int32_t cpus = quash_os_cpus();
    *workers = cpus < QUASH_WORKERS_MAX ? cpus : QUASH_WORKERS_MAX;
    return QUASH_OK;
}

/* ---- Threads ----------------------------------------------------------------------------- */

#if defined(NDEBUG)
#define NOTE_IN_TASK(yes) ((void)0)
#else
/* For the assertion alone that no task of a pool starts a job: it would run on one thread. */
static _Thread_local int in_task;
#define NOTE_IN_TASK(yes) (in_task = (yes))
#endif

static void work(struct quash_pool *pool, int32_t worker) {
    NOTE_IN_TASK(1);
    for (;;) {
        const int64_t index = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (index >= pool->count) {
            break;
        }
        pool->task(pool->state, index, worker);
    }
    NOTE_IN_TASK(0);
}

static void *helper_main(void *argument) {
    const struct helper *const self = argument;
    struct quash_pool *const pool = self->pool;
    quash_os_lock(&pool->mutex);
    while (!pool->stop) {
        if (pool->tickets == 0) {
            quash_os_wait(&pool->wake, &pool->mutex);
            continue;
        }
        pool->tickets--;
        atomic_fetch_add_explicit(&pool->active, 1, memory_order_relaxed);
        quash_os_unlock(&pool->mutex);
        work(pool, self->worker);
        quash_os_lock(&pool->mutex);
        if (atomic_fetch_sub_explicit(&pool->active, 1, memory_order_release) == 1) {
            quash_os_wake_one(&pool->done);
        }
    }
    quash_os_unlock(&pool->mutex);
    return NULL;
}

/* Helpers for a job of `count` pieces. When the system refuses a thread the pool goes on with those
 * it has, at the least the caller, and asks no more: results do not depend on their number. */
static int32_t recruit(struct quash_pool *pool, int64_t count) {
    const int32_t wanted = count - 1 < pool->limit ? (int32_t)(count - 1) : pool->limit;
    while (pool->started < wanted) {
        struct helper *const helper = &pool->helpers[pool->started];
        helper->pool = pool;
        helper->worker = pool->started + 1;
        if (!quash_os_thread_start(&helper->thread, helper_main, helper, helper->worker)) {
            pool->limit = pool->started;
            return pool->started;
        }
        pool->started++;
    }
    return wanted;
}

/* ---- Jobs -------------------------------------------------------------------------------- */

static inline void pause_a_moment(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

/* In a forked child the state is a copy from the middle of anything: locked, say, by a thread that
 * does not exist here. It is overwritten, not tidied up. */
static void reset(struct quash_pool *pool) {
    quash_os_mutex_init(&pool->mutex);
    quash_os_condition_init(&pool->wake);
    quash_os_condition_init(&pool->done);
    pool->started = 0;
    pool->limit = pool->workers - 1;
    pool->stop = 0;
    pool->tickets = 0;
    atomic_init(&pool->active, 0);
}

/* Makes the pool the caller's until release; 0 when it serves another job. Never waits. */
static int acquire(struct quash_pool *pool, int32_t process) {
    int32_t owner = atomic_load_explicit(&pool->owner, memory_order_relaxed);
    if (owner == process ||
        !atomic_compare_exchange_strong_explicit(&pool->owner, &owner, process,
                                                 memory_order_acquire, memory_order_relaxed)) {
        return 0;
    }
    if (owner != -process) {
        reset(pool);
    }
    return 1;
}

static void release(struct quash_pool *pool, int32_t process) {
    atomic_store_explicit(&pool->owner, -process, memory_order_release);
}

/* Withdraws the tickets, and returns when nobody is at work. */
static void finish(struct quash_pool *pool) {
    quash_os_lock(&pool->mutex);
    pool->tickets = 0;
    quash_os_unlock(&pool->mutex);
    for (int i = 0; i < LOOKS; i++) {
        if (atomic_load_explicit(&pool->active, memory_order_acquire) == 0) {
            return;
        }
        pause_a_moment();
    }
    quash_os_lock(&pool->mutex);
    while (atomic_load_explicit(&pool->active, memory_order_acquire) > 0) {
        quash_os_wait(&pool->done, &pool->mutex);
    }
    quash_os_unlock(&pool->mutex);
}

static void serve(struct quash_pool *pool, int32_t helpers, quash_task task, void *state,
                  int64_t count) {
    quash_os_lock(&pool->mutex);
    pool->task = task;
    pool->state = state;
    pool->count = count;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    pool->tickets = helpers;
    quash_os_unlock(&pool->mutex);
    for (int32_t i = 0; i < helpers; i++) {
        quash_os_wake_one(&pool->wake);
    }
    work(pool, 0);
    finish(pool);
}

static void run(void *user, quash_task task, void *state, int64_t count) {
    struct quash_pool *const pool = user;
    assert(!in_task);
    const int32_t process = quash_os_process();
    if (count < 2 || !acquire(pool, process)) {
        quash_serial_runner.run(NULL, task, state, count);
        return;
    }
    const int32_t helpers = recruit(pool, count);
    if (helpers > 0) {
        serve(pool, helpers, task, state, count);
    } else {
        quash_serial_runner.run(NULL, task, state, count);
    }
    release(pool, process);
}

/* ---- Life -------------------------------------------------------------------------------- */

size_t quash_pool_bytes(int32_t workers) {
    return sizeof(struct quash_pool) + (size_t)(workers - 1) * sizeof(struct helper);
}

struct quash_pool *quash_pool_init(void *memory, int32_t workers) {
    struct quash_pool *const pool = memory;
    pool->workers = workers;
    atomic_init(&pool->owner, 0);
    atomic_init(&pool->next, 0);
    return pool;
}

quash_runner quash_pool_runner(struct quash_pool *pool) {
    return (quash_runner){ pool, pool->workers, run };
}

void quash_pool_stop(struct quash_pool *pool) {
    if (atomic_load_explicit(&pool->owner, memory_order_acquire) != -quash_os_process()) {
        return; /* never used, or the copy of a forked child, whose threads are its parent's */
    }
    quash_os_lock(&pool->mutex);
    pool->stop = 1;
    quash_os_unlock(&pool->mutex);
    quash_os_wake_all(&pool->wake);
    for (int32_t i = 0; i < pool->started; i++) {
        quash_os_thread_join(pool->helpers[i].thread);
    }
    quash_os_condition_destroy(&pool->wake);
    quash_os_condition_destroy(&pool->done);
    quash_os_mutex_destroy(&pool->mutex);
}
