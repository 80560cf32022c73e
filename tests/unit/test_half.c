/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the conversions of binary16 and bfloat16: all 65,536 patterns survive the way to binary32
 * and back, and binary32 rounds to the nearest, ties to even, checked against a reference in double
 * at every midpoint, at its neighbours, at the borders of the ranges and at random patterns. */
#include <fenv.h>

#include "support.h"

#include "base/half.h"

struct format {
    int fraction_bits;
    int exponent_bits;
};

static const struct format binary16 = { 10, 5 };
static const struct format bfloat16 = { 7, 8 };

/* Pattern of the nearest number of the format; double arithmetic, exact up to nearbyint. */
static uint16_t reference(struct format format, float value) {
    const int bias = (1 << (format.exponent_bits - 1)) - 1;
    const double magnitude = fabs((double)value);
    const uint32_t sign = signbit(value) ? 0x8000u : 0u;
    const uint32_t infinity = ((1u << format.exponent_bits) - 1u) << format.fraction_bits;
    if (isinf(value)) {
        return (uint16_t)(sign | infinity);
    }
    int exponent = 1 - bias;
    if (magnitude > 0.0 && ilogb(magnitude) > exponent) {
        exponent = ilogb(magnitude);
    }
    const double units = nearbyint(ldexp(magnitude, format.fraction_bits - exponent));
    /* units * 2^(exponent - fraction_bits); a normal number has units >= 2^fraction_bits, and a
     * carry to 2^(fraction_bits + 1) moves on to the next exponent by itself. */
    const uint32_t pattern =
        (uint32_t)units + ((uint32_t)(exponent + bias - 1) << format.fraction_bits);
    return (uint16_t)(sign | (pattern < infinity ? pattern : infinity));
}

static int f16_is_nan(uint32_t half) {
    return (half & 0x7C00u) == 0x7C00u && (half & 0x3FFu) != 0;
}

static int bf16_is_nan(uint32_t half) {
    return (half & 0x7F80u) == 0x7F80u && (half & 0x7Fu) != 0;
}

static bool rounds_as_reference(float value) {
    return quash_f32_to_f16(value) == reference(binary16, value) &&
           quash_f32_to_bf16(value) == reference(bfloat16, value);
}

TEST(every_half_survives) {
    for (uint32_t half = 0; half < 65536; half++) {
        const float value = quash_f16_to_f32((uint16_t)half);
        const uint16_t back = quash_f32_to_f16(value);
        if (f16_is_nan(half)) {
            CHECK(isnan(value) && f16_is_nan(back) && (back & 0x8000u) == (half & 0x8000u));
        } else {
            CHECK(back == half && !isnan(value));
        }
    }
}

TEST(every_half_has_its_value) {
    for (uint32_t half = 0; half < 0x7C00u; half++) {
        const int exponent = (int)(half >> 10);
        const double fraction = (double)(half & 1023u);
        const double value =
            exponent == 0 ? ldexp(fraction, -24) : ldexp(1024.0 + fraction, exponent - 25);
        CHECK((double)quash_f16_to_f32((uint16_t)half) == value);
        CHECK((double)quash_f16_to_f32((uint16_t)(half | 0x8000u)) == -value);
    }
    CHECK(signbit(quash_f16_to_f32(0x8000u)));
    CHECK(isinf(quash_f16_to_f32(0x7C00u)) && quash_f16_to_f32(0x7C00u) > 0.0f);
    CHECK(isinf(quash_f16_to_f32(0xFC00u)) && quash_f16_to_f32(0xFC00u) < 0.0f);
    CHECK(quash_f16_to_f32(0x7BFFu) == QUASH_F16_MAX);
}

TEST(every_bfloat16_survives) {
    for (uint32_t half = 0; half < 65536; half++) {
        const float value = quash_bf16_to_f32((uint16_t)half);
        const uint16_t back = quash_f32_to_bf16(value);
        if (bf16_is_nan(half)) {
            CHECK(isnan(value) && bf16_is_nan(back) && (back & 0x8000u) == (half & 0x8000u));
        } else {
            CHECK(back == half && !isnan(value));
            CHECK(quash_f32_bits(value) == half << 16);
        }
    }
}

