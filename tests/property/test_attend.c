/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that attention on codes is attention on the decoded keys and values, up to the error of
 * float arithmetic: relative error of every output row <= 1e-5 against double, the log-sum-exp
 * likewise, for every head dim, pair of bits, group, number of queries and tokens, dtype and memory
 * order. All dims are crossed with all bits; the rest is drawn at random. */
#include "attend_oracle.h"

static const size_t dims[] = { 8, 64, 80, 96, 112, 128, 192, 256, 576 };
static const size_t groups[] = { 1, 3, 4, 8, 16 };
static const size_t query_counts[] = { 1, 5, 17, 70 };
static const size_t token_counts[] = { 1, 63, 64, 65, 333, 1000 };
static const double deviations[] = { 0.3, 1.0, 3.0, 10.0 };

#define BIT_PAIRS 9
#define ATTEND_WORK 2.5e7 /* multiplications of scores, at most */
#define ORACLE_WORK 1.5e6

struct attend_case {
    size_t heads;
    size_t group;
    size_t q_len;
    size_t tokens;
    size_t dim;
    quash_cache_params cache;
    quash_attend_params attend;
    double deviation; /* of the scores */
    quash_dtype key_dtype;
    quash_dtype value_dtype;
    quash_dtype query_dtype;
    quash_dtype out_dtype;
    enum test_order order;       /* of keys; values have the next one */
    enum test_order query_order; /* of queries; out has the next one */
};

static size_t pick(struct test_rng *rng, const size_t *list, size_t count) {
    return list[test_below(rng, count)];
}

static double work_of(const struct attend_case *c) {
    return (double)(c->heads * c->group * c->q_len * c->tokens * c->dim);
}

static struct attend_case draw_case(struct test_rng *rng, size_t number) {
    struct attend_case c = { .dim = dims[number % COUNT_OF(dims)] };
    const size_t bits = number / COUNT_OF(dims) % BIT_PAIRS;
    const quash_attend_params defaults = QUASH_ATTEND_PARAMS_INIT;
    c.attend = defaults;
    c.attend.mode = QUASH_ATTEND_FLOAT;
    do {
        c.heads = 1 + test_below(rng, 2);
        c.group = pick(rng, groups, COUNT_OF(groups));
        c.q_len = pick(rng, query_counts, COUNT_OF(query_counts));
        c.tokens = pick(rng, token_counts, COUNT_OF(token_counts));
        c.attend.causal = (int32_t)test_below(rng, 2);
    } while (work_of(&c) > ATTEND_WORK || (c.attend.causal && c.q_len > c.tokens));
    c.attend.scale = test_below(rng, 2) ? 0.0f : (float)(0.02 + test_uniform(rng));
    c.cache = test_cache_params(c.heads, c.dim, 2 + (int32_t)(bits % 3), 2 + (int32_t)(bits / 3));
    c.cache.search_level = (int32_t)test_below(rng, 3);
    c.cache.seed = test_word(rng);
    c.deviation = deviations[test_below(rng, COUNT_OF(deviations))];
    c.key_dtype = (quash_dtype)test_below(rng, 3);
    c.value_dtype = (quash_dtype)test_below(rng, 3);
    c.query_dtype = (quash_dtype)test_below(rng, 3);
    c.out_dtype = (quash_dtype)test_below(rng, 3);
    c.order = (enum test_order)test_below(rng, TEST_ORDERS);
    c.query_order = (enum test_order)test_below(rng, TEST_ORDERS);
    return c;
}

static quash_cache *fill_cache(quash_context *context, const struct attend_case *c, uint64_t seed) {
    quash_cache *const cache = test_cache(context, &c->cache);
    struct test_kv kv = test_kv_make(seed, c->heads, c->tokens, c->dim);
    const enum test_order next = (enum test_order)((c->order + 1) % TEST_ORDERS);
    struct test_tensor keys = test_tensor_make(c->order, c->key_dtype, c->heads, c->tokens, c->dim);
    struct test_tensor values = test_tensor_make(next, c->value_dtype, c->heads, c->tokens, c->dim);
    test_tensor_put(&keys, kv.keys);
    test_tensor_put(&values, kv.values);
    CHECK_EQ(quash_cache_append(cache, &keys.view, &values.view), QUASH_OK);
    free(keys.memory);
    free(values.memory);
    test_kv_free(&kv);
    return cache;
}

/* Queries [query heads][q_len][dim] that give scores of the wanted deviation with normal keys. */
static float *make_queries(const struct attend_case *c, uint64_t seed) {
    const size_t n = c->heads * c->group * c->q_len * c->dim;
    float *const queries = test_alloc(n * sizeof *queries);
    struct test_rng rng = test_rng_start(seed ^ 0x51);
    const double root = sqrt((double)c->dim);
    const double scale = c->attend.scale > 0.0f ? (double)c->attend.scale : 1.0 / root;
    test_fill_gaussian(&rng, queries, n);
    for (size_t i = 0; i < n; i++) {
        queries[i] *= (float)(c->deviation / (scale * root));
    }
    return queries;
}

