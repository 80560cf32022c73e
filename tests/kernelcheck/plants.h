/* SPDX-License-Identifier: Apache-2.0 */
/* plants.h: kernels that are wrong on purpose, each in one way. */
#ifndef QUASH_KERNELCHECK_PLANTS_H
#define QUASH_KERNELCHECK_PLANTS_H

#include "kernelcheck.h"

struct kc_plant {
    const char *what;
    const char *kernel;
    size_t entry;
    void (*plant)(struct quash_kernels *kernels);
    enum kc_failure expected; /* a failure of this kind must be among those reported */
};

extern const struct kc_plant kc_plants[]; /* plants.c */
extern const size_t kc_plant_count;
extern const struct kc_plant kc_digit_plants[]; /* plants_digits.c */
extern const size_t kc_digit_plant_count;

/* Defines plant_<function>, and the line of a list that refers to it. */
#define PLANT(member, function)                                                                    \
    static void plant_##function(struct quash_kernels *kernels) {                                  \
        kernels->member = function;                                                                \
    }
#define LINE(kernel, entry, function, expected)                                                    \
    { #function, kernel, entry, plant_##function, expected }

#endif
