/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that keys lose the turned mean and get it back, and that the mean term of attention is
 * what they lost, against double straight from the definition: every shape, level and precision. */
#include "key_stats_support.h"

#include "cpu/attend_mean.h"

/* ---- Keys -------------------------------------------------------------------------------- */

TEST(keys_lose_the_turned_mean_and_get_it_back) {
    struct test_rng rng = test_rng_start(2);
    for (size_t s = 0; s < COUNT_OF(test_rope_shapes); s++) {
        const size_t dim = test_rope_shapes[s].dim;
        struct test_rope test;
        struct quash_key_stats stats;
        test_rope_make(&test, test_rope_shapes[s].layout, test_rope_shapes[s].rotary_dim,
                       test_rope_shapes[s].base, TEST_POSITIONS);
        test_stats_make(&stats, dim, &test.rope);
        for (size_t round = 0; round < 40; round++) {
            const int64_t position = test_position(&rng, round);
            float raw[QUASH_HEAD_DIM_MAX];
            float key[QUASH_HEAD_DIM_MAX];
            float turned[QUASH_HEAD_DIM_MAX];
            double mean[QUASH_HEAD_DIM_MAX];
            test_random_stats(&rng, &stats, round % 3 == 0 ? QUASH_MEAN_PAIRS_ALL : 16);
            test_fill_gaussian(&rng, raw, dim);
            memcpy(key, raw, sizeof raw);
            test_turned_mean(&test, &stats, position, mean);
            quash_key_stats_turn(&stats, position / 64, turned);
            quash_key_stats_apply(&stats, turned, (size_t)(position % 64), key);
            for (size_t i = 0; i < dim; i++) {
                const double wanted = ((double)raw[i] - mean[i]) * (double)stats.scale[i];
                /* Two rotations of three roundings, tables, a sum and a product. */
                CHECK_NEAR(key[i], wanted, 2e-6 * (double)stats.scale[i]);
            }
            quash_key_stats_undo(&stats, turned, (size_t)(position % 64), key);
            for (size_t i = 0; i < dim; i++) {
                CHECK_NEAR(key[i], raw[i], 2e-6);
            }
        }
        test_stats_free(&stats);
        free(test.memory);
    }
}

/* ---- Mean term --------------------------------------------------------------------------- */

/* Largest error of the term over its bound, for a few rows at a few tiles. */
static double term_error(const struct test_rope *test, struct quash_key_stats *stats,
                         const struct quash_kernels *kernels, bool exact, struct test_rng *rng) {
    const size_t dim = stats->dim;
    const struct quash_tile_layout layout = quash_tile_layout_of(dim, 4, 4);
    const struct quash_quantizer keys = { .kernels = kernels };
    const struct quash_tiles tiles = {
        .layout = &layout, .keys = &keys, .kv_heads = 1, .stats = stats
    };
    struct attend_mean *const mean = test_aligned(sizeof *mean);
    struct quash_arena count = { NULL, 0 };
    quash_attend_mean_carve(mean, &count, &layout);
    struct quash_arena arena = { test_aligned(count.used), 0 };
    unsigned char *const memory = arena.base;
    quash_attend_mean_carve(mean, &arena, &layout);
    float queries[6][QUASH_HEAD_DIM_MAX];
    float divided[QUASH_HEAD_DIM_MAX];
    double size[6] = { 0.0 };
    double worst = 0.0;
    quash_attend_mean_start(mean, &tiles, 0, 1, exact);
    for (size_t r = 0; r < 6; r++) {
        test_fill_gaussian(rng, queries[r], dim);
        memcpy(divided, queries[r], sizeof divided);
        quash_attend_mean_load(mean, &tiles, 0, 0, r, divided);
        for (size_t i = 0; i < dim; i++) {
            CHECK(divided[i] == queries[r][i] / stats->scale[i]);
        }
        for (size_t i = 0; i < stats->pair_count; i++) {
            size[r] += hypot((double)mean->a[r * layout.key_dims / 2 + i],
                             (double)mean->b[r * layout.key_dims / 2 + i]);
        }
        size[r] += fabs((double)mean->constant[r]);
    }
    for (size_t round = 0; round < 12; round++) {
        const int64_t page = test_position(rng, round) / 64;
        float scores[6][64] = { { 0.0f } };
        quash_attend_mean_add(mean, &tiles, 0, page, 0, 4, scores);
        quash_attend_mean_add(mean, &tiles, 0, page, 4, 2, scores + 4);
        for (size_t t = 0; t < 64; t++) {
            double turned[QUASH_HEAD_DIM_MAX];
            test_turned_mean(test, stats, page * 64 + (int64_t)t, turned);
            for (size_t r = 0; r < 6; r++) {
                double sum = 0.0;
                for (size_t i = 0; i < dim; i++) {
                    sum += (double)queries[r][i] * turned[i];
                }
                const double error = fabs((double)scores[r][t] - sum);
                worst = fmax(worst, size[r] > 0.0 ? error / size[r] : error);
            }
        }
    }
    free(memory);
    free(mean);
    return worst;
}

TEST(the_mean_term_is_what_was_taken_away) {
    struct test_rng rng = test_rng_start(3);
    for (int level = 0; level < QUASH_CPU_LEVELS; level++) {
        struct quash_kernels kernels;
        double worst[2] = { 0.0, 0.0 };
        if (!quash_cpu_supports((enum quash_cpu_level)level)) {
            continue;
        }
        quash_kernels_fill(&kernels, (enum quash_cpu_level)level);
        for (size_t s = 0; s < 3 * COUNT_OF(test_rope_shapes); s++) {
            const struct test_rope_shape *const shape = &test_rope_shapes[s / 3];
            struct test_rope test;
            struct quash_key_stats stats;
            test_rope_make(&test, shape->layout, shape->rotary_dim, shape->base, TEST_POSITIONS);
            test_stats_make(&stats, shape->dim, &test.rope);
            test_random_stats(&rng, &stats,
                              s % 3 == 0   ? QUASH_MEAN_PAIRS_ALL
                              : s % 3 == 1 ? 16
                                           : 1);
            for (int exact = 0; exact < 2; exact++) {
                worst[exact] = fmax(worst[exact], term_error(&test, &stats, &kernels, exact, &rng));
            }
            test_stats_free(&stats);
            free(test.memory);
        }
        printf("     %-7s error over the sum of amplitudes: fast %.2e, exact %.2e\n",
               quash_cpu_level_name((enum quash_cpu_level)level), worst[0], worst[1]);
        CHECK(worst[0] <= 1e-4);
        CHECK(worst[1] <= 1e-6);
    }
}

int main(void) {
    RUN(keys_lose_the_turned_mean_and_get_it_back);
    RUN(the_mean_term_is_what_was_taken_away);
    return test_report();
}
