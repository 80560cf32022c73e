/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the kernels that touch packed codes, against their definitions computed one code at a
 * time: pack and unpack at every size up to 100, the unit of cache tiles as a bijection of bits,
 * the scan of the index in integers, and both products of attention tiles. Every CPU level that
 * this machine has is tested. */
#include "levels.h"
#include "support.h"

#include "codec/codebook.h"
#include "codec/row.h"
#include "kernel/kernel.h"
#include "kernel/unit.h"

/* The table under test; set by main. */
static struct quash_kernels table;
static const struct quash_kernels *const kernels = &table;

static void fill_codes(struct test_rng *rng, uint8_t *codes, size_t n, int32_t bits) {
    for (size_t i = 0; i < n; i++) {
        codes[i] = (uint8_t)test_below(rng, (size_t)1 << bits);
    }
}

/* ---- Canonical rows ---------------------------------------------------------------------- */

static uint32_t bit_at(const uint8_t *packed, size_t bit) {
    return (uint32_t)packed[bit / 8] >> bit % 8 & 1u;
}

/* Code i of n packed ones. */
static uint32_t code_at(const uint8_t *packed, size_t n, int32_t bits, size_t i) {
    if (bits == 3) {
        const uint8_t *const high = packed + (2 * n + 7) / 8;
        return bit_at(packed, 2 * i) | bit_at(packed, 2 * i + 1) << 1 | bit_at(high, i) << 2;
    }
    uint32_t code = 0;
    for (int32_t b = 0; b < bits; b++) {
        code |= bit_at(packed, i * (size_t)bits + (size_t)b) << b;
    }
    return code;
}

static size_t ones(const uint8_t *bytes, size_t n) {
    size_t count = 0;
    for (size_t i = 0; i < 8 * n; i++) {
        count += bit_at(bytes, i);
    }
    return count;
}

TEST(pack_and_unpack_are_inverse) {
    struct test_rng rng = test_rng_start(1);
    for (int32_t bits = 1; bits <= 4; bits++) {
        for (size_t n = 0; n <= 100; n++) {
            uint8_t codes[101];
            uint8_t packed[64];
            uint8_t back[101];
            const size_t bytes = quash_packed_bytes(n, bits);
            size_t code_ones = 0;
            memset(packed, 0xEE, sizeof packed);
            memset(back, 0xEE, sizeof back);
            fill_codes(&rng, codes, n, bits);
            kernels->pack[bits - 1](codes, n, packed);
            kernels->unpack[bits - 1](packed, n, back);
            CHECK(memcmp(codes, back, n) == 0);
            CHECK_EQ(packed[bytes], 0xEE);
            CHECK_EQ(back[n], 0xEE);
            for (size_t i = 0; i < n; i++) {
                CHECK_EQ(code_at(packed, n, bits, i), codes[i]);
                code_ones += ones(&codes[i], 1);
            }
            CHECK_EQ(ones(packed, bytes), code_ones); /* unused bits are 0 */
        }
    }
}

TEST(packed_size_is_what_the_header_says) {
    for (size_t n = 1; n <= 300; n++) {
        CHECK_EQ(quash_packed_bytes(n, 1), (n + 7) / 8);
        CHECK_EQ(quash_packed_bytes(n, 2), (2 * n + 7) / 8);
        CHECK_EQ(quash_packed_bytes(n, 3), (n + 3) / 4 + (n + 7) / 8);
        CHECK_EQ(quash_packed_bytes(n, 4), (4 * n + 7) / 8);
    }
}

/* ---- Units ------------------------------------------------------------------------------- */

/* Each code has bits of its own, and together they are all bits of the unit. */
TEST(unit_is_a_bijection) {
    for (int32_t bits = 2; bits <= 4; bits++) {
        const size_t bytes = quash_unit_bytes(bits);
        uint8_t covered[256] = { 0 };
        for (size_t lane = 0; lane < QUASH_UNIT_LANES; lane++) {
            for (size_t element = 0; element < QUASH_UNIT_ELEMENTS; element++) {
                uint8_t unit[256] = { 0 };
                quash_unit_put(unit, bits, lane, element, (1u << bits) - 1);
                CHECK_EQ(ones(unit, sizeof unit), bits);
                CHECK_EQ(quash_unit_get(unit, bits, lane, element), (1u << bits) - 1);
                for (size_t i = 0; i < sizeof unit; i++) {
                    CHECK((covered[i] & unit[i]) == 0);
                    covered[i] = (uint8_t)(covered[i] | unit[i]);
                }
            }
        }
        CHECK_EQ(ones(covered, bytes), 8 * bytes);
        CHECK_EQ(ones(covered, sizeof covered), 8 * bytes);
    }
}

