/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the codebooks against theory: the solver finds the published Lloyd-Max levels of the
 * normal, the exact solutions at dim 3 and 2, and tends to the normal for large dim; the frozen
 * integer levels lose no more against the optimal real ones than doc/numerics.md says, computed in
 * closed form. */
#include "support.h"

#include "codec/codebook.h"

static double density(double x) {
    return 0.3989422804014327 * exp(-0.5 * x * x);
}

static double below(double x) {
    return 0.5 * erfc(-x * 0.7071067811865476);
}

/* Integral of (x - level)^2 times the normal density over [a, b]. */
static double cell_error(double level, double a, double b) {
    const double mass = below(b) - below(a);
    const double first = density(a) - density(b);
    const double tail_a = isinf(a) ? 0.0 : a * density(a);
    const double tail_b = isinf(b) ? 0.0 : b * density(b);
    return mass + tail_a - tail_b - 2.0 * level * first + level * level * mass;
}

/* Mean squared error of ascending levels for the standard normal, thresholds half-way. */
static double normal_error(const double *levels, size_t count) {
    double error = 0.0;
    for (size_t i = 0; i < count; i++) {
        const double a = i == 0 ? -(double)INFINITY : 0.5 * (levels[i - 1] + levels[i]);
        const double b = i + 1 == count ? (double)INFINITY : 0.5 * (levels[i] + levels[i + 1]);
        error += cell_error(levels[i], a, b);
    }
    return error;
}

/* Max 1960, Lloyd 1982: the positive levels and the errors. */
static const double published[4][8] = {
    { 0.797885 },
    { 0.452780, 1.510418 },
    { 0.245094, 0.756005, 1.343909, 2.151946 },
    { 0.128395, 0.388048, 0.656759, 0.942340, 1.256231, 1.618046, 2.069017, 2.732590 },
};
static const double published_error[4] = { 0.363380, 0.117482, 0.034548, 0.009501 };

TEST(solver_finds_the_published_levels) {
    for (int32_t bits = 1; bits <= 4; bits++) {
        const int32_t half = 1 << (bits - 1);
        double levels[16];
        double nmse;
        CHECK_EQ(quash_codebook_solve(0, bits, levels, &nmse), QUASH_OK);
        for (int32_t i = 0; i < half; i++) {
            CHECK_NEAR(levels[half + i], published[bits - 1][i], 6e-7);
            CHECK(levels[half - 1 - i] == -levels[half + i]);
        }
        CHECK_NEAR(nmse, published_error[bits - 1], 6e-7);
        CHECK_NEAR(nmse, normal_error(levels, (size_t)2 << (bits - 1)), 1e-9);
    }
}

/* At dim 3 a coordinate is uniform on [-sqrt 3, sqrt 3]. */
TEST(solver_is_exact_for_the_uniform) {
    for (int32_t bits = 1; bits <= 4; bits++) {
        const int32_t count = 1 << bits;
        double levels[16];
        double nmse;
        CHECK_EQ(quash_codebook_solve(3, bits, levels, &nmse), QUASH_OK);
        for (int32_t i = 0; i < count; i++) {
            CHECK_NEAR(levels[i], sqrt(3.0) * ((2.0 * i + 1.0) / count - 1.0), 1e-7);
        }
        CHECK_NEAR(nmse, pow(4.0, -bits), 1e-9);
    }
}

/* At dim 2 a coordinate is sqrt 2 sin(t) with t uniform: at 1 bit the level is sqrt 8 / pi; at any,
 * every level is the mean of its cell. */
TEST(solver_is_exact_on_the_circle) {
    const double half_turn = 1.5707963267948966;
    for (int32_t bits = 1; bits <= 4; bits++) {
        const int32_t count = 1 << bits;
        double levels[16];
        double nmse;
        CHECK_EQ(quash_codebook_solve(2, bits, levels, &nmse), QUASH_OK);
        double captured = 0.0;
        for (int32_t i = 0; i < count; i++) {
            const double a =
                i == 0 ? -half_turn : asin(0.5 * (levels[i - 1] + levels[i]) / sqrt(2.0));
            const double b =
                i + 1 == count ? half_turn : asin(0.5 * (levels[i] + levels[i + 1]) / sqrt(2.0));
            CHECK_NEAR(levels[i], sqrt(2.0) * (cos(a) - cos(b)) / (b - a), 1e-8);
            captured += levels[i] * levels[i] * (b - a) / (2.0 * half_turn);
        }
        CHECK_NEAR(nmse, 1.0 - captured, 1e-8); /* cells' means: the error is what they miss */
        if (bits == 1) {
            CHECK_NEAR(levels[1], sqrt(8.0) / 3.141592653589793, 1e-9);
        }
    }
}

