/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that attention on codes in plain float keeps its bound of 1e-5 on rows of extreme shape: one token far
 * above all others, in the first, an inner and the last tile; all tokens alike; a maximum that
 * rises or falls from tile to tile; 8,192 tokens; zero queries, keys and values. And that attention
 * over two caches, merged by the log-sum-exp, is attention over the whole. */
#include "attend_oracle.h"

#define DIM 96
#define GROUP 4

struct fixture {
    quash_context *context;
    quash_cache *cache;
    struct test_kv kv;      /* as given */
    struct test_kv decoded; /* filled by ask() */
    float *queries;         /* [heads * GROUP][1][dim] */
    struct test_tensor out;
    float lse[2 * GROUP];
};

static struct fixture setup(size_t heads, size_t tokens, int32_t bits) {
    struct fixture f = { .context = test_context(NULL) };
    struct test_rng rng = test_rng_start(tokens);
    const quash_cache_params params = test_cache_params(heads, DIM, bits, bits);
    f.cache = test_cache(f.context, &params);
    f.kv = test_kv_make(tokens + 1, heads, tokens, DIM);
    f.queries = test_alloc(heads * GROUP * DIM * sizeof(float));
    test_fill_gaussian(&rng, f.queries, heads * GROUP * DIM);
    f.out = test_tensor_make(TEST_PLAIN, QUASH_F32, heads * GROUP, 1, DIM);
    return f;
}

static void teardown(struct fixture *f) {
    test_kv_free(&f->kv);
    test_kv_free(&f->decoded);
    free(f->queries);
    free(f->out.memory);
    quash_cache_free(f->cache);
    quash_context_free(f->context);
}

static quash_status attend(const quash_cache *cache, const float *queries, size_t heads,
                           const quash_array *out, float *lse) {
    quash_attend_params params = QUASH_ATTEND_PARAMS_INIT;
    params.mode = QUASH_ATTEND_FLOAT;
    const quash_array q = quash_array_view(queries, QUASH_F32, 3, (int64_t)heads, 1, DIM);
    const quash_array sums = quash_array_view(lse, QUASH_F32, 2, (int64_t)heads, 1, 0);
    return quash_cache_attend(cache, &params, &q, out, &sums, NULL, 0);
}

/* Appends all, attends and compares with the oracle. */
static void ask(struct fixture *f, struct attend_worst *worst) {
    double expected[DIM];
    CHECK_EQ(test_append(f->cache, &f->kv, 0, f->kv.tokens), QUASH_OK);
    f->decoded = test_decode(f->cache);
    const size_t heads = f->kv.heads * GROUP;
    CHECK_EQ(attend(f->cache, f->queries, heads, &f->out.view, f->lse), QUASH_OK);
    const struct attend_oracle oracle = attend_oracle_make(&f->decoded, 0.0f);
    for (size_t head = 0; head < heads; head++) {
        const double sum = attend_oracle_row(&oracle, head / GROUP, f->queries + head * DIM,
                                             f->kv.tokens, expected);
        attend_check_row(worst, &f->out, head, 0, expected);
        attend_check_lse(worst, (double)f->lse[head], sum);
    }
    free(oracle.weights);
}

static void multiply(float *x, size_t n, double factor) {
    for (size_t i = 0; i < n; i++) {
        x[i] = (float)((double)x[i] * factor);
    }
}

/* Every query of head 0 scores `score` with key `token`. */
static void aim_queries(struct fixture *f, size_t token, double score) {
    const float *const key = f->kv.keys + token * DIM;
    const double factor = score * sqrt((double)DIM) / test_dot(key, key, DIM);
    for (size_t head = 0; head < GROUP; head++) {
        memcpy(f->queries + head * DIM, key, DIM * sizeof(float));
        multiply(f->queries + head * DIM, DIM, factor);
    }
}

TEST(one_token_far_above_the_rest) {
    static const size_t peaks[] = { 0, 63, 64, 400, 767, 768, 999 };
    static const double heights[] = { 20.0, 80.0, 1000.0 };
    struct attend_worst worst = { 0.0, 0.0 };
    for (size_t i = 0; i < COUNT_OF(peaks); i++) {
        for (size_t h = 0; h < COUNT_OF(heights); h++) {
            struct fixture f = setup(1, 1000, 2 + (int32_t)(i % 3));
            multiply(f.kv.keys, 1000 * DIM, 0.01); /* the others score near 0 */
            multiply(f.kv.keys + peaks[i] * DIM, DIM, 100.0);
            aim_queries(&f, peaks[i], heights[h]);
            ask(&f, &worst);
            CHECK_NEAR(f.lse[0], heights[h], 0.1 * heights[h]); /* up to a cosine of .93 */
            teardown(&f);
        }
    }
    attend_print("one token far above the rest", &worst);
}

