/* SPDX-License-Identifier: Apache-2.0 */
/* alloc.c: the default allocator and overflow-checked allocation. */
#include "base/alloc.h"

#include <stdlib.h>

#include "base/status.h"

static void *default_alloc(void *user, size_t size, size_t alignment) {
    (void)user;
    if (size > SIZE_MAX - (alignment - 1)) {
        return NULL;
    }
    return aligned_alloc(alignment, quash_round_up(size, alignment));
}

static void default_free(void *user, void *pointer, size_t size) {
    (void)user;
    (void)size;
    free(pointer);
}

const quash_allocator quash_default_allocator = { NULL, default_alloc, default_free };

quash_status quash_alloc(const quash_allocator *allocator, size_t size, const char *what,
                         void **out) {
    *out = allocator->alloc(allocator->user, size, QUASH_ALIGNMENT);
    if (*out == NULL) {
        return quash_fail(QUASH_ERROR_MEMORY, "cannot allocate %zu bytes for %s", size, what);
    }
    return QUASH_OK;
}

void quash_release(const quash_allocator *allocator, void *pointer, size_t size) {
    if (pointer != NULL) {
        allocator->free(allocator->user, pointer, size);
    }
}

quash_status quash_size_mul(size_t count, size_t size, const char *what, size_t *out) {
    if (size != 0 && count > SIZE_MAX / size) {
        return quash_fail(QUASH_ERROR_MEMORY, "%zu times %zu bytes for %s exceed the address space",
                          count, size, what);
    }
    *out = count * size;
    return QUASH_OK;
}
