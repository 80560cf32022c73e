/* SPDX-License-Identifier: Apache-2.0 */
/* data.c: what the inputs hold. */
#include "kernelcheck.h"

#include <float.h>

#include "base/half.h"
#include "codec/codebook.h"

const char *kc_data_name(enum kc_data data) {
    static const char *const names[KC_DATA_KINDS] = {
        "gaussian", "bits",        "wide",    "zeros",    "denormals",
        "huge",     "alternating", "one-hot", "constant", "special",
    };
    return names[data];
}

float kc_random_finite(struct test_rng *rng) {
    uint32_t bits = (uint32_t)test_word(rng);
    if ((bits & 0x7F800000u) == 0x7F800000u) {
        bits ^= 0x40000000u;
    }
    return quash_f32_from_bits(bits);
}

static uint32_t random_sign(struct test_rng *rng) {
    return (uint32_t)test_word(rng) & 0x80000000u;
}

/* Numbers at the edges of binary32 and around 1. */
static float special_float(struct test_rng *rng) {
    static const float values[] = {
        0.0f,           0x1p-149f, 0x1.fffffcp-127f, FLT_MIN, 0x1.000002p-126f, FLT_EPSILON,
        0x1.fffffep-1f, 1.0f,      0x1.000002p0f,    0x1p24f, 0x1.000002p24f,   0x1.fffffep63f,
        0x1p64f,        FLT_MAX
    };
    const float value = values[test_below(rng, COUNT_OF(values))];
    return quash_f32_from_bits(quash_f32_bits(value) | random_sign(rng));
}

static float next_float(struct test_rng *rng, enum kc_data data) {
    switch (data) {
    case KC_BITS: return kc_random_finite(rng);
    case KC_WIDE: return ldexpf((float)test_normal(rng), (int)test_below(rng, 41) - 20);
    case KC_ZEROS: return quash_f32_from_bits(random_sign(rng));
    case KC_DENORMALS:
        return quash_f32_from_bits(random_sign(rng) | ((uint32_t)test_word(rng) & 0x7FFFFFu));
    case KC_HUGE:
        return quash_f32_from_bits(random_sign(rng) | (0x7F7FFFFFu - (uint32_t)test_below(rng, 4)));
    case KC_SPECIAL: return special_float(rng);
    default: return (float)test_normal(rng);
    }
}

void kc_fill_floats(struct test_rng *rng, enum kc_data data, float *x, size_t n) {
    if (data == KC_ALTERNATING || data == KC_CONSTANT) {
        const float value = (float)test_normal(rng);
        for (size_t i = 0; i < n; i++) {
            x[i] = data == KC_ALTERNATING && i % 2 != 0 ? -value : value;
        }
    } else if (data == KC_ONE_HOT) {
        for (size_t i = 0; i < n; i++) {
            x[i] = 0.0f;
        }
        if (n > 0) {
            x[test_below(rng, n)] = (float)test_normal(rng);
        }
    } else {
        for (size_t i = 0; i < n; i++) {
            x[i] = next_float(rng, data);
        }
    }
}

void kc_fill_codes(struct test_rng *rng, enum kc_data data, uint8_t *codes, size_t n,
                   size_t limit) {
    const size_t start = test_below(rng, limit);
    const size_t hot = n > 0 ? test_below(rng, n) : 0;
    for (size_t i = 0; i < n; i++) {
        size_t code;
        switch (data) {
        case KC_ZEROS: code = 0; break;
        case KC_HUGE: code = limit - 1; break;
        case KC_ALTERNATING: code = i % 2 == 0 ? 0 : limit - 1; break;
        case KC_ONE_HOT: code = i == hot ? limit - 1 : 0; break;
        case KC_CONSTANT: code = start; break;
        case KC_SPECIAL: code = (start + i) % limit; break;
        default: code = test_below(rng, limit); break;
        }
        codes[i] = (uint8_t)code;
    }
}

float kc_factor(struct test_rng *rng) {
    switch (test_below(rng, 8)) {
    case 0: return 1.0f;
    case 1: return kc_random_finite(rng);
    case 2: return special_float(rng);
    default: return (float)test_normal(rng);
    }
}

void *kc_add_array(struct kc_call *call, const char *name, enum kc_role role, size_t element_bytes,
                   size_t alignment, size_t count) {
    const size_t i = call->array_count;
    if (i == KC_ARRAYS_MAX || count > KC_ARRAY_BYTES_MAX / element_bytes) {
        printf("%s: array %s is too much for kernelcheck\n", call->kernel->name, name);
        exit(1);
    }
    call->array_count++;
    struct kc_array *const array = &call->arrays[i];
    *array = (struct kc_array){ .name = name,
                                .role = role,
                                .element_bytes = element_bytes,
                                .alignment = alignment,
                                .bytes = count * element_bytes };
    kc_memory_of(i, array);
    memset(array->before, role == KC_OUT ? (int)test_below(&call->rng, 256) : 0, array->bytes);
    return array->before;
}

float *kc_add_floats(struct kc_call *call, const char *name, enum kc_role role, size_t count) {
    float *const x = kc_add_array(call, name, role, sizeof *x, sizeof *x, count);
    call->arrays[call->array_count - 1].floats = true;
    if (role != KC_OUT) {
        kc_fill_floats(&call->rng, call->data, x, count);
    }
    return x;
}

int8_t *kc_add_integers(struct kc_call *call) {
    const struct quash_codebook *const book = quash_codebook_for(call->bits);
    int8_t *const integers = kc_add_array(call, "integers", KC_IN, 1, 1, 16);
    for (size_t i = 0; i < 16; i++) {
        integers[i] = (int8_t)(test_word(&call->rng) & 0xFF);
    }
    memcpy(integers, book->values, 2 * (size_t)book->half);
    if (!call->bench && test_below(&call->rng, 4) == 0) {
        const size_t step = (call->bits == 4 ? 63u : 32u) / (size_t)book->half;
        int8_t integer = 0;
        for (int32_t m = 0; m < book->half; m++) {
            integer = (int8_t)(integer + 1 + (int8_t)test_below(&call->rng, step));
            integers[book->half + m] = integer;
            integers[book->half - 1 - m] = (int8_t)-integer;
        }
    }
    return integers;
}
