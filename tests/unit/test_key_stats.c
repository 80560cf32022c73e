/* SPDX-License-Identifier: Apache-2.0 */
/* Proves how key statistics are frozen, against double straight from the definition: how pairs are
 * chosen, what the scale is, and what happens to keys without energy and to the largest numbers. */
#include "key_stats_support.h"

#include <float.h>

/* ---- Freezing ---------------------------------------------------------------------------- */

#define FIRST 4
#define COUNT 124

struct sample {
    float keys[COUNT * QUASH_HEAD_DIM_MAX];
    double squares[QUASH_HEAD_DIM_MAX];
};

/* Keys around a mean of their own, after RoPE, each coordinate as large as sizes[i]. */
static void fill_sample(struct test_rng *rng, const struct test_rope *test, size_t dim,
                        const double *mean, const double *sizes, struct sample *sample) {
    for (size_t t = 0; t < COUNT; t++) {
        double key[QUASH_HEAD_DIM_MAX];
        double turned[QUASH_HEAD_DIM_MAX];
        for (size_t i = 0; i < dim; i++) {
            key[i] = mean[i] + sizes[i] * test_normal(rng);
        }
        test_rope_turn(test, dim, (double)(FIRST + t), 1.0, key, turned);
        for (size_t i = 0; i < dim; i++) {
            sample->keys[t * dim + i] = (float)turned[i];
        }
    }
}

/* Mean and residual energy in double, straight. */
static void statistics(const struct test_rope *test, size_t dim, const struct sample *sample,
                       const float *taken, double *mean, double *energy) {
    memset(mean, 0, dim * sizeof *mean);
    memset(energy, 0, dim * sizeof *energy);
    for (size_t t = 0; t < COUNT; t++) {
        double key[QUASH_HEAD_DIM_MAX];
        double back[QUASH_HEAD_DIM_MAX];
        for (size_t i = 0; i < dim; i++) {
            key[i] = (double)sample->keys[t * dim + i];
        }
        test_rope_turn(test, dim, (double)(FIRST + t), -1.0, key, back);
        for (size_t i = 0; i < dim; i++) {
            const double rest = back[i] - (taken != NULL ? (double)taken[i] : 0.0);
            mean[i] += back[i] / COUNT;
            energy[i] += rest * rest / COUNT;
        }
    }
}

TEST(freezing_takes_the_mean_of_the_heaviest_pairs) {
    struct test_rng rng = test_rng_start(4);
    static struct sample sample;
    for (size_t s = 0; s < COUNT_OF(test_rope_shapes); s++) {
        const size_t dim = test_rope_shapes[s].dim;
        const size_t pairs = test_rope_shapes[s].rotary_dim / 2;
        struct test_rope test;
        struct quash_key_stats stats;
        double mean[QUASH_HEAD_DIM_MAX];
        double sizes[QUASH_HEAD_DIM_MAX];
        double energy[QUASH_HEAD_DIM_MAX];
        test_rope_make(&test, test_rope_shapes[s].layout, test_rope_shapes[s].rotary_dim,
                       test_rope_shapes[s].base, 128);
        test_stats_make(&stats, dim, &test.rope);
        for (size_t i = 0; i < dim; i++) {
            mean[i] = 3.0 * test_normal(&rng);
            sizes[i] = exp(test_normal(&rng));
        }
        fill_sample(&rng, &test, dim, mean, sizes, &sample);
        statistics(&test, dim, &sample, NULL, mean, energy);
        const struct quash_key_sample keys = { sample.keys, COUNT, FIRST, NULL };
        quash_key_stats_freeze(&stats, &keys, 5, QUASH_PAIR_SCALE_OFF);
        CHECK_EQ(stats.pair_count, pairs < 5 ? pairs : 5);
        double least = HUGE_VAL;
        double most = 0.0;
        for (size_t i = 0; i < pairs; i++) {
            const size_t x = quash_rope_x(&test.rope, i);
            const size_t y = quash_rope_y(&test.rope, i);
            const double length = mean[x] * mean[x] + mean[y] * mean[y];
            if (stats.mean[x] != 0.0f || stats.mean[y] != 0.0f) {
                least = fmin(least, length);
                CHECK_NEAR(stats.mean[x], mean[x], 1e-6 * (1.0 + fabs(mean[x])));
                CHECK_NEAR(stats.mean[y], mean[y], 1e-6 * (1.0 + fabs(mean[y])));
            } else {
                most = fmax(most, length);
            }
        }
        CHECK(least >= most);
        for (size_t i = 2 * pairs; i < dim; i++) {
            CHECK_NEAR(stats.mean[i], mean[i], 1e-6 * (1.0 + fabs(mean[i])));
        }
        quash_key_stats_freeze(&stats, &keys, 0, QUASH_PAIR_SCALE_OFF);
        CHECK(!stats.has_mean && !stats.has_scale && stats.pair_count == 0);
        test_stats_free(&stats);
        free(test.memory);
    }
}

