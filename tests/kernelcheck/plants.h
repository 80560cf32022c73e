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

extern const struct kc_plant kc_plants[];
extern const size_t kc_plant_count;

#endif