TEST(all_keys_alike) {
    struct attend_worst worst = { 0.0, 0.0 };
    for (size_t tokens = 1; tokens <= 1000; tokens = tokens * 3 + 1) {
        struct fixture f = setup(1, tokens, 3);
        for (size_t t = 1; t < tokens; t++) {
            memcpy(f.kv.keys + t * DIM, f.kv.keys, DIM * sizeof(float));
        }
        aim_queries(&f, 0, 10.0);
        ask(&f, &worst);
        teardown(&f);
    }
    attend_print("all keys alike", &worst);
}

/* The running maximum changes in every tile, or never after the first. */
TEST(scores_that_rise_and_fall) {
    struct attend_worst worst = { 0.0, 0.0 };
    for (int falling = 0; falling <= 1; falling++) {
        struct fixture f = setup(1, 2000, 4);
        for (size_t t = 1; t < 2000; t++) {
            const size_t height = falling ? 2000 - t : t + 1;
            memcpy(f.kv.keys + t * DIM, f.kv.keys, DIM * sizeof(float));
            multiply(f.kv.keys + t * DIM, DIM, (double)height / 2000.0);
        }
        multiply(f.kv.keys, DIM, falling ? 1.0 : 1.0 / 2000.0);
        aim_queries(&f, falling ? 0 : 1999, 40.0);
        ask(&f, &worst);
        teardown(&f);
    }
    attend_print("scores that rise and fall", &worst);
}

TEST(many_tokens) {
    struct attend_worst worst = { 0.0, 0.0 };
    struct fixture f = setup(1, 8192, 4);
    ask(&f, &worst);
    attend_print("8,192 tokens", &worst);
    teardown(&f);

    f = setup(1, 8192, 2); /* and all of them alike */
    for (size_t t = 1; t < 8192; t++) {
        memcpy(f.kv.keys + t * DIM, f.kv.keys, DIM * sizeof(float));
    }
    ask(&f, &worst);
    attend_print("8,192 tokens alike", &worst);
    teardown(&f);
}

TEST(zeros) {
    struct attend_worst worst = { 0.0, 0.0 };
    struct fixture f = setup(2, 100, 4);
    memset(f.queries, 0, GROUP * DIM * sizeof(float));          /* head 0: zero queries */
    memset(f.kv.keys + 100 * DIM, 0, 50 * DIM * sizeof(float)); /* head 1: half the keys */
    memset(f.kv.values, 0, 10 * DIM * sizeof(float));
    ask(&f, &worst);
    CHECK_NEAR(f.lse[0], log(100.0), 1e-6);
    teardown(&f);

    f = setup(1, 70, 3); /* no value but zero: the output is zero, not merely near */
    memset(f.kv.values, 0, 70 * DIM * sizeof(float));
    ask(&f, &worst);
    for (size_t i = 0; i < DIM; i++) {
        CHECK(test_tensor_at(&f.out, 1, 0, i) == 0.0f);
    }
    teardown(&f);
    attend_print("zeros", &worst);
}

/* ---- Merge ------------------------------------------------------------------------------- */

/* The formula of cache.h. */
static void merge(const float *a, const float *b, double lse_a, double lse_b, double *out) {
    const double largest = fmax(lse_a, lse_b);
    const double lse = largest + log(exp(lse_a - largest) + exp(lse_b - largest));
    for (size_t i = 0; i < DIM; i++) {
        out[i] = exp(lse_a - lse) * (double)a[i] + exp(lse_b - lse) * (double)b[i];
    }
}

