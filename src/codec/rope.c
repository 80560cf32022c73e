/* SPDX-License-Identifier: Apache-2.0 */
/* rope.c: the tables of a rotary position embedding. An angle is a number of turns in units of
 * 2^-64: multiples of it wrap around by themselves, so that far positions cost no digits. */
#include "codec/rope.h"

#include <math.h>

#include "base/arena.h"

/* The step of half a position, in 2^-64 turns; the error of w / 4 pi is all that multiples have. */
static uint64_t half_step(double w) {
    const double turns = fabs(w) * 0x1.45f306dc9c883p-4; /* 1 / 4 pi */
    const uint64_t step = (uint64_t)((turns - floor(turns)) * 0x1p64);
    return w < 0.0 ? 0 - step : step;
}

/* Cosine and sine to a few units of 2^-53: Taylor series within an eighth of a turn. */
static void turn(uint64_t angle, float *cosine, float *sine) {
    const uint64_t quadrant = (angle + (UINT64_C(1) << 61)) >> 62;
    const double y = (double)(int64_t)(angle - (quadrant << 62)) * 0x1.921fb54442d18p-62;
    const double z = y * y;
    double s = 1.0;
    double c = 1.0;
    for (int n = 16; n > 0; n -= 2) {
        s = 1.0 - z * s / (double)(n * (n + 1));
        c = 1.0 - z * c / (double)(n * (n - 1));
    }
    s *= y;
    *cosine = (float)(quadrant == 0 ? c : quadrant == 1 ? -s : quadrant == 2 ? -c : s);
    *sine = (float)(quadrant == 0 ? s : quadrant == 1 ? c : quadrant == 2 ? -s : -c);
}

/* Bessel function of the first kind of order n, 0 <= z <= BESSEL_MAX, by its power series. */
#define BESSEL_MAX 12.0
static double bessel(int n, double z) {
    const double quarter = z * z / 4.0;
    double term = 1.0;
    for (int i = 1; i <= n; i++) {
        term *= z / (double)(2 * i);
    }
    double sum = term;
    for (int m = 1; m < 40; m++) {
        term = -term * quarter / ((double)m * (double)(m + n));
        sum += term;
    }
    return sum;
}

/* Expands a pair in Chebyshev polynomials (Jacobi and Anger), and says how many terms it takes. */
static void expand(double w, float *even, float *odd, uint8_t *fast, uint8_t *exact) {
    enum { COUNT = QUASH_MEAN_POLYNOMIALS, MORE = 2 * COUNT };
    const double z = fabs(w) * 31.5;
    double rest = 0.0; /* of the series */
    *fast = *exact = COUNT + 1;
    for (int k = 0; k < COUNT; k++) {
        even[k] = odd[k] = 0.0f;
    }
    for (int k = z <= BESSEL_MAX ? MORE : -1; k >= 0; k--) {
        const double sign = k % 2 == 0 ? 1.0 : -1.0;
        const double e = (k == 0 ? 1.0 : 2.0) * sign * bessel(2 * k, z);
        const double o = (w < 0.0 ? -2.0 : 2.0) * sign * bessel(2 * k + 1, z);
        if (k < COUNT) {
            *fast = rest <= QUASH_ROPE_FAST_ERROR ? (uint8_t)(k + 1) : *fast;
            *exact = rest <= QUASH_ROPE_EXACT_ERROR ? (uint8_t)(k + 1) : *exact;
            even[k] = (float)e;
            odd[k] = (float)o;
        }
        rest += fmax(fabs(e), fabs(o));
    }
}

static void fill_basis(float *even, float *odd) {
    for (size_t j = 0; j < QUASH_MEAN_OFFSETS; j++) {
        const double u = ((double)j + 0.5) / 31.5;
        double before = 1.0;
        double now = u;
        for (size_t k = 0; k < QUASH_MEAN_POLYNOMIALS; k++) {
            even[k * QUASH_MEAN_OFFSETS + j] = (float)before;
            odd[k * QUASH_MEAN_OFFSETS + j] = (float)now;
            const double next_even = 2.0 * u * now - before;
            const double next_odd = 2.0 * u * next_even - now;
            before = next_even;
            now = next_odd;
        }
    }
}

