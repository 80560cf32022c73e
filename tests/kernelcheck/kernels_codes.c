/* SPDX-License-Identifier: Apache-2.0 */
/* kernels_codes.c: descriptors of the kernels on codes: quantization, packing, the ways back. */
#include "kernels.h"

#include "base/half.h"
#include "codec/codebook.h"
#include "codec/row.h"
#include "kernel/unit.h"

const char *const kc_bits_1_to_4[4] = { "1", "2", "3", "4" };

/* ---- Quantization ------------------------------------------------------------------------ */

/* The thresholds of a step size, or others, ascending; those beyond the bit width arbitrary. */
static const float *add_thresholds(struct kc_call *call) {
    const struct quash_codebook *const book = quash_codebook_for(call->bits);
    const size_t used = (size_t)book->half - 1;
    const struct quash_search *const search = &quash_searches[2];
    const float factor = search->factors[test_below(&call->rng, (size_t)search->count)];
    float *const thresholds =
        kc_add_array(call, "thresholds", KC_IN, sizeof(float), sizeof(float), 7);
    for (size_t t = 0; t < 7; t++) {
        thresholds[t] = t < used ? book->thresholds[t] * factor
                                 : quash_f32_from_bits((uint32_t)test_word(&call->rng));
    }
    return thresholds;
}

/* Coordinates whose product with the gain is a threshold or one of its neighbours, where the
 * division is exact, else near one. */
static void fill_around_thresholds(struct kc_call *call, const float *thresholds, float *x) {
    const size_t used = (size_t)call->half - 1;
    for (size_t i = 0; i < call->n && used > 0; i++) {
        const float threshold = thresholds[test_below(&call->rng, used)] / call->factor;
        float value = threshold;
        switch (test_below(&call->rng, 3)) {
        case 0: value = nextafterf(threshold, 0.0f); break;
        case 1: value = nextafterf(threshold, INFINITY); break;
        default: break;
        }
        value = isfinite(value) ? value : 1.0f;
        x[i] = test_below(&call->rng, 2) == 0 ? value : -value;
    }
}

static void plan_quantize(struct kc_call *call) {
    call->bits = (int32_t)call->entry + 1;
    call->half = quash_codebook_for(call->bits)->half;
    call->factor = call->bench ? 1.0f : kc_factor(&call->rng);
    float *const x = kc_add_floats(call, "x", KC_IN, call->n);
    (void)kc_add_integers(call);
    const float *const thresholds = add_thresholds(call);
    if (call->data == KC_SPECIAL) {
        fill_around_thresholds(call, thresholds, x);
    }
    (void)kc_add_array(call, "codes", KC_OUT, 1, 1, call->n);
}

static void invoke_quantize(const struct quash_kernels *kernels, struct kc_call *call) {
    const struct quash_levels levels = { call->half, kc_at(call, 1), kc_at(call, 2) };
    const struct quash_fit fit =
        kernels->quantize(&levels, kc_at(call, 0), call->n, call->factor, kc_at(call, 3));
    call->result = (struct kc_result){ quash_f32_bits(fit.dot), fit.squares };
}

const struct kc_kernel kc_quantize = {
    .name = "quantize",
    KC_SLOTS(quantize),
    .labels = kc_bits_1_to_4,
    .entries = 4,
    .sizes = &kc_any_size,
    .data = KC_ALL_DATA,
    .plan = plan_quantize,
    .invoke = invoke_quantize,
    .bench_sizes = { 64, 128, 1536 },
};

/* ---- Dequantization ---------------------------------------------------------------------- */

static void plan_dequantize(struct kc_call *call) {
    call->bits = call->bench ? 4 : 1 + (int32_t)test_below(&call->rng, 4);
    call->factor = call->bench ? 1.0f : kc_factor(&call->rng);
    (void)kc_add_integers(call);
    uint8_t *const codes = kc_add_array(call, "codes", KC_IN, 1, 1, call->n);
    kc_fill_codes(&call->rng, call->data, codes, call->n, 16); /* any below 16, says the contract */
    (void)kc_add_floats(call, "x", KC_OUT, call->n);
}

static void invoke_dequantize(const struct quash_kernels *kernels, struct kc_call *call) {
    kernels->dequantize(kc_at(call, 0), kc_at(call, 1), call->n, call->factor, kc_at(call, 2));
}

const struct kc_kernel kc_dequantize = {
    .name = "dequantize",
    KC_SLOTS(dequantize),
    .entries = 1,
    .sizes = &kc_any_size,
    .data = KC_CODE_DATA,
    .plan = plan_dequantize,
    .invoke = invoke_dequantize,
    .bench_sizes = { 64, 128, 1536 },
};

