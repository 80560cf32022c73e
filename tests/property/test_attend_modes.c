/* SPDX-License-Identifier: Apache-2.0 */
/* Proves how far integer attention is from attention in double on the decoded keys and values, at
 * every CPU level of this machine: FAST and EXACT, every pair of bits, head dims, groups, causal
 * prefills; and on the rows that digits are worst at: one peak over a long flat floor, a peak in
 * every tile, a maximum that keeps rising. Bars are relative errors of the output (l2 norm). */
#define _POSIX_C_SOURCE 200809L
#include "attend_oracle.h"
#include "levels.h"

#include "kernel/kernel.h"

struct bar {
    double fast;
    double exact;
};

/* At scores of standard deviation 1: rms over the rows of a case. */
static struct bar random_bar(enum quash_cpu_level level) {
    return level == QUASH_CPU_AVX512 ? (struct bar){ 2.5e-2, 1.5e-4 } : (struct bar){ 3e-2, 2e-4 };
}

/* Of rows far from random. */
static const struct bar extreme_bar = { 3e-2, 1e-3 };

/* A context of one CPU level. */
static quash_context *context_of(enum quash_cpu_level level) {
    CHECK_EQ(setenv("QUASH_CPU", quash_cpu_level_name(level), 1), 0);
    return test_context(NULL);
}

struct errors {
    double squares;
    double count;
    double worst;
    double lse;
};

/* Adds the errors of all query rows, or of every step-th. */
static void measure(const quash_cache *cache, const struct test_kv *decoded, int32_t mode,
                    const float *queries, size_t heads, size_t q_len, size_t step,
                    struct errors *errors) {
    quash_attend_params params = QUASH_ATTEND_PARAMS_INIT;
    const size_t dim = decoded->dim;
    const int64_t rows = (int64_t)(heads * q_len);
    float *const out = test_alloc(heads * q_len * dim * sizeof *out);
    float *const lse = test_alloc(heads * q_len * sizeof *lse);
    params.mode = mode;
    const quash_array q =
        quash_array_view(queries, QUASH_F32, 3, (int64_t)heads, (int64_t)q_len, (int64_t)dim);
    const quash_array o =
        quash_array_view(out, QUASH_F32, 3, (int64_t)heads, (int64_t)q_len, (int64_t)dim);
    const quash_array l = quash_array_view(lse, QUASH_F32, 2, (int64_t)heads, (int64_t)q_len, 0);
    CHECK_EQ(quash_cache_attend(cache, &params, &q, &o, &l, NULL, 0), QUASH_OK);
    const struct attend_oracle oracle = attend_oracle_make(decoded, 0.0f);
    for (int64_t row = 0; row < rows; row += (int64_t)step) {
        double expected[QUASH_HEAD_DIM_MAX];
        double error = 0.0;
        double norm = 0.0;
        const size_t head = (size_t)row / q_len;
        const size_t visible = decoded->tokens - q_len + (size_t)row % q_len + 1;
        const double sum = attend_oracle_row(&oracle, head / (heads / decoded->heads),
                                             queries + (size_t)row * dim, visible, expected);
        for (size_t i = 0; i < dim; i++) {
            const double off = (double)out[(size_t)row * dim + i] - expected[i];
            error += off * off;
            norm += expected[i] * expected[i];
        }
        errors->squares += error / norm;
        errors->count += 1.0;
        errors->worst = fmax(errors->worst, sqrt(error / norm));
        errors->lse = fmax(errors->lse, fabs((double)lse[row] - sum) / (1.0 + fabs(sum)));
    }
    free(oracle.weights);
    free(out);
    free(lse);
}

static double rms(const struct errors *errors) {
    return sqrt(errors->squares / errors->count);
}

static void report(const char *what, int32_t mode, const struct errors *errors) {
    printf("     %-34s %-5s: rms %.2e, worst row %.2e, lse %.2e\n", what,
           mode == QUASH_ATTEND_FAST ? "fast" : "exact", rms(errors), errors->worst, errors->lse);
}

/* ---- Random tokens ----------------------------------------------------------------------- */

struct shape {
    size_t heads, group, q_len, tokens, dim;
};

