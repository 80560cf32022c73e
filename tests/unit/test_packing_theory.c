/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that quash_pack_bits writes the bytes of the original Python package and loses nothing,
 * and that the theory functions are the formulas of the paper: lower bound, what this library does
 * and upper bound in this order, NaN out of range. */
#include <quash/theory.h>

#include "support.h"

/* ---- Packing ------------------------------------------------------------------------------- */

struct example {
    int32_t bits;
    size_t dim;
    uint8_t codes[8];
    uint8_t packed[8];
};

/* Least significant bit first, worked out by hand. */
static const struct example examples[] = {
    { 1, 8, { 1, 0, 0, 1, 1, 0, 1, 0 }, { 0x59 } },
    { 1, 3, { 1, 1, 1 }, { 0x07 } },
    { 2, 4, { 1, 2, 3, 0 }, { 0x39 } },
    { 2, 5, { 0, 1, 2, 3, 2 }, { 0xE4, 0x02 } },
    { 3, 8, { 1, 2, 3, 4, 5, 6, 7, 0 }, { 0xD1, 0x58, 0x1F } },
    { 3, 8, { 7, 0, 7, 0, 7, 0, 7, 0 }, { 0xC7, 0x71, 0x1C } },
    { 3, 3, { 0, 0, 7 }, { 0xC0, 0x01 } },
    { 4, 4, { 0x1, 0x2, 0x3, 0xF }, { 0x21, 0xF3 } },
    { 4, 3, { 0xA, 0xB, 0xC }, { 0xBA, 0x0C } },
    { 8, 3, { 0, 128, 255 }, { 0, 128, 255 } },
};

TEST(literal_bytes) {
    for (size_t e = 0; e < COUNT_OF(examples); e++) {
        const struct example *const x = &examples[e];
        const size_t bytes = (x->dim * (size_t)x->bits + 7) / 8;
        uint8_t packed[2 * 8 + 1];
        uint8_t codes[2 * 8 + 1];
        uint8_t twice[2 * 8];
        memcpy(twice, x->codes, x->dim);
        memcpy(twice + x->dim, x->codes, x->dim);
        memset(packed, 0xAA, sizeof packed);
        memset(codes, 0xAA, sizeof codes);
        CHECK_EQ(quash_pack_bits(twice, 2, (int64_t)x->dim, x->bits, packed), QUASH_OK);
        CHECK(memcmp(packed, x->packed, bytes) == 0);
        CHECK(memcmp(packed + bytes, x->packed, bytes) == 0);
        CHECK_EQ(packed[2 * bytes], 0xAA);
        CHECK_EQ(quash_unpack_bits(packed, 2, (int64_t)x->dim, x->bits, codes), QUASH_OK);
        CHECK(memcmp(codes, twice, 2 * x->dim) == 0);
        CHECK_EQ(codes[2 * x->dim], 0xAA);
    }
}

/* Buffers are of the exact size, for the sanitizers. */
TEST(packing_loses_nothing) {
    static const int32_t widths[] = { 1, 2, 3, 4, 8 };
    struct test_rng rng = test_rng_start(61);
    for (size_t w = 0; w < COUNT_OF(widths); w++) {
        for (size_t dim = 1; dim <= 70; dim++) {
            const size_t rows = 1 + dim % 4;
            const size_t bytes = (dim * (size_t)widths[w] + 7) / 8;
            uint8_t *const codes = test_alloc(rows * dim);
            uint8_t *const again = test_alloc(rows * dim);
            uint8_t *const packed = test_alloc(rows * bytes);
            for (size_t i = 0; i < rows * dim; i++) {
                codes[i] = (uint8_t)test_below(&rng, (size_t)1 << widths[w]);
            }
            memset(packed, 0xFF, rows * bytes);
            CHECK_EQ(quash_pack_bits(codes, (int64_t)rows, (int64_t)dim, widths[w], packed),
                     QUASH_OK);
            CHECK_EQ(quash_unpack_bits(packed, (int64_t)rows, (int64_t)dim, widths[w], again),
                     QUASH_OK);
            CHECK(memcmp(codes, again, rows * dim) == 0);
            const unsigned used = (unsigned)(dim * (size_t)widths[w] - 8 * (bytes - 1));
            for (size_t r = 0; r < rows; r++) { /* bits behind a row are 0 */
                CHECK_EQ(packed[r * bytes + bytes - 1] >> used, 0);
            }
            free(codes);
            free(again);
            free(packed);
        }
    }
    CHECK_EQ(quash_pack_bits(NULL, 0, 5, 3, NULL), QUASH_OK);
    CHECK_EQ(quash_unpack_bits(NULL, 0, 5, 3, NULL), QUASH_OK);
}

