/* SPDX-License-Identifier: Apache-2.0 */
/* top_k.h: the k best (key, id) pairs of a stream, in the caller's own output arrays: a binary heap
 * whose root is the worst pair kept. Larger keys are better; equal keys: the lower id. */
#ifndef QUASH_CPU_TOP_K_H
#define QUASH_CPU_TOP_K_H

#include <stdint.h>

struct quash_top_k {
    float *keys;
    int64_t *ids;
    int64_t capacity;
    int64_t size;
};

static inline int quash_top_k_worse(const struct quash_top_k *top, int64_t a, int64_t b) {
    return top->keys[a] < top->keys[b] ||
           (top->keys[a] == top->keys[b] && top->ids[a] > top->ids[b]);
}

static inline void quash_top_k_swap(struct quash_top_k *top, int64_t a, int64_t b) {
    const float key = top->keys[a];
    const int64_t id = top->ids[a];
    top->keys[a] = top->keys[b];
    top->ids[a] = top->ids[b];
    top->keys[b] = key;
    top->ids[b] = id;
}

/* Restores the heap of the first `size` pairs below `at`. */
static inline void quash_top_k_sink(struct quash_top_k *top, int64_t at, int64_t size) {
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= size) {
            return;
        }
        if (child + 1 < size && quash_top_k_worse(top, child + 1, child)) {
            child++;
        }
        if (!quash_top_k_worse(top, child, at)) {
            return;
        }
        quash_top_k_swap(top, child, at);
        at = child;
    }
}

/* Offers a pair whose id is larger than every id offered before. */
static inline void quash_top_k_offer(struct quash_top_k *top, float key, int64_t id) {
    if (top->size == top->capacity) {
        if (key <= top->keys[0]) { /* a later id never wins a tie */
            return;
        }
        top->keys[0] = key;
        top->ids[0] = id;
        quash_top_k_sink(top, 0, top->size);
        return;
    }
    int64_t at = top->size++;
    top->keys[at] = key;
    top->ids[at] = id;
    while (at > 0 && quash_top_k_worse(top, at, (at - 1) / 2)) {
        quash_top_k_swap(top, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

/* Sorts the pairs, best first. */
static inline void quash_top_k_sort(struct quash_top_k *top) {
    for (int64_t size = top->size; size > 1; size--) {
        quash_top_k_swap(top, 0, size - 1);
        quash_top_k_sink(top, 0, size - 1);
    }
}

#endif
