/* SPDX-License-Identifier: Apache-2.0 */
/* cpu.c: detection of the CPU level: feature bits, and the register state the system saves. */
#include "base/cpu.h"

#include <string.h>

#include "base/os.h"
#include "base/status.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>

/* XCR0: the register files that the operating system saves and restores. */
static uint64_t saved_state(void) {
    uint32_t low;
    uint32_t high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static enum quash_cpu_level best_x86(void) {
    uint32_t a;
    uint32_t b;
    uint32_t c;
    uint32_t d;
    const uint32_t need1_c = 1u << 12 | 1u << 27 | 1u << 28 | 1u << 29; /* FMA OSXSAVE AVX F16C */
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & need1_c) != need1_c) {
        return QUASH_CPU_C;
    }
    const uint64_t state = saved_state();
    const uint32_t need7_b = 1u << 5 | 1u << 8; /* AVX2 BMI2 */
    if ((state & 0x6) != 0x6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d) ||
        (b & need7_b) != need7_b) {
        return QUASH_CPU_C;
    }
    const uint32_t need512_b = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* F DQ BW VL */
    const uint32_t need512_c = 1u << 1 | 1u << 6 | 1u << 11;              /* VBMI VBMI2 VNNI */
    if ((state & 0xE6) == 0xE6 && (b & need512_b) == need512_b && (c & need512_c) == need512_c) {
        return QUASH_CPU_AVX512;
    }
    return QUASH_CPU_AVX2;
}
#endif

static enum quash_cpu_level best_level(void) {
#if defined(__x86_64__) && defined(__GNUC__)
    return best_x86();
#elif defined(__aarch64__)
    return quash_os_has_dotprod() ? QUASH_CPU_DOTPROD : QUASH_CPU_NEON;
#else
    return QUASH_CPU_C;
#endif
}

const char *quash_cpu_level_name(enum quash_cpu_level level) {
    switch (level) {
    case QUASH_CPU_C: return "c";
    case QUASH_CPU_AVX2: return "avx2";
    case QUASH_CPU_AVX512: return "avx512";
    case QUASH_CPU_NEON: return "neon";
    case QUASH_CPU_DOTPROD: return "dotprod";
    }
    return "unknown";
}

int quash_cpu_supports(enum quash_cpu_level level) {
    const enum quash_cpu_level best = best_level();
    return level == QUASH_CPU_C || level == best ||
           (level == QUASH_CPU_AVX2 && best == QUASH_CPU_AVX512) ||
           (level == QUASH_CPU_NEON && best == QUASH_CPU_DOTPROD);
}

quash_status quash_cpu_choose(const char *forced, enum quash_cpu_level *level) {
    if (forced == NULL || forced[0] == '\0') {
        *level = best_level();
        return QUASH_OK;
    }
    for (int candidate = QUASH_CPU_C; candidate < QUASH_CPU_LEVELS; candidate++) {
        const enum quash_cpu_level named = (enum quash_cpu_level)candidate;
        if (strcmp(forced, quash_cpu_level_name(named)) == 0) {
            if (!quash_cpu_supports(named)) {
                return quash_fail(QUASH_ERROR_UNSUPPORTED,
                                  "QUASH_CPU is \"%s\", which this machine lacks (it has %s)",
                                  forced, quash_cpu_level_name(best_level()));
            }
            *level = named;
            return QUASH_OK;
        }
    }
    return quash_fail(QUASH_ERROR_ARGUMENT,
                      "QUASH_CPU is \"%.32s\", expected c, avx2, avx512, neon or "
                      "dotprod",
                      forced);
}
