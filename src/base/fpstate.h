/* SPDX-License-Identifier: Apache-2.0 */
/* fpstate.h: the floating-point state the exact zone needs: round to nearest even, no flush to
 * zero, no denormals-are-zero, exceptions masked. Hosts change these (audio and game engines, and
 * anything linked with -ffast-math), so every task saves, sets and restores them. */
#ifndef QUASH_BASE_FPSTATE_H
#define QUASH_BASE_FPSTATE_H

#include <stdint.h>

#if defined(__x86_64__)
#include <xmmintrin.h>

typedef uint32_t quash_fpstate;

static inline quash_fpstate quash_fpstate_enter(void) {
    const uint32_t host = _mm_getcsr();
    _mm_setcsr(0x1F80u);
    return host;
}

static inline void quash_fpstate_leave(quash_fpstate host) {
    _mm_setcsr(host);
}

#elif defined(__aarch64__)

typedef uint64_t quash_fpstate;

static inline quash_fpstate quash_fpstate_enter(void) {
    uint64_t host;
    __asm__ volatile("mrs %0, fpcr" : "=r"(host));
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0));
    return host;
}

static inline void quash_fpstate_leave(quash_fpstate host) {
    __asm__ volatile("msr fpcr, %0" : : "r"(host));
}

#else
#include <fenv.h>

typedef fenv_t quash_fpstate;

static inline quash_fpstate quash_fpstate_enter(void) {
    fenv_t host;
    (void)fegetenv(&host);
    (void)fesetenv(FE_DFL_ENV);
    return host;
}

static inline void quash_fpstate_leave(quash_fpstate host) {
    (void)fesetenv(&host);
}

#endif

#endif
