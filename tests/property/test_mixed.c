/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that mixed precision is worth its name: where some channels are outliers it has at most .8
 * of the error of the uniform codec at equal bits, where none are it loses at most 2 %, and the
 * outliers are found. That groups are chosen before the rotation and keep to their channels, and
 * that the inner-product variant is unbiased, with the variance of two independent groups. */
#include "product_support.h"
#include "store/mixed.h"

enum { DIM = 128, ROWS = 2000, OUTLIERS = 16 };

static quash_context *context;
static float rows[ROWS * DIM];
static float decoded[ROWS * DIM];

static const int32_t planted[OUTLIERS] = { 0,  3,  4,  17, 31,  32,  40,  41,
                                           64, 71, 85, 99, 100, 101, 126, 127 };

/* Gaussian rows; the planted channels ten times as large. */
static void fill(bool outliers) {
    struct test_rng rng = test_rng_start(11);
    test_fill_gaussian(&rng, rows, COUNT_OF(rows));
    for (size_t r = 0; outliers && r < ROWS; r++) {
        for (size_t i = 0; i < OUTLIERS; i++) {
            rows[r * DIM + (size_t)planted[i]] *= 10.0f;
        }
    }
}

/* ---- Error at equal bits ------------------------------------------------------------------- */

static double uniform_error(int32_t bits, int32_t policy, int32_t search_level) {
    quash_codec_params params = test_params(DIM, bits);
    params.scale_policy = policy;
    params.search_level = search_level;
    quash_codec *const codec = test_codec(context, &params);
    test_round_trip(codec, rows, ROWS, decoded);
    quash_codec_free(codec);
    return test_squared_error(rows, decoded, COUNT_OF(rows)) / test_dot(rows, rows, COUNT_OF(rows));
}

static double mixed_error(const quash_mixed_params *params) {
    quash_mixed *const mixed = test_mixed(context, params);
    const struct test_codes c = test_codes_new(ROWS, DIM);
    const quash_array in = test_floats(rows, ROWS, DIM);
    const quash_array out = test_floats(decoded, ROWS, DIM);
    const quash_array codes = test_bytes(c.codes, ROWS, DIM);
    CHECK_EQ(quash_mixed_encode(mixed, &in, &codes, c.norms), QUASH_OK);
    CHECK_EQ(quash_mixed_decode(mixed, &codes, c.norms, &out), QUASH_OK);
    test_codes_free(&c);
    quash_mixed_free(mixed);
    return test_squared_error(rows, decoded, COUNT_OF(rows)) / test_dot(rows, rows, COUNT_OF(rows));
}

static const struct rate {
    double bits;
    int32_t preset;
} rates[] = { { 2.25, QUASH_MIXED_2_25 }, { 2.5, QUASH_MIXED_2_5 }, { 3.5, QUASH_MIXED_3_5 } };

/* Mixed error over that of the uniform codecs, averaged at the rate; outliers calibrated. */
static double relative_error(const struct rate *rate, int32_t search_level) {
    int32_t channels[DIM];
    quash_mixed_params params = QUASH_MIXED_PARAMS_INIT;
    CHECK_EQ(quash_mixed_preset_params(&params, rate->preset, DIM), QUASH_OK);
    const quash_array sample = test_floats(rows, 200, DIM);
    CHECK_EQ(quash_outlier_channels(context, &sample, params.outlier_count, channels), QUASH_OK);
    params.outliers = channels;
    params.search_level = search_level;
    quash_mixed *const mixed = test_mixed(context, &params);
    CHECK(quash_mixed_bits(mixed) == rate->bits);
    quash_mixed_free(mixed);
    const double share = (double)params.outlier_count / DIM;
    const double uniform = share * uniform_error(params.outlier_bits, 0, search_level) +
                           (1.0 - share) * uniform_error(params.regular_bits, 0, search_level);
    return mixed_error(&params) / uniform;
}

TEST(error_at_equal_bits) {
    for (int outliers = 0; outliers < 2; outliers++) {
        fill(outliers != 0);
        for (size_t i = 0; i < COUNT_OF(rates); i++) {
            for (int32_t level = 0; level <= 2; level += 2) {
                const double relative = relative_error(&rates[i], level);
                CHECK(relative <= (outliers ? 0.8 : 1.02));
                printf("%s, %.2f bits, search %d: %.3f of the uniform error\n",
                       outliers ? "outliers" : "gaussian", rates[i].bits, (int)level, relative);
            }
        }
    }
}

/* ---- Channels ------------------------------------------------------------------------------ */

