/* SPDX-License-Identifier: Apache-2.0 */
/* scratch.h: memory for the length of one call, a piece per worker of the runner. */
#ifndef QUASH_BASE_SCRATCH_H
#define QUASH_BASE_SCRATCH_H

#include "base/arena.h"
#include "base/context.h"

struct quash_scratch {
    unsigned char *base;
    size_t worker_bytes;
    size_t total;
};

/* Takes worker_bytes (a multiple of QUASH_ALIGNMENT, as an arena counts them) for every worker.
 * Errors: MEMORY, naming `what`. */
static inline quash_status quash_scratch_take(const quash_context *context, size_t worker_bytes,
                                              const char *what, struct quash_scratch *scratch) {
    void *memory = NULL;
    scratch->worker_bytes = worker_bytes;
    scratch->total = worker_bytes * (size_t)context->runner.workers;
    const quash_status status = quash_alloc(&context->allocator, scratch->total, what, &memory);
    scratch->base = memory;
    return status;
}

static inline void quash_scratch_give(const quash_context *context,
                                      const struct quash_scratch *scratch) {
    quash_release(&context->allocator, scratch->base, scratch->total);
}

/* The piece of a worker, to be carved. */
static inline struct quash_arena quash_scratch_arena(const struct quash_scratch *scratch,
                                                     int32_t worker) {
    return (struct quash_arena){ scratch->base + (size_t)worker * scratch->worker_bytes, 0 };
}

#endif
