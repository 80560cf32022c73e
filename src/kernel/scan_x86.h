/* SPDX-License-Identifier: Apache-2.0 */
/* scan_x86.h: the loops of the index scan around a step, for AVX2 and AVX-512 alike.
 *
 * A tile is ROWS rows by up to QUERIES queries. A register holds 16 packed bytes of each of several
 * rows, one row to a 128-bit lane; 16 bytes of codes are a step. So the sum of a row stays within
 * its lane, in four parts that are added up once per tile. A byte carries several codes, so the
 * digits are rearranged once per call: for each step those of every byte's first code, then those
 * of its second, and so on.
 *
 * The file of an instruction set defines VECTOR, GROUP_ROWS (lanes) and ARRANGED_BYTES, includes
 * this header, and then defines the functions declared here and DEFINE_SCAN for each bit width.
 * Bits and width (8, 4 or 1 queries) are constants wherever they are passed. Loops run to a bound
 * known here and leave out by `if` what a width lacks: clang unrolls a loop before it inlines. */
#ifndef QUASH_KERNEL_SCAN_X86_H
#define QUASH_KERNEL_SCAN_X86_H

#include <assert.h>
#include <string.h>

#include "kernel/kernel.h"
#include "kernel/simd_x86.h"

#define GROUPS 2 /* registers of rows in a tile: each load of digits serves both */
#define ROWS (GROUPS * GROUP_ROWS)
#define QUERIES 8
#define OFFSET 64 /* tables hold integer + 64: the instructions multiply unsigned by signed bytes */

/* Processors do not prefetch well for a tile of rows, so each step fetches its share of the next
 * tile, or of what lies this far on, if that is farther. 100,000 rows of 768 bytes in memory, one
 * query, AVX-512 on one core of a Zen 4: 99 -> 33 ns a row. */
#define PREFETCH_BYTES 8192

struct scan {
    const uint8_t *packed;
    size_t rows;
    size_t stride; /* bytes between rows */
    size_t n;
    const int8_t *digits; /* of the first query of up to QUERIES */
    size_t queries;
    int32_t *sums; /* of the first row and that query */
    size_t sums_stride;
};

/* Digits [step][code of a byte][query][16 bytes] of a part of the dimensions, few enough for L1. */
struct arranged {
    _Alignas(64) int8_t digits[ARRANGED_BYTES];
    int32_t starts[QUERIES][4]; /* the sums of a query start from this, in each lane */
};

struct tables; /* integers of codes, as the file's own step looks them up */

struct sums {
    VECTOR of[GROUPS][QUERIES];
};

/* ---- Defined by the file ----------------------------------------------------------------- */

/* Bytes of arranged digits of one step and query. */
static INLINE size_t step_bytes(int bits);

/* Arranges n digits of scan->queries queries from `start` on. Queries that a width has beyond are
 * zero already. */
static INLINE void arrange(int bits, size_t width, const struct scan *scan, size_t start, size_t n,
                           struct arranged *arranged);

static INLINE VECTOR broadcast_16_bytes(const void *p);

/* Adds the products of one step. rows: of the plane of low bits; `high` bytes on are the high bits
 * of 3 bits. part: how many bytes of the 16 a row has, if not all; 0 for all. */
static INLINE void add_step(int bits, size_t width, const struct tables *tables,
                            const uint8_t *const *rows, size_t high, size_t step, uint32_t part,
                            const int8_t *arranged, struct sums *sums);

/* In each lane: the sums of the four parts of a, b, c, d. */
static INLINE VECTOR sum_parts(VECTOR a, VECTOR b, VECTOR c, VECTOR d);

static INLINE void store_vector(void *p, VECTOR x);

/* ---- Sizes ------------------------------------------------------------------------------- */

/* Codes in a byte of the plane of low bits, which is all but the third bit of 3. */
static INLINE size_t codes_per_byte(int bits) {
    return bits == 4 ? 2 : bits == 1 ? 8 : 4;
}

static INLINE size_t step_codes(int bits) {
    return 16 * codes_per_byte(bits);
}

/* ---- Results ----------------------------------------------------------------------------- */

/* Up to 4 sums. */
static INLINE void put(int32_t *to, const int32_t *four, size_t count, int add) {
    if (count >= 4) {
        const __m128i sums = load_16_bytes(four);
        store_16_bytes(to, add ? _mm_add_epi32(sums, load_16_bytes(to)) : sums);
    } else {
        for (size_t i = 0; i < count; i++) {
            to[i] = four[i] + (add ? to[i] : 0);
        }
    }
}

/* Stores the sums of the first `count` rows of a tile from row `row` on, or adds to those of
 * earlier dimensions. */
