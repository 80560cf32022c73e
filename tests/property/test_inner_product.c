/* SPDX-License-Identifier: Apache-2.0 */
/* Proves what a decoded row x^ is worth in inner products with a query q: the mean of (<q,x^> -
 * <q,x>)^2 * dim for unit rows and unit queries meets the figures of doc/numerics.md, with q
 * uniform on the sphere and with q = c x + sqrt(1 - c^2) w, where w is uniform among the unit
 * vectors orthogonal to x; and with the unbiased scale <q,x^> regresses on <q,x> with slope 1. */
#include "support.h"

#define DIM 128
#define SEEDS 8
#define ROWS_PER_SEED 2400
#define QUERIES 20 /* independent ones per row */

/* Unit vectors uniform on the sphere, far more than QUERIES: queries are drawn from them. */
enum { POOL = 4096 };
static float pool[POOL][DIM];

/* A query for the unit row x: independent of it (c < 0), or at cosine c. */
static void draw_query(struct test_rng *rng, const float *x, double c, float *q) {
    memcpy(q, pool[test_below(rng, POOL)], DIM * sizeof *q);
    if (c < 0.0) {
        return;
    }
    const double along = test_dot(q, x, DIM);
    for (size_t i = 0; i < DIM; i++) {
        q[i] = (float)((double)q[i] - along * (double)x[i]);
    }
    test_normalize(q, DIM);
    for (size_t i = 0; i < DIM; i++) {
        q[i] = (float)(c * (double)x[i] + sqrt(1.0 - c * c) * (double)q[i]);
    }
}

/* (<q,x^> - <q,x>)^2 * dim. */
static double query_error(const float *q, const float *x, const float *decoded) {
    double error = 0.0;
    for (size_t i = 0; i < DIM; i++) {
        error += (double)q[i] * ((double)decoded[i] - (double)x[i]);
    }
    return error * error * DIM;
}

static struct test_mean measure(quash_context *context, int32_t bits, int32_t level, int32_t policy,
                                double cosine) {
    float *const rows = test_alloc(ROWS_PER_SEED * DIM * sizeof *rows);
    float *const decoded = test_alloc(ROWS_PER_SEED * DIM * sizeof *decoded);
    struct test_rng rng = test_rng_start(200);
    struct test_mean mean = { 0 };
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        test_fill_sphere(&rng, rows, ROWS_PER_SEED, DIM);
        quash_codec_params params = test_params(DIM, bits);
        params.scale_policy = policy;
        params.search_level = level;
        params.seed = seed;
        quash_codec *const codec = test_codec(context, &params);
        test_round_trip(codec, rows, ROWS_PER_SEED, decoded);
        for (size_t r = 0; r < ROWS_PER_SEED; r++) {
            double sum = 0.0;
            for (size_t j = 0; j < QUERIES; j++) {
                float q[DIM];
                draw_query(&rng, rows + r * DIM, cosine, q);
                sum += query_error(q, rows + r * DIM, decoded + r * DIM);
            }
            test_mean_add(&mean, sum / QUERIES);
        }
        quash_codec_free(codec);
    }
    free(rows);
    free(decoded);
    return mean;
}

static void print_figure(const char *what, int32_t level, int32_t bits,
                         const struct test_mean *mean, double bar) {
    const double value = test_mean_get(mean);
    printf("    %-22s level %d, %d bits: %.5f +- %.5f, bar %.5f, ratio %.4f\n", what, (int)level,
           (int)bits, value, test_mean_error(mean), bar, value / bar);
}

TEST(independent_queries_meet_the_bars) {
    static const double bars[3][3] = { { 0.1308, 0.0348, 0.0093 },
                                       { 0.1298, 0.0334, 0.00846 },
                                       { 0.1296, 0.0330, 0.0081 } };
    quash_context *const context = test_context(NULL);
    for (int32_t level = 0; level <= 2; level++) {
        for (int32_t bits = 2; bits <= 4; bits++) {
            const double bar = bars[level][bits - 2];
            const struct test_mean mean = measure(context, bits, level, QUASH_SCALE_UNBIASED, -1.0);
            print_figure("independent, unbiased", level, bits, &mean, bar);
            CHECK(test_mean_error(&mean) < 0.003 * bar);
            CHECK(test_mean_get(&mean) <= 1.01 * bar);
            CHECK(test_mean_get(&mean) >= 0.97 * bar);
        }
    }
    quash_context_free(context);
}