TEST(unit_keeps_every_code) {
    struct test_rng rng = test_rng_start(2);
    for (int32_t bits = 2; bits <= 4; bits++) {
        uint8_t codes[QUASH_UNIT_LANES][QUASH_UNIT_ELEMENTS];
        uint8_t unit[256];
        memset(unit, 0xA5, sizeof unit);
        for (int round = 0; round < 3; round++) { /* overwriting as well */
            fill_codes(&rng, codes[0], sizeof codes, bits);
            for (size_t i = 0; i < sizeof codes; i++) {
                quash_unit_put(unit, bits, i % QUASH_UNIT_LANES, i / QUASH_UNIT_LANES,
                               codes[i % QUASH_UNIT_LANES][i / QUASH_UNIT_LANES]);
            }
            for (size_t lane = 0; lane < QUASH_UNIT_LANES; lane++) {
                for (size_t element = 0; element < QUASH_UNIT_ELEMENTS; element++) {
                    CHECK_EQ(quash_unit_get(unit, bits, lane, element), codes[lane][element]);
                }
            }
        }
    }
}

/* ---- Scan -------------------------------------------------------------------------------- */

static void check_scan(struct test_rng *rng, int32_t bits, size_t n, size_t rows, size_t queries) {
    const int8_t *const integers = quash_codebook_for(bits)->values;
    const size_t stride = quash_packed_bytes(n, bits) + 4;
    uint8_t *const packed = test_alloc(rows * stride);
    int8_t *const digits = test_alloc(queries * n);
    int32_t *const sums = test_alloc((rows * queries + 1) * sizeof *sums);
    for (size_t i = 0; i < rows * stride; i++) {
        packed[i] = (uint8_t)test_word(rng);
    }
    for (size_t i = 0; i < queries * n; i++) {
        digits[i] = (int8_t)((int)test_below(rng, 255) - 127);
    }
    sums[rows * queries] = 12345;
    kernels->scan[bits - 1](integers, packed, rows, stride, n, digits, queries, sums);
    for (size_t r = 0; r < rows; r++) {
        for (size_t j = 0; j < queries; j++) {
            int64_t sum = 0;
            for (size_t i = 0; i < n; i++) {
                sum += integers[code_at(packed + r * stride, n, bits, i)] * digits[j * n + i];
            }
            CHECK_EQ(sums[r * queries + j], sum);
        }
    }
    CHECK_EQ(sums[rows * queries], 12345);
    free(packed);
    free(digits);
    free(sums);
}

TEST(scan_is_an_integer_product) {
    static const size_t sizes[] = { 0, 32, 64, 96, 128, 480, 512, 544, 1056 };
    struct test_rng rng = test_rng_start(3);
    for (int32_t bits = 1; bits <= 4; bits++) {
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            for (size_t rows = 0; rows <= 5; rows++) {
                check_scan(&rng, bits, sizes[i], rows, 1 + rows % 3);
            }
            check_scan(&rng, bits, sizes[i], 3, 0);
            check_scan(&rng, bits, sizes[i], 2, 17);
        }
        check_scan(&rng, bits, 5024, 9, 8); /* more than the variants take at once */
        check_scan(&rng, bits, 5024, 3, 3);
    }
}

/* The largest sum there is: every code outermost, every digit 127, at the largest dim. */
TEST(scan_holds_the_largest_sum) {
    static uint8_t packed[QUASH_DIM_MAX / 2];
    static int8_t digits[QUASH_DIM_MAX];
    memset(packed, 0xFF, sizeof packed);
    for (int sign = -1; sign <= 1; sign += 2) {
        memset(digits, sign * 127, sizeof digits);
        for (int32_t bits = 1; bits <= 4; bits++) {
            const struct quash_codebook *const book = quash_codebook_for(bits);
            CHECK(book->values[2 * book->half - 1] <= (bits == 4 ? 63 : 32)); /* kernel.h */
            int32_t sum = 0;
            kernels->scan[bits - 1](book->values, packed, 1, sizeof packed, QUASH_DIM_MAX, digits,
                                    1, &sum);
            CHECK_EQ(sum, sign * 127 * QUASH_DIM_MAX * book->values[2 * book->half - 1]);
        }
    }
}

/* ---- Tiles ------------------------------------------------------------------------------- */

#define TOKENS QUASH_TILE_TOKENS
#define DIMS 96
#define PITCH 100 /* dim_stride: rows of queries and of results are apart */

static uint8_t tile[TOKENS * DIMS / 2];
static uint8_t tile_codes[TOKENS][DIMS];