TEST(calibration_finds_the_outliers) {
    fill(true);
    int32_t channels[DIM];
    static const int64_t samples[] = { 20, 100, ROWS };
    for (size_t i = 0; i < COUNT_OF(samples); i++) {
        const quash_array sample = quash_array_view(rows, QUASH_F32, 2, samples[i], DIM, 0);
        CHECK_EQ(quash_outlier_channels(context, &sample, OUTLIERS, channels), QUASH_OK);
        CHECK(memcmp(channels, planted, sizeof planted) == 0);
    }
    /* Mean squares, not means or maxima; ties to the lower channel, and the answer ascends. */
    const int8_t small[3][5] = { { 0, 3, -3, 4, 3 }, { 1, -3, 3, 0, 3 }, { 0, 3, -3, 0, -3 } };
    const quash_array sample = quash_array_view(small, QUASH_I8, 2, 3, 5, 0);
    static const int32_t expected[6][5] = { { 0 },       { 1 },          { 1, 2 },
                                            { 1, 2, 4 }, { 1, 2, 3, 4 }, { 0, 1, 2, 3, 4 } };
    for (int32_t count = 0; count <= 5; count++) {
        CHECK_EQ(quash_outlier_channels(context, &sample, count, channels), QUASH_OK);
        CHECK(memcmp(channels, expected[count], (size_t)count * sizeof *channels) == 0);
    }
    CHECK_EQ(quash_outlier_channels(context, &sample, 0, NULL), QUASH_OK);
}

/* Large values do not overflow the energies. */
TEST(calibration_of_huge_values) {
    float huge[2][3] = { { 1e38f, 2e38f, -3e38f }, { 3e38f, 1e38f, 3e38f } };
    int32_t channel = -1;
    const quash_array sample = test_floats(huge[0], 2, 3);
    CHECK_EQ(quash_outlier_channels(context, &sample, 1, &channel), QUASH_OK);
    CHECK_EQ(channel, 2);
}

/* A row that lives on the outliers alone stays there: codes of the other group mean nothing, its
 * scale is 0, and the rotation moves no energy across. After a rotation of all channels there would
 * be nothing to choose. */
TEST(groups_keep_to_their_channels) {
    quash_mixed_params params = QUASH_MIXED_PARAMS_INIT;
    params.dim = DIM;
    params.outliers = planted;
    params.outlier_count = OUTLIERS;
    quash_mixed *const mixed = test_mixed(context, &params);
    struct test_rng rng = test_rng_start(21);
    bool is_outlier[DIM] = { false };
    for (size_t i = 0; i < OUTLIERS; i++) {
        is_outlier[planted[i]] = true;
    }
    for (int g = 0; g < 2; g++) {
        float x[DIM];
        float y[DIM];
        float scales[2];
        uint8_t codes[DIM];
        test_fill_gaussian(&rng, x, DIM);
        for (size_t i = 0; i < DIM; i++) {
            x[i] = is_outlier[i] == (g == 0) ? x[i] : 0.0f;
        }
        const quash_array in = test_floats(x, 1, DIM);
        const quash_array out = test_floats(y, 1, DIM);
        const quash_array bytes = test_bytes(codes, 1, DIM);
        CHECK_EQ(quash_mixed_rotate(mixed, 0, &in, &out), QUASH_OK);
        CHECK_NEAR(test_dot(y, y, DIM) / test_dot(x, x, DIM), 1.0, 1e-5);
        CHECK(test_squared_error(x, y, DIM) > 0.1 * test_dot(x, x, DIM));
        for (size_t i = 0; i < DIM; i++) {
            CHECK(is_outlier[i] == (g == 0) || y[i] == 0.0f);
        }
        CHECK_EQ(quash_mixed_encode(mixed, &in, &bytes, scales), QUASH_OK);
        CHECK(scales[g] > 0.0f && scales[1 - g] == 0.0f);
        for (size_t i = 0; i < DIM; i++) {
            CHECK(codes[i] < (is_outlier[i] ? 8 : 4));
        }
        CHECK_EQ(quash_mixed_decode(mixed, &bytes, scales, &out), QUASH_OK);
        for (size_t i = 0; i < DIM; i++) {
            CHECK(is_outlier[i] == (g == 0) || y[i] == 0.0f);
        }
    }
    quash_mixed_free(mixed);
}

/* ---- Inner products ------------------------------------------------------------------------ */

struct pair {
    size_t dim;
    const float *query;
    const float *x;
};