/* Measures one cache in both modes; the deviation of scores is that of the queries. */
static void measure_random(quash_context *context, const struct shape *s, int32_t key_bits,
                           int32_t value_bits, double deviation, struct errors errors[2]) {
    const quash_cache_params params = test_cache_params(s->heads, s->dim, key_bits, value_bits);
    quash_cache *const cache = test_cache(context, &params);
    const size_t n = s->heads * s->group * s->q_len * s->dim;
    float *const queries = test_alloc(n * sizeof *queries);
    struct test_kv kv = test_kv_make(s->dim + s->tokens, s->heads, s->tokens, s->dim);
    struct test_rng rng = test_rng_start(s->dim * 31 + s->group);
    test_fill_gaussian(&rng, queries, n);
    for (size_t i = 0; i < n; i++) {
        queries[i] *= (float)deviation;
    }
    CHECK_EQ(test_append(cache, &kv, 0, s->tokens), QUASH_OK);
    struct test_kv decoded = test_decode(cache);
    for (int32_t mode = QUASH_ATTEND_FAST; mode <= QUASH_ATTEND_EXACT; mode++) {
        measure(cache, &decoded, mode, queries, s->heads * s->group, s->q_len,
                1 + s->q_len * s->group / 20, &errors[mode]);
    }
    test_kv_free(&decoded);
    test_kv_free(&kv);
    free(queries);
    quash_cache_free(cache);
}

/* The case that the bars are stated for: 2,048 tokens, d = 128. */
static void check_random(quash_context *context, enum quash_cpu_level level) {
    const struct shape shape = { 2, 8, 1, 2048, 128 };
    const struct bar bar = random_bar(level);
    for (int32_t bits = 2; bits <= 4; bits++) {
        struct errors errors[2] = { { 0.0, 0.0, 0.0, 0.0 } };
        char what[40];
        measure_random(context, &shape, bits, bits, 1.0, errors);
        (void)snprintf(what, sizeof what, "2,048 random tokens, %d bits", (int)bits);
        report(what, QUASH_ATTEND_FAST, &errors[0]);
        report(what, QUASH_ATTEND_EXACT, &errors[1]);
        CHECK(errors[0].worst <= bar.fast);
        CHECK(errors[1].worst <= bar.exact);
        CHECK(errors[0].lse <= 1e-3);
        CHECK(errors[1].lse <= 1e-5);
    }
}

/* All dims, groups and bits, prefills too. Few tokens average less, so one digit errs more. */
static void check_shapes(quash_context *context, enum quash_cpu_level level) {
    static const struct shape shapes[] = {
        { 1, 1, 1, 1, 8 },      { 2, 3, 1, 63, 8 },     { 1, 4, 5, 64, 40 },
        { 2, 8, 1, 65, 80 },    { 1, 16, 3, 333, 96 },  { 2, 3, 17, 200, 112 },
        { 1, 1, 70, 300, 64 },  { 1, 4, 1, 1000, 192 }, { 2, 1, 2, 500, 256 },
        { 1, 16, 1, 129, 576 }, { 1, 5, 9, 70, 24 },    { 3, 2, 1, 100, 128 },
    };
    struct errors errors[2] = { { 0.0, 0.0, 0.0, 0.0 } };
    const struct bar bar = random_bar(level);
    for (size_t i = 0; i < 3 * COUNT_OF(shapes); i++) {
        const struct shape *const s = &shapes[i / 3];
        const int32_t key_bits = 2 + (int32_t)(i % 3);
        measure_random(context, s, key_bits, 2 + (int32_t)((i + i / 3) % 3), 1.0, errors);
    }
    report("all shapes", QUASH_ATTEND_FAST, &errors[0]);
    report("all shapes", QUASH_ATTEND_EXACT, &errors[1]);
    CHECK(rms(&errors[0]) <= bar.fast && errors[0].worst <= 3.0 * bar.fast);
    CHECK(rms(&errors[1]) <= bar.exact && errors[1].worst <= 3.0 * bar.exact);
}

/* ---- Extreme rows ------------------------------------------------------------------------ */

/* Keys so that query `direction` scores height(t) with token t, plus noise of its own. Values are
 * random around .3, and 1 where `high`. */