TEST(solver_tends_to_the_normal) {
    static const int32_t dims[] = { 4, 8, 16, 64, 128, 256, 1024, 4096, 16384 };
    for (int32_t bits = 1; bits <= 4; bits++) {
        double normal[16];
        double normal_nmse;
        CHECK_EQ(quash_codebook_solve(0, bits, normal, &normal_nmse), QUASH_OK);
        double last = 0.0;
        for (size_t i = 0; i < COUNT_OF(dims); i++) {
            double levels[16];
            double nmse;
            CHECK_EQ(quash_codebook_solve(dims[i], bits, levels, &nmse), QUASH_OK);
            CHECK(nmse > last && nmse < normal_nmse);
            CHECK(normal_nmse - nmse < 4.0 / dims[i] * normal_nmse);
            for (int32_t l = 0; l < 1 << bits; l++) {
                CHECK_NEAR(levels[l], normal[l], 8.0 / dims[i]);
            }
            last = nmse;
        }
    }
}

TEST(integer_levels_lose_what_is_stated) {
    static const double loss_bars[4] = { 1e-6, 5e-6, 0.00125, 0.00225 };
    for (int32_t bits = 1; bits <= 4; bits++) {
        int8_t integers[16];
        float step;
        double levels[16];
        double optimal_nmse;
        const int32_t count = quash_codebook_levels(bits, integers, &step);
        CHECK_EQ(count, 1 << bits);
        CHECK_EQ(quash_codebook_solve(0, bits, levels, &optimal_nmse), QUASH_OK);
        for (int32_t i = 0; i < count; i++) {
            levels[i] = (double)step * integers[i];
        }
        const double loss = normal_error(levels, (size_t)count) / optimal_nmse - 1.0;
        printf("    %d bits: loss of the integer levels %.4f %%\n", (int)bits, 100.0 * loss);
        CHECK(loss <= loss_bars[bits - 1]);
        CHECK(loss >= -1e-9); /* nothing beats the optimum */
    }
}

TEST(frozen_levels_are_the_published_integers) {
    static const int8_t positive[4][8] = {
        { 1 }, { 3, 10 }, { 3, 9, 16, 26 }, { 3, 9, 15, 21, 28, 36, 46, 61 }
    };
    static const double steps[4] = { 0.797885, 0.151042, 0.082974, 0.044797 };
    for (int32_t bits = 1; bits <= 4; bits++) {
        const int32_t half = 1 << (bits - 1);
        const struct quash_codebook *const book = quash_codebook_for(bits);
        int8_t integers[16] = { 0 };
        float step = 0.0f;
        CHECK_EQ(quash_codebook_levels(bits, integers, &step), 2 * half);
        CHECK(step == (float)steps[bits - 1]);
        CHECK_EQ(book->half, half);
        CHECK_EQ(book->bits, bits);
        for (int32_t i = 0; i < half; i++) {
            CHECK_EQ(integers[half + i], positive[bits - 1][i]);
            CHECK_EQ(integers[half - 1 - i], -positive[bits - 1][i]);
        }
        for (int32_t i = 0; i + 1 < half; i++) {
            const double middle =
                0.5 * (double)step * (positive[bits - 1][i] + positive[bits - 1][i + 1]);
            CHECK(book->thresholds[i] == (float)middle);
        }
    }
}

TEST(levels_reject_other_bit_widths) {
    static const int32_t wrong[] = { 0, 5, -1, 8, INT32_MIN, INT32_MAX };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        int8_t integers[16];
        memset(integers, 77, sizeof integers);
        float step = 5.0f;
        CHECK_EQ(quash_codebook_levels(wrong[i], integers, &step), 0);
        CHECK(step == 5.0f);
        for (size_t k = 0; k < 16; k++) {
            CHECK_EQ(integers[k], 77);
        }
    }
}

int main(void) {
    RUN(solver_finds_the_published_levels);
    RUN(solver_is_exact_for_the_uniform);
    RUN(solver_is_exact_on_the_circle);
    RUN(solver_tends_to_the_normal);
    RUN(integer_levels_lose_what_is_stated);
    RUN(frozen_levels_are_the_published_integers);
    RUN(levels_reject_other_bit_widths);
    return test_report();
}