static void check_merge(struct attend_worst *worst, size_t cut, double deviation) {
    struct fixture f = setup(2, 300, 3);
    struct fixture parts[2] = { setup(2, 300, 3), setup(2, 300, 3) };
    const size_t heads = 2 * GROUP;
    double merged[DIM];
    multiply(f.queries, heads * DIM, deviation);
    CHECK_EQ(test_append(parts[0].cache, &f.kv, 0, cut), QUASH_OK);
    CHECK_EQ(test_append(parts[1].cache, &f.kv, cut, 300 - cut), QUASH_OK);
    CHECK_EQ(test_append(f.cache, &f.kv, 0, 300), QUASH_OK);
    CHECK_EQ(attend(f.cache, f.queries, heads, &f.out.view, f.lse), QUASH_OK);
    for (size_t p = 0; p < 2; p++) {
        CHECK_EQ(attend(parts[p].cache, f.queries, heads, &parts[p].out.view, parts[p].lse),
                 QUASH_OK);
    }
    for (size_t head = 0; head < heads; head++) {
        const double lse_a = (double)parts[0].lse[head];
        const double lse_b = (double)parts[1].lse[head];
        merge((const float *)parts[0].out.view.data + head * DIM,
              (const float *)parts[1].out.view.data + head * DIM, lse_a, lse_b, merged);
        attend_check_row(worst, &f.out, head, 0, merged);
        attend_check_lse(worst, (double)f.lse[head],
                         fmax(lse_a, lse_b) + log1p(exp(-fabs(lse_a - lse_b))));
    }
    teardown(&f);
    teardown(&parts[0]);
    teardown(&parts[1]);
}

TEST(halves_merge_to_the_whole) {
    static const size_t cuts[] = { 1, 63, 64, 65, 150, 299 };
    struct attend_worst worst = { 0.0, 0.0 };
    for (size_t i = 0; i < COUNT_OF(cuts); i++) {
        check_merge(&worst, cuts[i], 1.0);
        check_merge(&worst, cuts[i], 5.0);
    }
    attend_print("halves merged", &worst);
}

/* ---- What is stored ---------------------------------------------------------------------- */

/* Up to the rounding of the scale to binary16 (2^-11), and of float arithmetic. */
#define HALF_ROUNDING (0x1p-11 + 2e-6)

TEST(keys_keep_their_norm_and_values_are_unbiased) {
    static const size_t dims[] = { 8, 64, 80, 112, 128, 576 };
    quash_context *const context = test_context(NULL);
    double worst_key = 0.0;
    double worst_value = 0.0;
    for (size_t i = 0; i < COUNT_OF(dims) * 3; i++) {
        const size_t dim = dims[i % COUNT_OF(dims)];
        const int32_t bits = 2 + (int32_t)(i / COUNT_OF(dims));
        quash_cache_params params = test_cache_params(2, dim, bits, 6 - bits);
        params.search_level = (int32_t)(i % 3);
        quash_cache *const cache = test_cache(context, &params);
        struct test_kv kv = test_kv_make(i, 2, 100, dim);
        for (size_t t = 0; t < 200; t++) { /* norms over five decades */
            const double factor = pow(10.0, (double)(t % 100) / 20.0 - 2.0);
            multiply(kv.keys + t * dim, dim, factor);
            multiply(kv.values + t * dim, dim, factor);
        }
        CHECK_EQ(test_append(cache, &kv, 0, 100), QUASH_OK);
        struct test_kv decoded = test_decode(cache);
        for (size_t t = 0; t < 200; t++) {
            const float *const key = decoded.keys + t * dim;
            const float *const value = kv.values + t * dim;
            const double norm = test_dot(kv.keys + t * dim, kv.keys + t * dim, dim);
            const double key_error = fabs(sqrt(test_dot(key, key, dim) / norm) - 1.0);
            const double value_error = fabs(
                test_dot(decoded.values + t * dim, value, dim) / test_dot(value, value, dim) - 1.0);
            worst_key = fmax(worst_key, key_error);
            worst_value = fmax(worst_value, value_error);
            CHECK(key_error <= HALF_ROUNDING);
            CHECK(value_error <= HALF_ROUNDING);
        }
        test_kv_free(&kv);
        test_kv_free(&decoded);
        quash_cache_free(cache);
    }
    printf("     worst |decoded key|/|key| - 1: %.2e, <decoded value, value>/|value|^2 - 1: %.2e\n",
           worst_key, worst_value);
    quash_context_free(context);
}

int main(void) {
    RUN(one_token_far_above_the_rest);
    RUN(all_keys_alike);
    RUN(scores_that_rise_and_fall);
    RUN(many_tokens);
    RUN(zeros);
    RUN(halves_merge_to_the_whole);
    RUN(keys_keep_their_norm_and_values_are_unbiased);
    return test_report();
}
