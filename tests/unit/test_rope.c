/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the tables of RoPE against long double, at positions up to 131,072, and that they have the
 * same bits on every machine; and the polynomials that stand for slow pairs. */
#include "key_stats_support.h"

/* ---- Tables ------------------------------------------------------------------------------ */

static void check_angle(double w, double half_positions, float cosine, float sine) {
    const long double angle = (long double)w * (long double)half_positions / 2.0L;
    /* Half a unit of binary32, and the rounding of w to 2^-53 of itself at the position. */
    const double bound = 0x1p-25 + fabs(w * half_positions) * 0x1p-52;
    CHECK_NEAR(cosine, cosl(angle), bound);
    CHECK_NEAR(sine, sinl(angle), bound);
}

TEST(tables_hold_sines_and_cosines) {
    static const double frequencies[] = { 1.0, 0.5, -0.5, 1e-7, 0.0, 3.0, 6.283185307179586, 1e3 };
    struct test_rng rng = test_rng_start(1);
    struct test_rope test;
    test_rope_make(&test, QUASH_ROPE_HALF, 2 * COUNT_OF(frequencies), 10.0, 64);
    free(test.memory);
    memcpy(test.inv_freq, frequencies, sizeof frequencies);
    test.params.max_position = TEST_POSITIONS;
    test.memory = test_aligned(quash_rope_bytes(&test.params));
    quash_rope_init(&test.rope, &test.params, test.memory);
    CHECK_EQ(test.rope.tiles, TEST_POSITIONS / 64);
    for (size_t i = 0; i < COUNT_OF(frequencies); i++) {
        for (size_t round = 0; round < 200; round++) {
            const size_t tile = (size_t)test_position(&rng, round) / 64;
            const size_t at = i * (size_t)test.rope.tiles + tile;
            check_angle(frequencies[i], 128.0 * (double)tile + 63.0, test.rope.centre_cos[at],
                        test.rope.centre_sin[at]);
        }
        for (size_t j = 0; j < QUASH_MEAN_OFFSETS; j++) {
            const size_t at = i * QUASH_MEAN_OFFSETS + j;
            check_angle(frequencies[i], 2.0 * (double)j + 1.0, test.rope.offset_cos[at],
                        test.rope.offset_sin[at]);
        }
    }
    free(test.memory);
}

/* A checksum of tables that no libm made: the same number on every machine. */
TEST(tables_have_the_same_bits_everywhere) {
    struct test_rope test;
    uint64_t sum = 0;
    test_rope_make(&test, QUASH_ROPE_HALF, 16, 10.0, 64);
    free(test.memory);
    for (size_t i = 0; i < 8; i++) {
        test.inv_freq[i] = 1.0 / (double)(1 + i * i * 37); /* no libm either */
    }
    test.params.max_position = 100000;
    test.memory = test_aligned(quash_rope_bytes(&test.params));
    memset(test.memory, 0, quash_rope_bytes(&test.params));
    quash_rope_init(&test.rope, &test.params, test.memory);
    for (size_t i = 0; i < quash_rope_bytes(&test.params); i++) {
        sum = quash_rng_mix(sum + ((const unsigned char *)test.memory)[i]);
    }
    printf("     checksum %016llx\n", (unsigned long long)sum);
    CHECK(sum == UINT64_C(0x6fe7ce9d1313eca8));
    free(test.memory);
}

TEST(polynomials_stand_for_slow_pairs) {
    struct test_rope test;
    size_t slow = 0;
    test_rope_make(&test, QUASH_ROPE_HALF, 128, 1e4, 64);
    for (size_t i = 0; i < test.rope.pairs; i++) {
        for (int exact = 0; exact < 2; exact++) {
            const size_t n = exact ? test.rope.terms_exact[i] : test.rope.terms_fast[i];
            for (size_t j = 0; n <= QUASH_MEAN_POLYNOMIALS && j < QUASH_MEAN_OFFSETS; j++) {
                double e = 0.0;
                double o = 0.0;
                for (size_t k = 0; k < n; k++) {
                    const size_t at = i * QUASH_MEAN_POLYNOMIALS + k;
                    const size_t basis = k * QUASH_MEAN_OFFSETS + j;
                    e += (double)test.rope.even[at] * (double)test.rope.even_basis[basis];
                    o += (double)test.rope.odd[at] * (double)test.rope.odd_basis[basis];
                }
                /* Beyond the bound: tables and coefficients are binary32. */
                const double bound =
                    (exact ? QUASH_ROPE_EXACT_ERROR : QUASH_ROPE_FAST_ERROR) + 4.0 * 0x1p-24;
                CHECK_NEAR(e, cos(test.inv_freq[i] * ((double)j + 0.5)), bound);
                CHECK_NEAR(o, sin(test.inv_freq[i] * ((double)j + 0.5)), bound);
                slow++;
            }
        }
    }
    CHECK(slow > 64 * QUASH_MEAN_OFFSETS);
    CHECK_EQ(test.rope.terms_fast[0], QUASH_MEAN_POLYNOMIALS + 1); /* w = 1 */
    CHECK(test.rope.terms_fast[63] <= 3 && test.rope.terms_exact[63] <= 4);
    free(test.memory);
}

int main(void) {
    RUN(tables_hold_sines_and_cosines);
    RUN(tables_have_the_same_bits_everywhere);
    RUN(polynomials_stand_for_slow_pairs);
    return test_report();
}
