/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that the heap of the k best keeps and orders what a full sort would: by key descending,
 * equal keys by the lower id, for any k, with many ties, infinities and zeros of both signs. */
#include "support.h"

#include "cpu/top_k.h"

struct pair {
    float key;
    int64_t id;
};

static int by_rank(const void *a, const void *b) {
    const struct pair *const x = a;
    const struct pair *const y = b;
    if (x->key != y->key) {
        return x->key > y->key ? -1 : 1;
    }
    return x->id < y->id ? -1 : x->id > y->id;
}

#define N_MAX 200

/* Keys from a set of `distinct` values, so that ties are frequent; ids ascend with gaps. */
static void fill_pairs(struct test_rng *rng, struct pair *pairs, size_t n, size_t distinct) {
    static const float special[] = { -INFINITY, INFINITY, 0.0f, -0.0f };
    int64_t id = (int64_t)test_below(rng, 3);
    for (size_t i = 0; i < n; i++) {
        const size_t draw = test_below(rng, distinct + 1);
        pairs[i].key = draw == distinct ? special[test_below(rng, COUNT_OF(special))]
                                        : (float)draw - (float)(distinct / 2);
        pairs[i].id = id;
        id += 1 + (int64_t)test_below(rng, 3);
    }
}

/* Whether the k best of pairs are those of the sorted ones; the rest of the arrays is untouched. */
static bool keeps_the_best(const struct pair *pairs, const struct pair *sorted, size_t n,
                           size_t k) {
    float keys[N_MAX + 2];
    int64_t ids[N_MAX + 2];
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        keys[i] = 12345.0f;
        ids[i] = -7;
    }
    struct quash_top_k top = { keys, ids, (int64_t)k, 0 };
    for (size_t i = 0; i < n; i++) {
        quash_top_k_offer(&top, pairs[i].key, pairs[i].id);
    }
    quash_top_k_sort(&top);
    const size_t size = k < n ? k : n;
    bool ok = top.size == (int64_t)size;
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        ok = ok && (i < size ? keys[i] == sorted[i].key && ids[i] == sorted[i].id
                             : keys[i] == 12345.0f && ids[i] == -7);
    }
    return ok;
}

TEST(the_k_best_are_those_of_a_sort) {
    static const size_t distincts[] = { 1, 3, 20, 1000000 };
    static struct pair pairs[N_MAX];
    static struct pair sorted[N_MAX];
    struct test_rng rng = test_rng_start(1);
    for (size_t d = 0; d < COUNT_OF(distincts); d++) {
        for (size_t n = 0; n <= N_MAX; n += n < 40 ? 1 : 20) {
            fill_pairs(&rng, pairs, n, distincts[d]);
            memcpy(sorted, pairs, n * sizeof *pairs);
            qsort(sorted, n, sizeof *sorted, by_rank);
            for (size_t k = 1; k <= n + 1; k++) {
                CHECK(keeps_the_best(pairs, sorted, n, k));
            }
        }
    }
}

/* The orders that are worst for a heap. */
TEST(ascending_descending_and_equal_keys) {
    static struct pair pairs[N_MAX];
    static struct pair sorted[N_MAX];
    for (int direction = -1; direction <= 1; direction++) {
        for (size_t i = 0; i < N_MAX; i++) {
            pairs[i] = (struct pair){ (float)direction * (float)i, (int64_t)i };
        }
        memcpy(sorted, pairs, sizeof pairs);
        qsort(sorted, N_MAX, sizeof *sorted, by_rank);
        for (size_t k = 1; k <= N_MAX; k++) {
            CHECK(keeps_the_best(pairs, sorted, N_MAX, k));
        }
    }
}

int main(void) {
    RUN(the_k_best_are_those_of_a_sort);
    RUN(ascending_descending_and_equal_keys);
    return test_report();
}
