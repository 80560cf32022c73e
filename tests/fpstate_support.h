/* SPDX-License-Identifier: Apache-2.0 */
/* fpstate_support.h: the floating-point state of a thread, and a hostile one. */
#ifndef QUASH_TESTS_FPSTATE_SUPPORT_H
#define QUASH_TESTS_FPSTATE_SUPPORT_H

#include <fenv.h>
#include <stdint.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

/* Exception flags left out. */
static inline uint64_t test_fpstate_get(void) {
#if defined(__x86_64__)
    return _mm_getcsr() & ~0x3Fu;
#elif defined(__aarch64__)
    uint64_t state;
    __asm__ volatile("mrs %0, fpcr" : "=r"(state));
    return state;
#else
    return (uint64_t)fegetround();
#endif
}

static inline void test_fpstate_set(uint64_t state) {
#if defined(__x86_64__)
    _mm_setcsr((uint32_t)state);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(state));
#else
    (void)fesetround((int)state);
#endif
}

/* Flush to zero, denormals-are-zero, rounding toward zero; exceptions masked. */
static inline uint64_t test_fpstate_hostile(void) {
#if defined(__x86_64__)
    return 0x1F80u | 0x8000u | 0x0040u | 0x6000u;
#elif defined(__aarch64__)
    return (uint64_t)1 << 24 | (uint64_t)3 << 22;
#else
    return FE_TOWARDZERO;
#endif
}

#endif
