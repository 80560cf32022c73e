/* SPDX-License-Identifier: Apache-2.0 */
/* first_failure.h: the lowest failing index of a parallel job, so that the error a caller sees does
 * not depend on the schedule. */
#ifndef QUASH_CPU_FIRST_FAILURE_H
#define QUASH_CPU_FIRST_FAILURE_H

#include <stdatomic.h>
#include <stdint.h>

struct quash_first_failure {
    _Atomic int64_t index; /* INT64_MAX: none */
};

static inline void quash_first_failure_init(struct quash_first_failure *first) {
    atomic_init(&first->index, INT64_MAX);
}

static inline void quash_first_failure_note(struct quash_first_failure *first, int64_t index) {
    int64_t known = atomic_load(&first->index);
    while (index < known && !atomic_compare_exchange_weak(&first->index, &known, index)) {
    }
}

/* The lowest index noted, or -1. */
static inline int64_t quash_first_failure_get(struct quash_first_failure *first) {
    const int64_t index = atomic_load(&first->index);
    return index == INT64_MAX ? -1 : index;
}

#endif
