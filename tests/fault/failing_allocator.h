/* SPDX-License-Identifier: Apache-2.0 */
/* failing_allocator.h: runs a piece of work with its first, second, third, ... allocation failing,
 * until it comes through:
 *
 *     static quash_status attempt(void *state) {
 *         struct my_state *s = state;
 *         return quash_thing_create(&s->thing, s->context, &s->params);
 *     }
 *     struct failing_allocator failing = { 0 };
 *     quash_allocator allocator = failing_allocator_get(&failing);
 *     ... a context with this allocator ...
 *     const char *const names[] = { "the thing", "the list of the thing" };
 *     fail_each_allocation(&failing, attempt, &state, names, COUNT_OF(names));
 *
 * Each failed attempt must report MEMORY, say "cannot allocate <n> bytes for <names[i]>" for the
 * i-th allocation, and leave as many blocks alive as there were before it. */
#ifndef QUASH_TESTS_FAULT_FAILING_ALLOCATOR_H
#define QUASH_TESTS_FAULT_FAILING_ALLOCATOR_H

#include "support.h"

struct failing_allocator {
    struct test_memory memory;
    atomic_long until_failure; /* 0: none fails; 1: the next one does, and so on */
    atomic_long failures;
    size_t failed_size; /* of the last failure */
};

static inline void *failing_allocator_alloc(void *user, size_t size, size_t alignment) {
    struct failing_allocator *const failing = user;
    if (atomic_load(&failing->until_failure) > 0 &&
        atomic_fetch_sub(&failing->until_failure, 1) == 1) {
        atomic_fetch_add(&failing->failures, 1);
        failing->failed_size = size;
        return NULL;
    }
    return test_memory_alloc(&failing->memory, size, alignment);
}

static inline void failing_allocator_free(void *user, void *pointer, size_t size) {
    struct failing_allocator *const failing = user;
    test_memory_free(&failing->memory, pointer, size);
}

static inline quash_allocator failing_allocator_get(struct failing_allocator *failing) {
    return (quash_allocator){ failing, failing_allocator_alloc, failing_allocator_free };
}

/* All blocks were given back, each with its size. */
static inline void check_no_leak(const struct failing_allocator *failing) {
    CHECK_EQ(atomic_load(&failing->memory.blocks), 0);
    CHECK_EQ(atomic_load(&failing->memory.bytes), 0);
    CHECK_EQ(atomic_load(&failing->memory.wrong_sizes), 0);
}

/* Returns how many allocations the work makes, which must be `count`, the number of names. A name
 * may be NULL: any message then. */
static inline long fail_each_allocation(struct failing_allocator *failing,
                                        quash_status (*attempt)(void *state), void *state,
                                        const char *const *names, size_t count) {
    for (long n = 1;; n++) {
        const long blocks = atomic_load(&failing->memory.blocks);
        const long bytes = atomic_load(&failing->memory.bytes);
        const long failures = atomic_load(&failing->failures);
        atomic_store(&failing->until_failure, n);
        const quash_status status = attempt(state);
        atomic_store(&failing->until_failure, 0);
        if (atomic_load(&failing->failures) == failures) { /* fewer than n allocations */
            CHECK_EQ(status, QUASH_OK);
            CHECK_EQ(n - 1, count);
            return n - 1;
        }
        CHECK_EQ(status, QUASH_ERROR_MEMORY);
        CHECK_EQ(atomic_load(&failing->memory.blocks), blocks);
        CHECK_EQ(atomic_load(&failing->memory.bytes), bytes);
        if ((size_t)n <= count && names[n - 1] != NULL) {
            char message[256];
            (void)snprintf(message, sizeof message, "cannot allocate %zu bytes for %s",
                           failing->failed_size, names[n - 1]);
            CHECK_FAILS(status, QUASH_ERROR_MEMORY, message);
        }
        if (!CHECK(n < 10000)) {
            return n;
        }
    }
}

#endif