/* ---- Packing ----------------------------------------------------------------------------- */

static void plan_pack(struct kc_call *call) {
    call->bits = (int32_t)call->entry + 1;
    uint8_t *const codes = kc_add_array(call, "codes", KC_IN, 1, 1, call->n);
    kc_fill_codes(&call->rng, call->data, codes, call->n, (size_t)1 << call->bits);
    (void)kc_add_array(call, "packed", KC_OUT, 1, 1, quash_packed_bytes(call->n, call->bits));
}

static void invoke_pack(const struct quash_kernels *kernels, struct kc_call *call) {
    kernels->pack[call->entry](kc_at(call, 0), call->n, kc_at(call, 1));
}

const struct kc_kernel kc_pack = {
    .name = "pack",
    KC_SLOTS(pack),
    .labels = kc_bits_1_to_4,
    .entries = 4,
    .sizes = &kc_any_size,
    .data = KC_CODE_DATA,
    .plan = plan_pack,
    .invoke = invoke_pack,
    .bench_sizes = { 64, 128, 1536 },
};

/* The unused bits of the last byte are arbitrary: a file from elsewhere may have them set. */
static void plan_unpack(struct kc_call *call) {
    call->bits = (int32_t)call->entry + 1;
    const size_t bytes = quash_packed_bytes(call->n, call->bits);
    uint8_t *const packed = kc_add_array(call, "packed", KC_IN, 1, 1, bytes);
    kc_fill_codes(&call->rng, call->data, packed, bytes, 256);
    (void)kc_add_array(call, "codes", KC_OUT, 1, 1, call->n);
}

static void invoke_unpack(const struct quash_kernels *kernels, struct kc_call *call) {
    kernels->unpack[call->entry](kc_at(call, 0), call->n, kc_at(call, 1));
}

const struct kc_kernel kc_unpack = {
    .name = "unpack",
    KC_SLOTS(unpack),
    .labels = kc_bits_1_to_4,
    .entries = 4,
    .sizes = &kc_any_size,
    .data = KC_CODE_DATA,
    .plan = plan_unpack,
    .invoke = invoke_unpack,
    .bench_sizes = { 64, 128, 1536 },
};

/* ---- Units of cache tiles ---------------------------------------------------------------- */

const char *const kc_bits_2_to_4[3] = { "2", "3", "4" };

/* n is the stride that is not 1. */
static const size_t strides[] = { 16, 17, 31, 32, 33, 48, 64, 80, 96, 128, 576 };
static const struct kc_sizes unit_strides = { 0, 0, strides, COUNT_OF(strides) };

/* stride is that of the lanes: 1, or n as far as the elements of a lane do not overlap. */
static void plan_pack_unit(struct kc_call *call) {
    call->bits = (int32_t)call->entry + 2;
    const bool contiguous =
        call->n >= QUASH_UNIT_ELEMENTS && (call->bench || test_below(&call->rng, 2) == 0);
    call->stride = contiguous ? call->n : 1;
    const size_t count = contiguous ? (QUASH_UNIT_LANES - 1) * call->n + QUASH_UNIT_ELEMENTS
                                    : (QUASH_UNIT_ELEMENTS - 1) * call->n + QUASH_UNIT_LANES;
    uint8_t *const codes = kc_add_array(call, "codes", KC_IN, 1, 1, count);
    kc_fill_codes(&call->rng, call->data, codes, count, (size_t)1 << call->bits);
    (void)kc_add_array(call, "unit", KC_OUT, 1, 1, quash_unit_bytes(call->bits));
    call->touched = QUASH_UNIT_LANES * QUASH_UNIT_ELEMENTS + quash_unit_bytes(call->bits);
}

static void invoke_pack_unit(const struct quash_kernels *kernels, struct kc_call *call) {
    const size_t element_stride = call->stride == 1 ? call->n : 1;
    kernels->pack_unit[call->entry](kc_at(call, 0), call->stride, element_stride, kc_at(call, 1));
}

const struct kc_kernel kc_pack_unit = {
    .name = "pack_unit",
    KC_SLOTS(pack_unit),
    .labels = kc_bits_2_to_4,
    .entries = 3,
    .sizes = &unit_strides,
    .data = KC_CODE_DATA,
    .plan = plan_pack_unit,
    .invoke = invoke_pack_unit,
    .bench_note = "a unit of keys of n dims",
    .bench_sizes = { 64, 128, 256 },
};