/* All rows, or about as many as ORACLE_WORK allows. */
static void check_rows(const struct attend_case *c, const struct test_kv *decoded,
                       const float *queries, const struct test_tensor *out, const quash_array *lse,
                       struct attend_worst *worst) {
    double expected[QUASH_HEAD_DIM_MAX];
    const struct attend_oracle oracle = attend_oracle_make(decoded, c->attend.scale);
    const size_t rows = c->heads * c->group * c->q_len;
    const size_t step = 1 + (size_t)(work_of(c) / ORACLE_WORK);
    for (size_t row = 0; row < rows; row += step) {
        const size_t head = row / c->q_len;
        const size_t position = row % c->q_len;
        const size_t visible = c->attend.causal ? c->tokens - c->q_len + position + 1 : c->tokens;
        const double sum =
            attend_oracle_row(&oracle, head / c->group, queries + row * c->dim, visible, expected);
        const float *const found = (const float *)lse->data + (int64_t)head * lse->stride[0];
        attend_check_row(worst, out, head, position, expected);
        attend_check_lse(worst, (double)found[position], sum);
    }
    free(oracle.weights);
}

static void run_case(quash_context *context, const struct attend_case *c, uint64_t seed,
                     struct attend_worst *worst) {
    const size_t query_heads = c->heads * c->group;
    const enum test_order next = (enum test_order)((c->query_order + 1) % TEST_ORDERS);
    quash_cache *const cache = fill_cache(context, c, seed);
    float *const rows = make_queries(c, seed);
    struct test_tensor queries =
        test_tensor_make(c->query_order, c->query_dtype, query_heads, c->q_len, c->dim);
    struct test_tensor out = test_tensor_make(next, c->out_dtype, query_heads, c->q_len, c->dim);
    test_tensor_put(&queries, rows);
    float *const sums = test_alloc(query_heads * (c->q_len + 2) * sizeof *sums);
    quash_array lse =
        quash_array_view(sums, QUASH_F32, 2, (int64_t)query_heads, (int64_t)c->q_len, 0);
    lse.stride[0] += 2;
    CHECK_EQ(quash_cache_attend(cache, &c->attend, &queries.view, &out.view, &lse, NULL, 0),
             QUASH_OK);
    struct test_kv decoded = test_decode(cache);
    check_rows(c, &decoded, rows, &out, &lse, worst);
    CHECK(test_tensor_gaps_intact(&out));
    free(rows);
    free(sums);
    free(queries.memory);
    free(out.memory);
    test_kv_free(&decoded);
    quash_cache_free(cache);
}

static void report(const struct attend_case *c, size_t number) {
    printf("     case %zu: dim %zu, bits %d/%d, %zu x %zu heads, %zu queries, %zu tokens,"
           " causal %d, scale %g, scores +-%g, dtypes %d %d %d %d, orders %d %d\n",
           number, c->dim, c->cache.key_bits, c->cache.value_bits, c->heads, c->group, c->q_len,
           c->tokens, c->attend.causal, (double)c->attend.scale, c->deviation, c->key_dtype,
           c->value_dtype, c->query_dtype, c->out_dtype, c->order, c->query_order);
}

/* The position of a value in its list. */
static uint32_t bit_of(const size_t *list, size_t value) {
    uint32_t i = 0;
    while (list[i] != value) {
        i++;
    }
    return 1u << i;
}

TEST(output_is_attention_on_decoded_rows) {
    quash_context *const context = test_context(NULL);
    struct test_rng rng = test_rng_start(20);
    struct attend_worst worst[COUNT_OF(deviations)] = { { 0.0, 0.0 } };
    uint32_t drawn[4] = { 0 };
    for (size_t i = 0; i < 2 * COUNT_OF(dims) * BIT_PAIRS; i++) {
        const struct attend_case c = draw_case(&rng, i);
        const long before = atomic_load(&test_failures);
        size_t d = 0;
        while (deviations[d] < c.deviation) {
            d++;
        }
        run_case(context, &c, i, &worst[d]);
        if (atomic_load(&test_failures) != before) {
            report(&c, i);
        }
        drawn[0] |= bit_of(groups, c.group);
        drawn[1] |= bit_of(query_counts, c.q_len);
        drawn[2] |= bit_of(token_counts, c.tokens);
        drawn[3] |= 1u << c.order;
    }
    CHECK_EQ(drawn[0], (1u << COUNT_OF(groups)) - 1);
    CHECK_EQ(drawn[1], (1u << COUNT_OF(query_counts)) - 1);
    CHECK_EQ(drawn[2], (1u << COUNT_OF(token_counts)) - 1);
    CHECK_EQ(drawn[3], (1u << TEST_ORDERS) - 1);
    for (size_t d = 0; d < COUNT_OF(deviations); d++) {
        char what[32];
        (void)snprintf(what, sizeof what, "scores +-%g", deviations[d]);
        attend_print(what, &worst[d]);
    }
    quash_context_free(context);
}

/* The largest of each at once: 16 query heads, 70 queries, 1,000 tokens. */
TEST(a_large_prefill) {
    quash_context *const context = test_context(NULL);
    struct test_rng rng = test_rng_start(21);
    struct attend_worst worst = { 0.0, 0.0 };
    struct attend_case c = draw_case(&rng, 0);
    c.heads = 1;
    c.group = 16;
    c.q_len = 70;
    c.tokens = 1000;
    c.attend.causal = 1;
    c.dim = 64;
    c.cache = test_cache_params(1, c.dim, 4, 4);
    run_case(context, &c, 1, &worst);
    attend_print("a large prefill", &worst);
    quash_context_free(context);
}

int main(void) {
    RUN(output_is_attention_on_decoded_rows);
    RUN(a_large_prefill);
    return test_report();
}