TEST(ties_go_to_the_lower_pair_and_saved_statistics_come_back) {
    struct test_rope test;
    struct quash_key_stats stats;
    struct quash_key_stats copy;
    struct test_rng rng = test_rng_start(5);
    float mean[16] = { 0.0f };
    test_rope_make(&test, QUASH_ROPE_HALF, 16, 1e4, 128);
    test_stats_make(&stats, 16, &test.rope);
    test_stats_make(&copy, 16, &test.rope);
    for (size_t i = 1; i < 8; i++) {
        mean[i + i % 2 * 8] = i == 6 ? 3.0f : -2.0f;
    }
    quash_key_stats_set(&stats, mean, 3, NULL);
    CHECK_EQ(stats.pair_count, 3);
    CHECK(stats.pairs[0] == 1 && stats.pairs[1] == 2 && stats.pairs[2] == 6);
    quash_key_stats_set(&stats, mean, QUASH_MEAN_PAIRS_ALL, NULL);
    CHECK_EQ(stats.pair_count, 7); /* pair 0 is zero */
    test_random_stats(&rng, &stats, 3);
    quash_key_stats_set(&copy, stats.mean, QUASH_MEAN_PAIRS_ALL, stats.scale);
    CHECK_EQ(copy.pair_count, 3);
    CHECK(copy.has_mean && copy.has_scale);
    CHECK(memcmp(copy.mean, stats.mean, 16 * sizeof(float)) == 0);
    CHECK(memcmp(copy.scale, stats.scale, 16 * sizeof(float)) == 0);
    CHECK(memcmp(copy.pairs, stats.pairs, 3 * sizeof *stats.pairs) == 0);
    quash_key_stats_clear(&copy);
    CHECK(!copy.has_mean && !copy.has_scale && copy.scale[3] == 1.0f && copy.mean[3] == 0.0f);
    test_stats_free(&stats);
    test_stats_free(&copy);
    free(test.memory);
}

/* The scale of dims with these energies: a power, with the sum of energies kept. */
static void check_scale(const struct quash_key_stats *stats, const double *keys,
                        const double *queries, double key_power, double query_power) {
    double before = 0.0;
    double after = 0.0;
    double scale[QUASH_HEAD_DIM_MAX];
    for (size_t i = 0; i < stats->dim; i++) {
        scale[i] = pow(keys[i], key_power) * (queries != NULL ? pow(queries[i], query_power) : 1.0);
        before += keys[i];
        after += scale[i] * scale[i] * keys[i];
    }
    for (size_t i = 0; i < stats->dim; i++) {
        const double wanted = scale[i] * sqrt(before / after);
        CHECK_NEAR(stats->scale[i], wanted, 1e-6 * wanted);
    }
}

static void average_of_pairs(const struct quash_rope *rope, double *x) {
    for (size_t i = 0; i < rope->pairs; i++) {
        double *const a = &x[quash_rope_x(rope, i)];
        double *const b = &x[quash_rope_y(rope, i)];
        *a = *b = (*a + *b) / 2.0;
    }
}

