/* SPDX-License-Identifier: Apache-2.0 */
/* arena.h: cuts one block into aligned pieces. With base NULL it only counts, so that the size
 * query and the carving are one piece of code and cannot drift apart:
 *
 *     static void carve(struct scratch *s, struct quash_arena *arena) {
 *         s->row = quash_arena_take(arena, dim, sizeof *s->row);
 *     }
 */
#ifndef QUASH_BASE_ARENA_H
#define QUASH_BASE_ARENA_H

#include "base/alloc.h"

struct quash_arena {
    unsigned char *base; /* NULL: count only */
    size_t used;
};

/* The next count * size bytes, aligned to QUASH_ALIGNMENT; NULL while counting. The sizes were
 * bounded by the caller: no overflow check. */
static inline void *quash_arena_take(struct quash_arena *arena, size_t count, size_t size) {
    unsigned char *const piece = arena->base == NULL ? NULL : arena->base + arena->used;
    arena->used += quash_round_up(count * size, QUASH_ALIGNMENT);
    return piece;
}

#endif