TEST(correlated_queries_meet_the_bars) {
    static const double raw_bars[3] = { 0.258, 0.049, 0.0113 };
    static const double unbiased_bars[3] = { 0.118, 0.032, 0.0085 };
    quash_context *const context = test_context(NULL);
    for (int32_t bits = 2; bits <= 4; bits++) {
        const struct test_mean raw = measure(context, bits, 0, QUASH_SCALE_RAW_NORM, 0.3);
        const struct test_mean unbiased = measure(context, bits, 0, QUASH_SCALE_UNBIASED, 0.3);
        print_figure("cosine .3, raw norm", 0, bits, &raw, raw_bars[bits - 2]);
        print_figure("cosine .3, unbiased", 0, bits, &unbiased, unbiased_bars[bits - 2]);
        CHECK(test_mean_get(&raw) <= 1.03 * raw_bars[bits - 2]);
        CHECK(test_mean_get(&unbiased) <= 1.03 * unbiased_bars[bits - 2]);
        CHECK(test_mean_get(&unbiased) < test_mean_get(&raw));
    }
    quash_context_free(context);
}

/* Sums of a regression through the origin. Lengths of queries vary, so that <q,x> does. */
struct slope {
    double products;
    double squares;
};

static void add_slopes(quash_context *context, struct test_rng *rng,
                       const quash_codec_params *params, const double cosines[2],
                       struct slope slopes[2]) {
    enum { ROWS = 1000 };
    float *const rows = test_alloc(ROWS * DIM * sizeof *rows);
    float *const decoded = test_alloc(ROWS * DIM * sizeof *decoded);
    test_fill_sphere(rng, rows, ROWS, DIM);
    quash_codec *const codec = test_codec(context, params);
    test_round_trip(codec, rows, ROWS, decoded);
    for (size_t r = 0; r < ROWS; r++) {
        for (size_t c = 0; c < 2; c++) {
            float q[DIM];
            draw_query(rng, rows + r * DIM, cosines[c], q);
            const double length = 0.5 + test_uniform(rng);
            const double wanted = length * test_dot(q, rows + r * DIM, DIM);
            const double found = length * test_dot(q, decoded + r * DIM, DIM);
            slopes[c].products += wanted * found;
            slopes[c].squares += wanted * wanted;
        }
    }
    quash_codec_free(codec);
    free(rows);
    free(decoded);
}

TEST(unbiased_scale_has_slope_one) {
    static const double cosines[2] = { 0.3, 0.6 };
    quash_context *const context = test_context(NULL);
    struct test_rng rng = test_rng_start(300);
    for (int32_t bits = 1; bits <= 4; bits++) {
        for (int32_t level = 0; level <= 2; level++) {
            struct slope slopes[2] = { { 0 } };
            for (uint64_t seed = 0; seed < SEEDS; seed++) {
                quash_codec_params params = test_params(DIM, bits);
                params.scale_policy = QUASH_SCALE_UNBIASED;
                params.search_level = level;
                params.seed = seed;
                add_slopes(context, &rng, &params, cosines, slopes);
            }
            const double at_3 = slopes[0].products / slopes[0].squares;
            const double at_6 = slopes[1].products / slopes[1].squares;
            printf("    slope at cosine .3 and .6, %d bits, level %d: %.5f %.5f\n", (int)bits,
                   (int)level, at_3, at_6);
            CHECK_NEAR(at_3, 1.0, 0.01);
            CHECK_NEAR(at_6, 1.0, 0.01);
        }
    }
    quash_context_free(context);
}

int main(void) {
    struct test_rng rng = test_rng_start(400);
    test_fill_sphere(&rng, pool[0], POOL, DIM);
    RUN(independent_queries_meet_the_bars);
    RUN(correlated_queries_meet_the_bars);
    RUN(unbiased_scale_has_slope_one);
    return test_report();
}
