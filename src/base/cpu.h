/* SPDX-License-Identifier: Apache-2.0 */
/* cpu.h: the few instruction-set levels that kernels are written for. */
#ifndef QUASH_BASE_CPU_H
#define QUASH_BASE_CPU_H

#include <quash/base.h>

enum quash_cpu_level {
    QUASH_CPU_C = 0,
    QUASH_CPU_AVX2,   /* AVX2, FMA, F16C, BMI2 */
    QUASH_CPU_AVX512, /* the above and F, BW, VL, DQ, VBMI, VBMI2, VNNI */
    QUASH_CPU_NEON,   /* armv8-a */
    QUASH_CPU_DOTPROD /* the above and dotprod (armv8.2-a) */
};
#define QUASH_CPU_LEVELS (QUASH_CPU_DOTPROD + 1)

const char *quash_cpu_level_name(enum quash_cpu_level level);

/* Whether this CPU has the level and the operating system saves its registers. */
int quash_cpu_supports(enum quash_cpu_level level);

/* The level to use: the best supported one, or the one that `forced` names (the value of QUASH_CPU;
 * NULL or "": none forced). Errors: ARGUMENT (unknown name), UNSUPPORTED (not on this machine). */
quash_status quash_cpu_choose(const char *forced, enum quash_cpu_level *level);

#endif
