/* SPDX-License-Identifier: Apache-2.0 */
/* context.h: what a context holds. Everything below the API gets what it needs from here. */
#ifndef QUASH_BASE_CONTEXT_H
#define QUASH_BASE_CONTEXT_H

#include <quash/base.h>

#include "base/cpu.h"

struct quash_kernels; /* kernel/kernel.h, one layer up: base only carries the pointer */
struct quash_pool;

struct quash_context {
    quash_allocator allocator;
    quash_runner runner;
    struct quash_pool *pool; /* behind runner; NULL: the caller's runner, or the serial one */
    enum quash_cpu_level level;
    const struct quash_kernels *kernels;
};

#endif