static INLINE void put_tile(size_t width, const struct scan *scan, size_t row, size_t count,
                            int add, const struct sums *sums) {
    int32_t *const to = scan->sums + row * scan->sums_stride;
    const size_t pitch = scan->sums_stride;
    int32_t lanes[GROUP_ROWS][4];
    if (width == 1) {
        const VECTOR a = sums->of[0][0];
        const VECTOR b = sums->of[1][0];
        store_vector(lanes, sum_parts(a, b, a, b));
        for (size_t r = 0; r < count; r++) {
            put(to + r * pitch, &lanes[r % GROUP_ROWS][r / GROUP_ROWS], 1, add);
        }
        return;
    }
    UNROLL
    for (size_t g = 0; g < GROUPS; g++) {
        UNROLL
        for (size_t j = 0; j < QUERIES; j += 4) {
            if (j < width) {
                const VECTOR *const s = &sums->of[g][j];
                store_vector(lanes, sum_parts(s[0], s[1], s[2], s[3]));
                UNROLL
                for (size_t l = 0; l < GROUP_ROWS; l++) {
                    const size_t r = g * GROUP_ROWS + l;
                    if (r < count) {
                        put(to + r * pitch + j, lanes[l], scan->queries - j, add);
                    }
                }
            }
        }
    }
}

/* ---- Loops ------------------------------------------------------------------------------- */

/* All rows, n codes of each from code `start` on. */
static INLINE void scan_piece(int bits, size_t width, const struct tables *tables,
                              const struct scan *scan, size_t start, size_t n) {
    struct arranged arranged;
    memset(arranged.starts, 0, sizeof arranged.starts);
    const size_t steps = n / step_codes(bits);
    const uint32_t part = (uint32_t)(n % step_codes(bits) / codes_per_byte(bits));
    if (scan->queries < width) {
        memset(arranged.digits, 0, (steps + (part > 0)) * step_bytes(bits) * width);
    }
    arrange(bits, width, scan, start, n, &arranged);
    const size_t high = scan->n / 4 - start / 8;
    const size_t tile_bytes = ROWS * scan->stride;
    const size_t ahead = tile_bytes > PREFETCH_BYTES ? tile_bytes : PREFETCH_BYTES;
    for (size_t r = 0; r < scan->rows; r += ROWS) {
        const size_t last = scan->rows - r < ROWS ? scan->rows - r - 1 : ROWS - 1;
        const uint8_t *rows[ROWS];
        UNROLL
        for (size_t i = 0; i < ROWS; i++) { /* the last row stands in for those that are missing */
            rows[i] = scan->packed + (r + (i < last ? i : last)) * scan->stride +
                      start / codes_per_byte(bits);
        }
        struct sums sums;
        UNROLL
        for (size_t j = 0; j < QUERIES; j++) {
            if (j < width) {
                sums.of[0][j] = broadcast_16_bytes(arranged.starts[j]);
                sums.of[1][j] = sums.of[0][j];
            }
        }
        for (size_t step = 0; step < steps; step++) {
            const size_t bytes = ROWS * (bits == 3 ? 24 : 16);
            for (size_t i = 0; i < bytes; i += 64) {
                _mm_prefetch((const char *)rows[0] + ahead + step * bytes + i, _MM_HINT_T0);
            }
            add_step(bits, width, tables, rows, high, step, 0, arranged.digits, &sums);
        }
        if (part > 0) {
            add_step(bits, width, tables, rows, high, steps, part, arranged.digits, &sums);
        }
        put_tile(width, scan, r, last + 1, start > 0, &sums);
    }
}

static INLINE void scan_pieces(int bits, size_t width, const struct tables *tables,
                               const struct scan *scan) {
    const size_t piece = ARRANGED_BYTES / (step_bytes(bits) * width) * step_codes(bits);
    size_t start = 0;
    do {
        const size_t n = scan->n - start < piece ? scan->n - start : piece;
        scan_piece(bits, width, tables, scan, start, n);
        start += n;
    } while (start < scan->n);
}

static INLINE void scan_all(int bits, const struct tables *tables, struct scan scan) {
    assert(scan.n % 32 == 0);
    for (size_t left = scan.queries; left > 0; left -= scan.queries) {
        scan.queries = left < QUERIES ? left : QUERIES;
        if (scan.queries == 1) {
            scan_pieces(bits, 1, tables, &scan);
        } else if (scan.queries <= 4) {
            scan_pieces(bits, 4, tables, &scan);
        } else {
            scan_pieces(bits, 8, tables, &scan);
        }
        scan.digits += scan.queries * scan.n;
        scan.sums += scan.queries;
    }
}

#define DEFINE_SCAN(bits, isa)                                                                     \
    void quash_scan_##bits##_##isa(const int8_t *integers, const uint8_t *packed, size_t rows,     \
                                   size_t stride, size_t n, const int8_t *digits, size_t queries,  \
                                   int32_t *sums) {                                                \
        const struct tables tables = make_tables(bits, integers);                                  \
        const struct scan scan = { packed, rows, stride, n, digits, queries, sums, queries };      \
        scan_all(bits, &tables, scan);                                                             \
    }

#endif
