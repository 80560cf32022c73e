/* SPDX-License-Identifier: Apache-2.0 */
/* kernels_convert.c: descriptors of the kernels on element types: load, store, and the search for
 * NaN and infinity. Elements may be misaligned. */
#include "kernels.h"

#include <float.h>

#include "base/half.h"

static const char *const dtypes[5] = { "f32", "f16", "bf16", "i8", "u8" };

/* With the special data the last size has every pattern of 16 bits once. */
static const size_t larger[] = { 255, 256, 257, 1000, 1536, 1537, 16383, 16384, 65536 };
static const struct kc_sizes sizes = { 1, 131, larger, COUNT_OF(larger) };

static size_t bytes_of(int32_t dtype) {
    switch (dtype) {
    case QUASH_F32: return 4;
    case QUASH_F16:
    case QUASH_BF16: return 2;
    default: return 1;
    }
}

static uint32_t bits_of(int32_t dtype, float value) {
    switch (dtype) {
    case QUASH_F16: return quash_f32_to_f16(value);
    case QUASH_BF16: return quash_f32_to_bf16(value);
    default: return quash_f32_bits(value);
    }
}

static void put_element(void *elements, size_t bytes, size_t i, uint32_t bits) {
    memcpy((unsigned char *)elements + i * bytes, &bits, bytes);
}

static uint32_t get_element(const void *elements, size_t bytes, size_t i) {
    uint32_t bits = 0;
    memcpy(&bits, (const unsigned char *)elements + i * bytes, bytes);
    return bits;
}

/* Adds elements of a dtype; all patterns of bits may occur, those of NaN too. */
static void *add_elements(struct kc_call *call, int32_t dtype) {
    static float x[65536];
    const size_t bytes = bytes_of(dtype);
    void *const elements = kc_add_array(call, "source", KC_IN, bytes, 1, call->n);
    if (bytes == 1 || call->data == KC_BITS) {
        kc_fill_codes(&call->rng, call->data, elements, call->n * bytes, 256);
        return elements;
    }
    kc_fill_floats(&call->rng, call->data, x, call->n);
    const uint32_t start = (uint32_t)test_word(&call->rng);
    for (size_t i = 0; i < call->n; i++) {
        const bool pattern = bytes == 2 && call->data == KC_SPECIAL;
        put_element(elements, bytes, i, pattern ? start + (uint32_t)i : bits_of(dtype, x[i]));
    }
    return elements;
}

/* ---- Load -------------------------------------------------------------------------------- */

static void plan_load(struct kc_call *call) {
    (void)add_elements(call, (int32_t)call->entry);
    (void)kc_add_floats(call, "x", KC_OUT, call->n);
}

static void invoke_load(const struct quash_kernels *kernels, struct kc_call *call) {
    kernels->load[call->entry](kc_at(call, 0), call->n, kc_at(call, 1));
}

const struct kc_kernel kc_load = {
    .name = "load",
    KC_SLOTS(load),
    .labels = dtypes,
    .entries = 5,
    .sizes = &sizes,
    .data = KC_ALL_DATA,
    .plan = plan_load,
    .invoke = invoke_load,
    .bench_sizes = { 64, 128, 1536 },
};

/* ---- Store ------------------------------------------------------------------------------- */

/* Runs through the patterns of 16 bits: the number itself, the tie between it and the next larger
 * magnitude, or a neighbour of the tie. Beyond the largest finite one that is where the result
 * saturates; infinity instead of NaN. */
static void fill_ties(struct kc_call *call, int32_t dtype, float *x) {
    const uint32_t start = (uint32_t)test_word(&call->rng);
    for (size_t i = 0; i < call->n; i++) {
        const uint16_t pattern = (uint16_t)(start + i);
        const float value =
            dtype == QUASH_F16 ? quash_f16_to_f32(pattern) : quash_bf16_to_f32(pattern);
        const uint32_t bits = quash_f32_bits(value);
        const float magnitude = fabsf(value);
        float chosen = magnitude; /* NaN stays, for now */
        if (dtype == QUASH_F16 && magnitude <= QUASH_F16_MAX) {
            const uint16_t next = (uint16_t)((pattern & 0x7FFFu) + 1);
            const float above = next < 0x7C00u ? quash_f16_to_f32(next) : 65536.0f;
            chosen = 0.5f * (magnitude + above);
        } else if (dtype == QUASH_BF16) {
            chosen = quash_f32_from_bits((bits & 0x7FFFFFFFu) | 0x8000u);
        }
        switch (test_below(&call->rng, 4)) {
        case 0: chosen = magnitude; break;
        case 1: chosen = nextafterf(chosen, 0.0f); break;
        case 2: chosen = nextafterf(chosen, INFINITY); break;
        default: break;
        }
        chosen = isnan(chosen) ? INFINITY : chosen;
        x[i] = (bits >> 31) != 0 ? -chosen : chosen;
    }
}

