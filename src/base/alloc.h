/* SPDX-License-Identifier: Apache-2.0 */
/* alloc.h: memory through the context's allocator. Nothing else in src/ calls malloc or free. */
#ifndef QUASH_BASE_ALLOC_H
#define QUASH_BASE_ALLOC_H

#include <quash/base.h>

/* Every block is aligned to a cache line, which is also the row of a cache tile. */
#define QUASH_ALIGNMENT ((size_t)64)

/* The C library's aligned allocation. */
extern const quash_allocator quash_default_allocator;

/* Allocates size > 0 bytes, or fails with MEMORY naming `what` and the size. */
quash_status quash_alloc(const quash_allocator *allocator, size_t size, const char *what,
                         void **out);

/* Accepts NULL. size is what was allocated. */
void quash_release(const quash_allocator *allocator, void *pointer, size_t size);

/* count * size, or fails with MEMORY when that overflows size_t. */
quash_status quash_size_mul(size_t count, size_t size, const char *what, size_t *out);

static inline size_t quash_round_up(size_t value, size_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

#endif
