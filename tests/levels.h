/* SPDX-License-Identifier: Apache-2.0 */
/* levels.h: running the same tests at every CPU level:
 *
 *     for (int i = QUASH_CPU_C; i < QUASH_CPU_LEVELS; i++) {
 *         if (test_level((enum quash_cpu_level)i)) {
 *             ...
 */
#ifndef QUASH_TESTS_LEVELS_H
#define QUASH_TESTS_LEVELS_H

#include <stdbool.h>
#include <stdio.h>

#include "base/cpu.h"

/* Prints the level; false, and SKIPPED, if this machine has it not. */
static inline bool test_level(enum quash_cpu_level level) {
    const bool supported = quash_cpu_supports(level);
    printf(supported ? "level %s\n" : "SKIPPED %s: not on this machine\n",
           quash_cpu_level_name(level));
    return supported;
}

#endif