static void plan_store(struct kc_call *call) {
    const int32_t dtype = (int32_t)call->entry;
    float *const x = kc_add_floats(call, "x", KC_IN, call->n);
    if (call->data == KC_SPECIAL && dtype != QUASH_F32) {
        fill_ties(call, dtype, x);
    }
    for (size_t i = 0; i < call->n && call->data == KC_HUGE; i++) {
        x[i] = i % 3 == 0 ? copysignf(INFINITY, x[i]) : x[i];
    }
    (void)kc_add_array(call, "target", KC_OUT, bytes_of(dtype), 1, call->n);
}

static void invoke_store(const struct quash_kernels *kernels, struct kc_call *call) {
    kernels->store[call->entry](kc_at(call, 0), call->n, kc_at(call, 1));
}

const struct kc_kernel kc_store = {
    .name = "store",
    KC_SLOTS(store),
    .labels = dtypes,
    .entries = 3,
    .sizes = &sizes,
    .data = KC_ALL_DATA,
    .plan = plan_store,
    .invoke = invoke_store,
    .bench_sizes = { 64, 128, 1536 },
};

/* ---- Search for NaN and infinity --------------------------------------------------------- */

/* A place, half the time near one of the ends. */
static size_t any_place(struct test_rng *rng, size_t n) {
    const size_t near = test_below(rng, n < 20 ? n : 20);
    switch (test_below(rng, 4)) {
    case 0: return near;
    case 1: return n - 1 - near;
    default: return test_below(rng, n);
    }
}

/* The exponent, which is all ones in NaN and infinity, the lowest bit of it, and the sign. */
static const struct format {
    uint32_t exponent;
    uint32_t exponent_bit;
    uint32_t sign;
} formats[3] = { { 0x7F800000u, 0x00800000u, 0x80000000u },
                 { 0x7C00u, 0x0400u, 0x8000u },
                 { 0x7F80u, 0x0080u, 0x8000u } };

/* Bits as they come may be full of NaN; other data has none, or up to two. */
static void plan_find_nonfinite(struct kc_call *call) {
    const struct format *const format = &formats[call->entry];
    const size_t bytes = bytes_of((int32_t)call->entry);
    void *const elements = add_elements(call, (int32_t)call->entry);
    if (call->data == KC_BITS) {
        return;
    }
    for (size_t i = 0; i < call->n; i++) {
        const uint32_t bits = get_element(elements, bytes, i);
        if ((bits & format->exponent) == format->exponent) {
            put_element(elements, bytes, i, bits & ~format->exponent_bit); /* large and finite */
        }
    }
    const bool none = call->bench || call->data == KC_HUGE || call->data == KC_ZEROS;
    const size_t planted = none || call->n == 0 ? 0 : test_below(&call->rng, 3);
    for (size_t k = 0; k < planted; k++) {
        const uint32_t random = (uint32_t)test_word(&call->rng);
        const uint32_t kept = test_below(&call->rng, 2) == 0 ? format->sign : 0xFFFFFFFFu;
        put_element(elements, bytes, any_place(&call->rng, call->n),
                    format->exponent | (random & kept));
    }
}

static void invoke_find_nonfinite(const struct quash_kernels *kernels, struct kc_call *call) {
    call->result.count = (int64_t)kernels->find_nonfinite[call->entry](kc_at(call, 0), call->n);
}

const struct kc_kernel kc_find_nonfinite = {
    .name = "find_nonfinite",
    KC_SLOTS(find_nonfinite),
    .labels = dtypes,
    .entries = 3,
    .sizes = &sizes,
    .data = KC_ALL_DATA,
    .plan = plan_find_nonfinite,
    .invoke = invoke_find_nonfinite,
    .bench_sizes = { 64, 128, 1536 },
};
