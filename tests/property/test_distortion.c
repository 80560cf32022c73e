/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the squared error of the codec on rows uniform on the sphere, for every bit width and
 * search level: not above the published figures of doc/numerics.md, and not so far below them that
 * the measurement itself must be wrong. Each figure is printed beside the error of the optimal real
 * levels for one coordinate of the sphere, at a scale that is not fitted to the row. */
#include "support.h"

#define SEEDS 8
#define ROWS_PER_SEED 1500

struct bar {
    size_t dim;
    int32_t level;
    double nmse[3]; /* at 2, 3 and 4 bits */
};

static const struct bar bars[] = {
    { 128, 0, { 0.1154, 0.0336, 0.0092 } }, { 128, 1, { 0.1146, 0.0323, 0.0084 } },
    { 128, 2, { 0.1145, 0.0318, 0.0081 } }, { 64, 0, { 0.1132, 0.0326, 0.0089 } },
    { 64, 1, { 0.1117, 0.0306, 0.0078 } },  { 64, 2, { 0.1114, 0.0298, 0.0073 } },
};

static struct test_mean measure(quash_context *context, const struct bar *bar, int32_t bits) {
    const size_t dim = bar->dim;
    float *const rows = test_alloc(ROWS_PER_SEED * dim * sizeof *rows);
    float *const decoded = test_alloc(ROWS_PER_SEED * dim * sizeof *decoded);
    struct test_rng rng = test_rng_start(100 + dim);
    struct test_mean mean = { 0 };
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        test_fill_sphere(&rng, rows, ROWS_PER_SEED, dim);
        quash_codec_params params = test_params(dim, bits);
        params.search_level = bar->level;
        params.seed = seed;
        quash_codec *const codec = test_codec(context, &params);
        test_round_trip(codec, rows, ROWS_PER_SEED, decoded);
        for (size_t r = 0; r < ROWS_PER_SEED; r++) {
            const float *const x = rows + r * dim;
            test_mean_add(&mean,
                          test_squared_error(x, decoded + r * dim, dim) / test_dot(x, x, dim));
        }
        quash_codec_free(codec);
    }
    free(rows);
    free(decoded);
    return mean;
}

TEST(error_on_the_sphere_meets_the_bars) {
    quash_context *const context = test_context(NULL);
    printf("     dim level bits     nMSE +-        bar    ratio   optimal levels, fixed scale\n");
    for (size_t b = 0; b < COUNT_OF(bars); b++) {
        for (int32_t bits = 2; bits <= 4; bits++) {
            const double bar = bars[b].nmse[bits - 2];
            const struct test_mean mean = measure(context, &bars[b], bits);
            const double nmse = test_mean_get(&mean);
            const double error = test_mean_error(&mean);
            double levels[16];
            double theory = 0.0;
            CHECK_EQ(quash_codebook_solve((int32_t)bars[b].dim, bits, levels, &theory), QUASH_OK);
            printf("    %4zu %5d %4d  %.6f %.6f  %.4f  %.4f   %.6f\n", bars[b].dim,
                   (int)bars[b].level, (int)bits, nmse, error, bar, nmse / bar, theory);
            CHECK(error < 0.003 * nmse);
            CHECK(nmse <= 1.01 * bar);
            CHECK(nmse >= 0.97 * bar);
        }
    }
    quash_context_free(context);
}

int main(void) {
    RUN(error_on_the_sphere_meets_the_bars);
    return test_report();
}
