/* SPDX-License-Identifier: Apache-2.0 */
/* half.h: binary16 and bfloat16 to and from binary32, one number at a time, round to nearest even.
 * Integer arithmetic only, so that no floating-point mode of the host can change a bit. */
#ifndef QUASH_BASE_HALF_H
#define QUASH_BASE_HALF_H

#include <stdint.h>
#include <string.h>

#define QUASH_F16_MAX 65504.0f

static inline uint32_t quash_f32_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float quash_f32_from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Whether value can be a scale or a norm: finite and not negative, -0 included. By its bits: a host
 * that treats denormals as zero would let a negative one pass as a comparison. */
static inline int quash_is_scale(float value) {
    const uint32_t bits = quash_f32_bits(value);
    return bits < 0x7F800000u || bits == 0x80000000u;
}

static inline float quash_f16_to_f32(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t exponent = (half >> 10) & 31u;
    uint32_t mantissa = half & 1023u;
    if (exponent == 31u) {
        return quash_f32_from_bits(sign | 0x7F800000u | mantissa << 13);
    }
    if (exponent != 0) {
        return quash_f32_from_bits(sign | (exponent + 112u) << 23 | mantissa << 13);
    }
    if (mantissa == 0) {
        return quash_f32_from_bits(sign);
    }
    uint32_t shifted_exponent = 113u; /* denormal: shift the leading one into place */
    while ((mantissa & 1024u) == 0) {
        mantissa <<= 1;
        shifted_exponent--;
    }
    return quash_f32_from_bits(sign | shifted_exponent << 23 | (mantissa & 1023u) << 13);
}

/* Values that round beyond the largest finite half become infinity; NaN stays NaN. */
static inline uint16_t quash_f32_to_f16(float value) {
    const uint32_t bits = quash_f32_bits(value);
    const uint32_t sign = bits >> 16 & 0x8000u;
    const uint32_t magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) {
        return (uint16_t)(sign | 0x7E00u);
    }
    if (magnitude >= 0x477FF000u) { /* 65520: the first value that rounds to infinity */
        return (uint16_t)(sign | 0x7C00u);
    }
    uint32_t significand;
    uint32_t shift;
    uint32_t base;
    if (magnitude >= 0x38800000u) { /* 2^-14: normal halves */
        significand = magnitude & 0x7FFFFFu;
        shift = 13;
        base = ((magnitude >> 23) - 112u) << 10;
    } else {
        const uint32_t exponent = magnitude >> 23;
        if (exponent < 102u) { /* below 2^-25: zero, also by rounding */
            return (uint16_t)sign;
        }
        significand = (magnitude & 0x7FFFFFu) | 0x800000u;
        shift = 126u - exponent;
        base = 0;
    }
    const uint32_t half = 1u << (shift - 1);
    const uint32_t rest = significand & ((1u << shift) - 1u);
    uint32_t result = base + (significand >> shift); /* a carry into the exponent is right */
    result += rest > half || (rest == half && (result & 1u) != 0);
    return (uint16_t)(sign | result);
}

/* The i-th of packed halves, at any alignment. */
static inline float quash_f16_at(const uint8_t *halves, size_t i) {
    uint16_t bits;
    memcpy(&bits, halves + i * sizeof bits, sizeof bits);
    return quash_f16_to_f32(bits);
}

static inline float quash_bf16_to_f32(uint16_t bits) {
    return quash_f32_from_bits((uint32_t)bits << 16);
}

/* Values that round beyond the largest finite bfloat16 become infinity; NaN stays NaN. */
static inline uint16_t quash_f32_to_bf16(float value) {
    const uint32_t bits = quash_f32_bits(value);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) {
        return (uint16_t)(bits >> 16 | 0x40u);
    }
    return (uint16_t)((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

#endif
