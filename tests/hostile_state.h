/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_state.h: the host's floating-point state at its worst (flush to zero, denormals-are-zero,
 * rounding toward zero), and a runner whose threads all are in it. */
#ifndef QUASH_TESTS_HOSTILE_STATE_H
#define QUASH_TESTS_HOSTILE_STATE_H

#include <fenv.h>

#include "support.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

/* ---- The state, exception flags left out ------------------------------------------------- */

static inline uint64_t get_state(void) {
#if defined(__x86_64__)
    return _mm_getcsr() & ~0x3Fu;
#elif defined(__aarch64__)
    uint64_t state;
    __asm__ volatile("mrs %0, fpcr" : "=r"(state));
    return state;
#else
    return (uint64_t)fegetround();
#endif
}

static inline void set_state(uint64_t state) {
#if defined(__x86_64__)
    _mm_setcsr((uint32_t)state);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(state));
#else
    (void)fesetround((int)state);
#endif
}

static inline uint64_t hostile_state(void) {
#if defined(__x86_64__)
    return 0x1F80u | 0x8000u | 0x0040u | 0x6000u; /* FTZ, DAZ, toward zero; exceptions masked */
#elif defined(__aarch64__)
    return (uint64_t)1 << 24 | (uint64_t)3 << 22; /* FZ, toward zero */
#else
    return FE_TOWARDZERO;
#endif
}

/* ---- A runner whose threads all are hostile ---------------------------------------------- */

struct hostile_job {
    quash_task task;
    void *state;
};

static atomic_int changed_states;
static atomic_int guarded_tasks;

static inline void hostile_task(void *state, int64_t index, int32_t worker) {
    const struct hostile_job *const job = state;
    const uint64_t before = get_state();
    set_state(hostile_state());
    job->task(job->state, index, worker);
    if (get_state() != hostile_state()) {
        atomic_fetch_add(&changed_states, 1);
    }
    set_state(before);
    atomic_fetch_add(&guarded_tasks, 1);
}

/* The run of a quash_runner; user as for test_threads_run. */
static inline void hostile_run(void *user, quash_task task, void *state, int64_t count) {
    struct hostile_job job = { task, state };
    test_threads_run(user, hostile_task, &job, count);
}

#endif