/* Random codes in a tile of keys (a lane is a token) or of values (a lane is a dimension). */
static void fill_tile(struct test_rng *rng, int32_t bits, size_t dims, bool keys) {
    memset(tile, 0, sizeof tile);
    for (size_t t = 0; t < TOKENS; t++) {
        fill_codes(rng, tile_codes[t], dims, bits);
        for (size_t i = 0; i < dims; i++) {
            const size_t lane = keys ? t : i;
            const size_t element = keys ? i : t;
            const size_t units = keys ? dims / QUASH_UNIT_ELEMENTS : TOKENS / QUASH_UNIT_ELEMENTS;
            const size_t unit = lane / QUASH_UNIT_LANES * units + element / QUASH_UNIT_ELEMENTS;
            quash_unit_put(tile + unit * quash_unit_bytes(bits), bits, lane % QUASH_UNIT_LANES,
                           element % QUASH_UNIT_ELEMENTS, tile_codes[t][i]);
        }
    }
}

/* A float sum of n products errs by at most n * 2^-24 of the sum of magnitudes; n <= 96 here. */
TEST(tile_scores_are_dot_products) {
    struct test_rng rng = test_rng_start(4);
    static float q[QUASH_TILE_ROWS_MAX * PITCH];
    static float scores[QUASH_TILE_ROWS_MAX + 1][TOKENS];
    for (int32_t bits = 2; bits <= 4; bits++) {
        const int8_t *const integers = quash_codebook_for(bits)->values;
        for (size_t rows = 0; rows <= QUASH_TILE_ROWS_MAX; rows++) {
            const size_t dims = 32 + rows % 3 * 32;
            fill_tile(&rng, bits, dims, true);
            test_fill_gaussian(&rng, q, COUNT_OF(q));
            scores[rows][0] = 77.0f;
            kernels->tile_scores[bits - 2](integers, tile, dims, q, PITCH, rows, scores);
            for (size_t r = 0; r < rows; r++) {
                for (size_t t = 0; t < TOKENS; t++) {
                    double sum = 0.0;
                    double size = 0.0;
                    for (size_t i = 0; i < dims; i++) {
                        const double product =
                            (double)q[r * PITCH + i] * integers[tile_codes[t][i]];
                        sum += product;
                        size += fabs(product);
                    }
                    CHECK_NEAR((double)scores[r][t], sum, 1e-5 * size);
                }
            }
            CHECK(scores[rows][0] == 77.0f);
        }
    }
}

TEST(tile_accumulate_adds_weighted_rows) {
    struct test_rng rng = test_rng_start(5);
    static float weights[QUASH_TILE_ROWS_MAX][TOKENS];
    static float out[(QUASH_TILE_ROWS_MAX + 1) * PITCH];
    static float before[(QUASH_TILE_ROWS_MAX + 1) * PITCH];
    for (int32_t bits = 2; bits <= 4; bits++) {
        const int8_t *const integers = quash_codebook_for(bits)->values;
        for (size_t rows = 0; rows <= QUASH_TILE_ROWS_MAX; rows++) {
            const size_t dims = 16 + rows % 6 * 16;
            fill_tile(&rng, bits, dims, false);
            test_fill_gaussian(&rng, weights[0], sizeof weights / sizeof(float));
            test_fill_gaussian(&rng, out, COUNT_OF(out));
            memcpy(before, out, sizeof out);
            kernels->tile_accumulate[bits - 2](integers, tile, dims, (const float(*)[64])weights,
                                               rows, out, PITCH);
            for (size_t r = 0; r <= QUASH_TILE_ROWS_MAX; r++) {
                for (size_t i = 0; i < PITCH; i++) {
                    double sum = (double)before[r * PITCH + i];
                    double size = fabs(sum);
                    for (size_t t = 0; r < rows && i < dims && t < TOKENS; t++) {
                        const double product = (double)weights[r][t] * integers[tile_codes[t][i]];
                        sum += product;
                        size += fabs(product);
                    }
                    CHECK_NEAR((double)out[r * PITCH + i], sum, 1e-5 * size);
                }
            }
        }
    }
}

int main(void) {
    RUN(packed_size_is_what_the_header_says);
    RUN(unit_is_a_bijection);
    RUN(unit_keeps_every_code);
    for (int i = QUASH_CPU_C; i < QUASH_CPU_LEVELS; i++) {
        const enum quash_cpu_level level = (enum quash_cpu_level)i;
        if (!test_level(level)) {
            continue;
        }
        quash_kernels_fill(&table, level);
        RUN(pack_and_unpack_are_inverse);
        RUN(scan_is_an_integer_product);
        RUN(scan_holds_the_largest_sum);
        RUN(tile_scores_are_dot_products);
        RUN(tile_accumulate_adds_weighted_rows);
    }
    return test_report();
}