TEST(the_scale_is_a_root_of_energies) {
    struct test_rng rng = test_rng_start(6);
    static struct sample sample;
    for (size_t s = 0; s < COUNT_OF(test_rope_shapes); s++) {
        const size_t dim = test_rope_shapes[s].dim;
        struct test_rope test;
        struct quash_key_stats stats;
        double mean[QUASH_HEAD_DIM_MAX];
        double sizes[QUASH_HEAD_DIM_MAX];
        double energy[QUASH_HEAD_DIM_MAX];
        double squares[QUASH_HEAD_DIM_MAX] = { 0.0 };
        test_rope_make(&test, test_rope_shapes[s].layout, test_rope_shapes[s].rotary_dim,
                       test_rope_shapes[s].base, 128);
        test_stats_make(&stats, dim, &test.rope);
        for (size_t i = 0; i < dim; i++) {
            mean[i] = test_normal(&rng);
            sizes[i] = exp(test_normal(&rng));
        }
        fill_sample(&rng, &test, dim, mean, sizes, &sample);
        for (size_t t = 0; t < 40; t++) {
            float query[QUASH_HEAD_DIM_MAX];
            test_fill_gaussian(&rng, query, dim);
            query[0] *= 20.0f;
            quash_key_stats_add_query(dim, query, squares);
        }
        struct quash_key_sample keys = { sample.keys, COUNT, FIRST, NULL };
        quash_key_stats_freeze(&stats, &keys, 16, QUASH_PAIR_SCALE_ON);
        statistics(&test, dim, &sample, stats.mean, mean, energy);
        average_of_pairs(&test.rope, energy);
        check_scale(&stats, energy, NULL, -0.125, 0.0);
        quash_key_stats_freeze(&stats, &keys, 16, QUASH_PAIR_SCALE_FEEDBACK);
        check_scale(&stats, energy, NULL, -0.25, 0.0);
        keys.query_squares = squares;
        quash_key_stats_freeze(&stats, &keys, 16, QUASH_PAIR_SCALE_ON);
        average_of_pairs(&test.rope, squares);
        check_scale(&stats, energy, squares, -0.25, 0.25);
        test_stats_free(&stats);
        free(test.memory);
    }
}

TEST(freezing_survives_keys_without_energy_and_the_largest_numbers) {
    struct test_rng rng = test_rng_start(7);
    static struct sample sample;
    struct test_rope test;
    struct quash_key_stats stats;
    const double zero[64] = { 0.0 };
    double sizes[64] = { 0.0 };
    double squares[64] = { 0.0 };
    float turned[64];
    test_rope_make(&test, QUASH_ROPE_HALF, 64, 1e4, 128);
    test_stats_make(&stats, 64, &test.rope);
    const struct quash_key_sample keys = { sample.keys, COUNT, FIRST, squares };
    for (int round = 0; round < 5; round++) {
        /* All zero; one pair alive; one dead; overflowing; denormal. */
        for (size_t i = 0; i < 64; i++) {
            const bool marked = i % 32 == 3;
            sizes[i] = round == 0   ? 0.0
                       : round == 1 ? (marked ? 1.0 : 0.0)
                       : round == 2 ? (marked ? 0.0 : 1.0)
                       : round == 3 ? 1e37
                                    : 1e-41;
            squares[i] = round == 2 ? 0.0 : (double)(i % 32);
        }
        fill_sample(&rng, &test, 64, zero, sizes, &sample);
        for (size_t i = 0; round == 3 && i < COUNT * 64; i++) {
            sample.keys[i] = i % 3 == 0 ? FLT_MAX : -FLT_MAX;
        }
        quash_key_stats_freeze(&stats, &keys, 16, QUASH_PAIR_SCALE_ON);
        for (size_t i = 0; i < 64; i++) {
            CHECK(stats.scale[i] >= 0x1p-20f && stats.scale[i] <= 0x1p20f);
            CHECK(fabs((double)stats.mean[i]) <= 1e37);
        }
        quash_key_stats_turn(&stats, 1, turned);
        quash_key_stats_apply(&stats, turned, 63, sample.keys);
        for (size_t i = 0; i < 64; i++) {
            CHECK(!isnan(sample.keys[i]));
        }
    }
    test_stats_free(&stats);
    free(test.memory);
}

int main(void) {
    RUN(freezing_takes_the_mean_of_the_heaviest_pairs);
    RUN(ties_go_to_the_lower_pair_and_saved_statistics_come_back);
    RUN(the_scale_is_a_root_of_energies);
    RUN(freezing_survives_keys_without_energy_and_the_largest_numbers);
    return test_report();
}