/* Half-way between neighbours, and one binary32 to either side. */
TEST(ties_and_their_neighbours) {
    for (uint32_t half = 0; half < 0x7C00u; half++) {
        const float low = quash_f16_to_f32((uint16_t)half);
        const float high = half == 0x7BFFu ? 65536.0f : quash_f16_to_f32((uint16_t)(half + 1));
        const uint32_t middle = quash_f32_bits(0.5f * (low + high));
        for (uint32_t bits = middle - 1; bits <= middle + 1; bits++) {
            CHECK(rounds_as_reference(quash_f32_from_bits(bits)));
            CHECK(rounds_as_reference(quash_f32_from_bits(bits | 0x80000000u)));
        }
    }
    for (uint32_t half = 0; half < 0x7F80u; half++) {
        const uint32_t middle = half << 16 | 0x8000u;
        for (uint32_t bits = middle - 1; bits <= middle + 1; bits++) {
            CHECK(rounds_as_reference(quash_f32_from_bits(bits)));
            CHECK(rounds_as_reference(quash_f32_from_bits(bits | 0x80000000u)));
        }
    }
}

TEST(borders_of_the_range) {
    CHECK_EQ(quash_f32_to_f16(65504.0f), 0x7BFF);
    CHECK_EQ(quash_f32_to_f16(65519.996f), 0x7BFF);
    CHECK_EQ(quash_f32_to_f16(65520.0f), 0x7C00);
    CHECK_EQ(quash_f32_to_f16(-65520.0f), 0xFC00);
    CHECK_EQ(quash_f32_to_f16(0x1p-14f), 0x0400);
    CHECK_EQ(quash_f32_to_f16(0x1.ffcp-15f), 0x0400); /* tie between 0x3FF and 0x400 */
    CHECK_EQ(quash_f32_to_f16(0x1p-24f), 0x0001);
    CHECK_EQ(quash_f32_to_f16(0x1p-25f), 0x0000); /* tie, to even */
    CHECK_EQ(quash_f32_to_f16(0x1.000002p-25f), 0x0001);
    CHECK_EQ(quash_f32_to_f16(-0x1p-149f), 0x8000);
    CHECK_EQ(quash_f32_to_f16(INFINITY), 0x7C00);
    CHECK_EQ(quash_f32_to_f16(-INFINITY), 0xFC00);
    CHECK_EQ(quash_f32_to_bf16(0x1.fep127f), 0x7F7F);
    CHECK_EQ(quash_f32_to_bf16(0x1.fefffep127f), 0x7F7F);
    CHECK_EQ(quash_f32_to_bf16(0x1.ffp127f), 0x7F80);
    CHECK_EQ(quash_f32_to_bf16(INFINITY), 0x7F80);
    CHECK_EQ(quash_f32_to_bf16(-INFINITY), 0xFF80);
    /* NaN whose payload lies in the bits that are cut off. */
    CHECK(f16_is_nan(quash_f32_to_f16(quash_f32_from_bits(0x7F800001u))));
    CHECK(f16_is_nan(quash_f32_to_f16(quash_f32_from_bits(0xFFFFFFFFu))));
    CHECK(bf16_is_nan(quash_f32_to_bf16(quash_f32_from_bits(0x7F800001u))));
    CHECK(bf16_is_nan(quash_f32_to_bf16(quash_f32_from_bits(0xFFFFFFFFu))));
    CHECK(bf16_is_nan(quash_f32_to_bf16(quash_f32_from_bits(0x7FFFFFFFu))));
}

TEST(random_patterns) {
    struct test_rng rng = test_rng_start(1);
    for (int i = 0; i < 1000000; i++) {
        const float value = quash_f32_from_bits((uint32_t)test_word(&rng));
        if (!isnan(value) && !rounds_as_reference(value)) {
            CHECK(rounds_as_reference(value));
            printf("    at %a\n", (double)value);
        }
    }
}

/* Integer arithmetic only: the host's rounding mode has no say. */
TEST(rounding_mode_has_no_say) {
    struct test_rng rng = test_rng_start(2);
    for (int i = 0; i < 1000; i++) {
        const float value = quash_f32_from_bits((uint32_t)test_word(&rng));
        const uint16_t f16 = quash_f32_to_f16(value);
        const uint16_t bf16 = quash_f32_to_bf16(value);
        const int before = fegetround();
        fesetround(FE_TOWARDZERO);
        const bool same = quash_f32_to_f16(value) == f16 && quash_f32_to_bf16(value) == bf16;
        fesetround(before);
        CHECK(same);
    }
}

int main(void) {
    RUN(every_half_survives);
    RUN(every_half_has_its_value);
    RUN(every_bfloat16_survives);
    RUN(ties_and_their_neighbours);
    RUN(borders_of_the_range);
    RUN(random_patterns);
    RUN(rounding_mode_has_no_say);
    return test_report();
}