/* ---- Theory -------------------------------------------------------------------------------- */

/* Of the frozen levels for N(0,1), to be met at large dims: doc/numerics.md. */
static const double level_errors[] = { 1.0, 0.363380, 0.117482, 0.034589 };

TEST(values_of_the_formulas) {
    CHECK_NEAR(quash_theory_mse_bound(0), 2.720699046351327, 1e-12);
    CHECK_NEAR(quash_theory_mse_bound(1), 0.680174761587832, 1e-12);
    CHECK_NEAR(quash_theory_mse_bound(4), 0.010627730649810, 1e-12);
    CHECK(quash_theory_mse_lower_bound(0) == 1.0);
    CHECK(quash_theory_mse_lower_bound(3) == 0.015625);
    CHECK_NEAR(quash_theory_product_bound(1, 1), 4.273664068323042, 1e-12);
    CHECK_NEAR(quash_theory_product_bound(128, 3) * 128.0, 0.267104004270190, 1e-12);
    CHECK(quash_theory_product_lower_bound(64, 2) == 0.0625 / 64.0);
    CHECK_NEAR(quash_theory_product_variance(128, 1) * 128.0, 1.562983826794897, 1e-12);
    CHECK_NEAR(quash_theory_product_variance(2, 1), (1.5707963267948966 - 0.5) / 2.0, 1e-12);
    for (int32_t bits = 1; bits <= 4; bits++) {
        const double large = quash_theory_product_variance(QUASH_DIM_MAX, bits) * QUASH_DIM_MAX;
        CHECK_NEAR(large / (1.5707963267948966 * level_errors[bits - 1]), 1.0, 5e-4);
    }
}

TEST(not_a_number_out_of_range) {
    static const int32_t bad_bits[] = { -1, 0, 5, INT32_MIN, INT32_MAX };
    static const int32_t bad_dims[] = { 0, 1, -5, QUASH_DIM_MAX + 1, INT32_MIN, INT32_MAX };
    CHECK(isnan(quash_theory_mse_bound(-1)) && isnan(quash_theory_mse_bound(INT32_MIN)));
    CHECK(isnan(quash_theory_mse_lower_bound(-1)));
    CHECK(quash_theory_mse_lower_bound(INT32_MAX) == 0.0);
    CHECK(isnan(quash_theory_product_bound(8, 0)) && isnan(quash_theory_product_bound(0, 1)));
    CHECK(isnan(quash_theory_product_bound(-8, 1)));
    CHECK(isnan(quash_theory_product_lower_bound(8, 0)));
    CHECK(isnan(quash_theory_product_lower_bound(-1, 2)));
    CHECK(!isnan(quash_theory_product_bound(1, 9)));
    for (size_t i = 0; i < COUNT_OF(bad_bits); i++) {
        CHECK(isnan(quash_theory_product_variance(64, bad_bits[i])));
    }
    for (size_t i = 0; i < COUNT_OF(bad_dims); i++) {
        CHECK(isnan(quash_theory_product_variance(bad_dims[i], 3)));
    }
    CHECK(!isnan(quash_theory_product_variance(2, 1)));
    CHECK(!isnan(quash_theory_product_variance(QUASH_DIM_MAX, 4)));
}

TEST(bounds_enclose_what_is_done) {
    static const int32_t dims[] = { 0, 2, 3, 8, 64, 128, 1000, QUASH_DIM_MAX };
    for (int32_t bits = 1; bits <= 4; bits++) {
        for (size_t d = 0; d < COUNT_OF(dims); d++) {
            const int32_t dim = dims[d];
            double levels[16];
            double error = 0.0;
            CHECK_EQ(quash_codebook_solve(dim, bits, levels, &error), QUASH_OK);
            CHECK(error <= quash_theory_mse_bound(bits));
            CHECK(dim == 0 || dim > 3 || error > 0.0);
            CHECK(dim < 8 || error >= quash_theory_mse_lower_bound(bits));
            if (dim != 0) {
                const double variance = quash_theory_product_variance(dim, bits);
                CHECK(variance <= quash_theory_product_bound(dim, bits));
                CHECK(variance >= quash_theory_product_lower_bound(dim, bits));
            }
        }
        CHECK(quash_theory_mse_lower_bound(bits) < quash_theory_mse_bound(bits));
        CHECK(quash_theory_mse_bound(bits) < quash_theory_mse_bound(bits - 1));
    }
}

int main(void) {
    RUN(literal_bytes);
    RUN(packing_loses_nothing);
    RUN(values_of_the_formulas);
    RUN(not_a_number_out_of_range);
    RUN(bounds_enclose_what_is_done);
    return test_report();
}