static void aim_keys(struct test_kv *kv, const float *direction, const double *heights,
                     struct test_rng *rng) {
    const size_t dim = kv->dim;
    const double factor = sqrt((double)dim) / test_dot(direction, direction, dim);
    for (size_t t = 0; t < kv->tokens; t++) {
        const double high = heights[t] == 0.0 ? 1.0 : 0.3;
        for (size_t i = 0; i < dim; i++) {
            kv->keys[t * dim + i] = (float)((double)direction[i] * heights[t] * factor +
                                            0.05 * (test_uniform(rng) - 0.5));
            kv->values[t * dim + i] = (float)(high + test_uniform(rng) - 0.5);
        }
    }
}

static void check_extreme(quash_context *context, const char *what, size_t tokens,
                          double (*height)(size_t t, size_t parameter), size_t parameter) {
    enum { DIM = 64, GROUP = 4 };
    const quash_cache_params params = test_cache_params(1, DIM, 4, 4);
    quash_cache *const cache = test_cache(context, &params);
    struct test_rng rng = test_rng_start(tokens + parameter);
    struct test_kv kv = { 1, tokens, DIM, NULL, NULL };
    double *const heights = test_alloc(tokens * sizeof *heights);
    float queries[GROUP * DIM];
    kv.keys = test_alloc(tokens * DIM * sizeof(float));
    kv.values = test_alloc(tokens * DIM * sizeof(float));
    test_fill_gaussian(&rng, queries, DIM);
    for (size_t i = 0; i < GROUP * DIM; i++) {
        queries[i] = queries[i % DIM] * (1.0f + 0.01f * (float)(i / DIM));
    }
    for (size_t t = 0; t < tokens; t++) {
        heights[t] = height(t, parameter);
    }
    aim_keys(&kv, queries, heights, &rng);
    CHECK_EQ(test_append(cache, &kv, 0, tokens), QUASH_OK);
    struct test_kv decoded = test_decode(cache);
    for (int32_t mode = QUASH_ATTEND_FAST; mode <= QUASH_ATTEND_EXACT; mode++) {
        struct errors errors = { 0.0, 0.0, 0.0, 0.0 };
        measure(cache, &decoded, mode, queries, GROUP, 1, 1, &errors);
        report(what, mode, &errors);
        if (mode == QUASH_ATTEND_FAST) {
            CHECK(rms(&errors) <= extreme_bar.fast);
        } else {
            CHECK(errors.worst <= extreme_bar.exact);
        }
    }
    test_kv_free(&decoded);
    test_kv_free(&kv);
    free(heights);
    quash_cache_free(cache);
}

static double one_peak(size_t t, size_t peak) {
    return t == peak ? 0.0 : -11.0;
}

static double peak_in_every_tile(size_t t, size_t place) {
    return t % 64 == (place + t / 64 * 7) % 64 ? 0.0 : -6.0;
}

static double stairs(size_t t, size_t length) {
    return (double)(t / length) * 0.25 - 20.0;
}

static double cliffs(size_t t, size_t length) {
    return (double)(t / length) * 45.0 - 200.0;
}

static void check_extremes(quash_context *context, enum quash_cpu_level level) {
    const size_t tokens = level == QUASH_CPU_C ? 32768 : 131072; /* C is slow */
    check_extreme(context, "one peak at the start, rest at -11", tokens, one_peak, 0);
    check_extreme(context, "one peak inside", tokens, one_peak, tokens / 2 + 4465);
    check_extreme(context, "one peak at the end", tokens, one_peak, tokens - 1);
    check_extreme(context, "a peak in every tile, rest at -6", 8192, peak_in_every_tile, 5);
    check_extreme(context, "all alike", tokens, one_peak, SIZE_MAX);
    check_extreme(context, "rising every 1,000 tokens", tokens, stairs, 1000);
    check_extreme(context, "rising by 45 every 1,000 tokens", 9000, cliffs, 1000);
}

/* ---- Levels ------------------------------------------------------------------------------ */

static enum quash_cpu_level tested; /* under test; set by main */

TEST(random_tokens) {
    quash_context *const context = context_of(tested);
    check_random(context, tested);
    check_shapes(context, tested);
    quash_context_free(context);
}

TEST(extreme_rows) {
    quash_context *const context = context_of(tested);
    check_extremes(context, tested);
    quash_context_free(context);
}

int main(void) {
    for (int i = QUASH_CPU_C; i < QUASH_CPU_LEVELS; i++) {
        tested = (enum quash_cpu_level)i;
        if (!test_level(tested)) {
            continue;
        }
        RUN(random_tokens);
        RUN(extreme_rows);
    }
    return test_report();
}