/* One estimate, of cosine. residual: also what the variance of two independent groups would be. */
static double estimate(const quash_mixed *mixed, const struct pair *pair, double *variance) {
    const size_t dim = pair->dim;
    const struct test_codes c = test_codes_new(1, dim);
    float query[DIM];
    float rotated[DIM];
    float dot = 0.0f;
    const quash_array q = test_floats(pair->query, 1, dim);
    const quash_array x = test_floats(pair->x, 1, dim);
    const quash_array rotated_q = test_floats(query, 1, dim);
    const quash_array rotated_x = test_floats(rotated, 1, dim);
    const quash_array codes = test_bytes(c.codes, 1, dim);
    const quash_array signs = test_bytes(c.signs, 1, dim);
    CHECK_EQ(quash_mixed_rotate(mixed, 0, &q, &rotated_q), QUASH_OK);
    CHECK_EQ(quash_mixed_rotate(mixed, 0, &x, &rotated_x), QUASH_OK);
    CHECK_EQ(quash_mixed_product_encode(mixed, &x, &codes, &signs, c.norms, c.residual_norms),
             QUASH_OK);
    CHECK_EQ(
        quash_mixed_product_dot(mixed, &codes, &signs, c.norms, c.residual_norms, &rotated_q, &dot),
        QUASH_OK);
    *variance = 0.0;
    for (int g = 0; g < 2; g++) {
        const struct quash_channel_group *const group = &mixed->groups[g];
        const int32_t bits = g == 0 ? mixed->params.outlier_bits : mixed->params.regular_bits;
        double missed = 0.0;
        double length = 0.0;
        for (int32_t i = 0; i < group->count; i++) {
            const int32_t at = group->channels[i];
            const double direction = (double)rotated[at] / (double)c.norms[g];
            missed += (double)query[at] *
                      (direction - test_level((size_t)group->count, bits, c.codes[at]));
            length += (double)query[at] * (double)query[at];
        }
        const double gamma = (double)c.residual_norms[g];
        *variance += (double)c.norms[g] * (double)c.norms[g] *
                     (1.5707963267948966 * length * gamma * gamma - missed * missed) / group->count;
    }
    test_codes_free(&c);
    return (double)dot;
}

/* Means over seeds at fixed vectors. Halves that are alike show groups whose matrices are. */
TEST(product_is_unbiased_with_independent_groups) {
    enum { SEEDS = 2000, HALF = 24, WHOLE = 2 * HALF };
    static const int32_t odd_half[HALF] = { 1,  3,  5,  7,  9,  11, 13, 15, 17, 19, 21, 23,
                                            25, 27, 29, 31, 33, 35, 37, 39, 41, 43, 45, 47 };
    struct test_rng rng = test_rng_start(31);
    for (int alike = 0; alike < 2; alike++) {
        float query[WHOLE];
        float x[WHOLE];
        test_fill_gaussian(&rng, query, WHOLE);
        test_fill_gaussian(&rng, x, WHOLE);
        for (size_t i = 0; alike && i < WHOLE; i += 2) {
            query[i] = query[i + 1];
            x[i] = x[i + 1];
        }
        for (int32_t bits = 1; bits <= 3; bits++) {
            struct test_mean error = { 0 };
            struct test_mean square = { 0 };
            struct test_mean expected = { 0 };
            for (uint64_t seed = 0; seed < SEEDS; seed++) {
                quash_mixed_params params = QUASH_MIXED_PARAMS_INIT;
                params.dim = WHOLE;
                params.outliers = odd_half;
                params.outlier_count = alike ? HALF : HALF / 2;
                params.outlier_bits = bits;
                params.regular_bits = bits > 1 && !alike ? bits - 1 : bits;
                params.product = 1;
                params.seed = seed;
                quash_mixed *const mixed = test_mixed(context, &params);
                const struct pair pair = { WHOLE, query, x };
                double variance;
                const double difference =
                    estimate(mixed, &pair, &variance) - test_dot(query, x, WHOLE);
                test_mean_add(&error, difference);
                test_mean_add(&square, difference * difference);
                test_mean_add(&expected, variance);
                quash_mixed_free(mixed);
            }
            const double z = test_mean_get(&error) / test_mean_error(&error);
            const double ratio = test_mean_get(&square) / test_mean_get(&expected);
            CHECK(fabs(z) < 4.0);
            CHECK_NEAR(test_mean_get(&square), test_mean_get(&expected),
                       4.0 * test_mean_error(&square));
            printf("%s halves, %d + 1 bits: z %.2f, variance %.3f of two independent groups\n",
                   alike ? "equal" : "random", (int)bits, z, ratio);
        }
    }
}

int main(void) {
    context = test_context(NULL);
    RUN(error_at_equal_bits);
    RUN(calibration_finds_the_outliers);
    RUN(calibration_of_huge_values);
    RUN(groups_keep_to_their_channels);
    RUN(product_is_unbiased_with_independent_groups);
    quash_context_free(context);
    return test_report();
}