struct tables {
    float *centre_cos, *centre_sin, *offset_cos, *offset_sin;
    float *even, *odd, *even_basis, *odd_basis;
    uint8_t *terms_fast, *terms_exact;
};

static size_t tiles_of(const quash_rope_params *params) {
    return quash_round_up((size_t)(params->max_position + 63) / 64, QUASH_MEAN_TILES);
}

static struct tables carve(struct quash_arena *arena, const quash_rope_params *params) {
    const size_t pairs = (size_t)params->rotary_dim / 2;
    const size_t tiles = tiles_of(params);
    struct tables t;
    t.centre_cos = quash_arena_take(arena, pairs * tiles, sizeof(float));
    t.centre_sin = quash_arena_take(arena, pairs * tiles, sizeof(float));
    t.offset_cos = quash_arena_take(arena, pairs * QUASH_MEAN_OFFSETS, sizeof(float));
    t.offset_sin = quash_arena_take(arena, pairs * QUASH_MEAN_OFFSETS, sizeof(float));
    t.even = quash_arena_take(arena, pairs * QUASH_MEAN_POLYNOMIALS, sizeof(float));
    t.odd = quash_arena_take(arena, pairs * QUASH_MEAN_POLYNOMIALS, sizeof(float));
    t.even_basis =
        quash_arena_take(arena, QUASH_MEAN_POLYNOMIALS * QUASH_MEAN_OFFSETS, sizeof(float));
    t.odd_basis =
        quash_arena_take(arena, QUASH_MEAN_POLYNOMIALS * QUASH_MEAN_OFFSETS, sizeof(float));
    t.terms_fast = quash_arena_take(arena, pairs, 1);
    t.terms_exact = quash_arena_take(arena, pairs, 1);
    return t;
}

size_t quash_rope_bytes(const quash_rope_params *params) {
    struct quash_arena count = { NULL, 0 };
    (void)carve(&count, params);
    return count.used;
}

void quash_rope_init(struct quash_rope *rope, const quash_rope_params *params, void *memory) {
    struct quash_arena arena = { memory, 0 };
    const struct tables t = carve(&arena, params);
    const size_t pairs = (size_t)params->rotary_dim / 2;
    const size_t tiles = tiles_of(params);
    *rope = (struct quash_rope){
        .pairs = pairs,
        .pair_stride = params->layout == QUASH_ROPE_HALF ? 1 : 2,
        .pair_apart = params->layout == QUASH_ROPE_HALF ? pairs : 1,
        .tiles = (int64_t)tiles,
        .centre_cos = t.centre_cos,
        .centre_sin = t.centre_sin,
        .offset_cos = t.offset_cos,
        .offset_sin = t.offset_sin,
        .even = t.even,
        .odd = t.odd,
        .terms_fast = t.terms_fast,
        .terms_exact = t.terms_exact,
        .even_basis = t.even_basis,
        .odd_basis = t.odd_basis,
    };
    fill_basis(t.even_basis, t.odd_basis);
    for (size_t i = 0; i < rope->pairs; i++) {
        const uint64_t step = half_step(params->inv_freq[i]);
        for (size_t a = 0; a < tiles; a++) {
            turn(step * (128 * (uint64_t)a + 63), &t.centre_cos[i * tiles + a],
                 &t.centre_sin[i * tiles + a]);
        }
        for (size_t j = 0; j < QUASH_MEAN_OFFSETS; j++) {
            const size_t at = i * QUASH_MEAN_OFFSETS + j;
            turn(step * (2 * (uint64_t)j + 1), &t.offset_cos[at], &t.offset_sin[at]);
        }
        expand(params->inv_freq[i], t.even + i * QUASH_MEAN_POLYNOMIALS,
               t.odd + i * QUASH_MEAN_POLYNOMIALS, &t.terms_fast[i], &t.terms_exact[i]);
    }
}
