/* SPDX-License-Identifier: Apache-2.0 */
/* api_context.c: version and context. */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/context.h"
#include "base/os.h"
#include "base/pool.h"
#include "base/runner.h"
#include "base/status.h"
#include "kernel/kernel.h"

#define TEXT_OF(number) #number
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *quash_version_string(void) {
    return VERSION_TEXT(QUASH_VERSION_MAJOR, QUASH_VERSION_MINOR, QUASH_VERSION_PATCH);
}

static quash_status check_params(const quash_context_params *params) {
    if (params->struct_size != sizeof *params) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "params: struct_size is %u, expected %zu",
                          params->struct_size, sizeof *params);
    }
    const quash_allocator *const allocator = params->allocator;
    if (allocator != NULL && (allocator->alloc == NULL || allocator->free == NULL)) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "allocator: %s is NULL",
                          allocator->alloc == NULL ? "alloc" : "free");
    }
    const quash_runner *const runner = params->runner;
    if (runner != NULL && runner->run == NULL) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "runner: run is NULL");
    }
    if (runner != NULL && (runner->workers < 1 || runner->workers > QUASH_WORKERS_MAX)) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "runner: workers is %d, expected 1..%d",
                          (int)runner->workers, QUASH_WORKERS_MAX);
    }
    if (runner != NULL && params->threads != 0) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "threads is %d, expected 0 beside a runner",
                          (int)params->threads);
    }
    return QUASH_OK;
}

/* The context and what it points to, in one block. */
struct context_block {
    quash_context *context;
    struct quash_kernels *kernels;
    void *pool; /* NULL without a pool */
};

static struct context_block carve(struct quash_arena *arena, int32_t pool_workers) {
    struct context_block block = { NULL, NULL, NULL };
    block.context = quash_arena_take(arena, 1, sizeof *block.context);
    block.kernels = quash_arena_take(arena, 1, sizeof *block.kernels);
    if (pool_workers > 1) {
        block.pool = quash_arena_take(arena, 1, quash_pool_bytes(pool_workers));
    }
    return block;
}

static size_t block_bytes(int32_t pool_workers) {
    struct quash_arena count = { NULL, 0 };
    (void)carve(&count, pool_workers);
    return count.used;
}

/* Packed bits and files are little-endian, and are read and written by copying. */
static int host_is_little_endian(void) {
    const uint32_t one = 1;
    unsigned char first;
    memcpy(&first, &one, 1);
    return first == 1;
}

quash_status quash_context_create(quash_context **out, const quash_context_params *params) {
    if (out == NULL) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "out is NULL");
    }
    const quash_context_params defaults = QUASH_CONTEXT_PARAMS_INIT;
    params = params != NULL ? params : &defaults;
    QUASH_TRY(check_params(params));
    if (!host_is_little_endian()) {
        return quash_fail(QUASH_ERROR_UNSUPPORTED, "this host is big-endian");
    }
    enum quash_cpu_level level;
    QUASH_TRY(quash_cpu_choose(quash_os_environment("QUASH_CPU"), &level));
    int32_t pool_workers = 1; /* 1: no pool */
    if (params->runner == NULL) {
        QUASH_TRY(quash_pool_workers(params->threads, quash_os_environment("QUASH_THREADS"),
                                     &pool_workers));
    }
    const quash_allocator allocator =
        params->allocator != NULL ? *params->allocator : quash_default_allocator;
    void *memory;
    QUASH_TRY(quash_alloc(&allocator, block_bytes(pool_workers), "the context", &memory));
    struct quash_arena arena = { memory, 0 };
    const struct context_block block = carve(&arena, pool_workers);
    quash_context *const context = block.context;
    quash_kernels_fill(block.kernels, level);
    context->allocator = allocator;
    context->level = level;
    context->kernels = block.kernels;
    context->pool = block.pool != NULL ? quash_pool_init(block.pool, pool_workers) : NULL;
    context->runner = params->runner != NULL  ? *params->runner
                      : context->pool != NULL ? quash_pool_runner(context->pool)
                                              : quash_serial_runner;
    *out = context;
    return QUASH_OK;
}

void quash_context_free(quash_context *context) {
    if (context == NULL) {
        return;
    }
    int32_t pool_workers = 1;
    if (context->pool != NULL) {
        pool_workers = context->runner.workers;
        quash_pool_stop(context->pool);
    }
    const quash_allocator allocator = context->allocator;
    quash_release(&allocator, context, block_bytes(pool_workers));
}

int32_t quash_context_workers(const quash_context *context) {
    return context->runner.workers;
}

size_t quash_context_describe(const quash_context *context, char *text, size_t size) {
    const int length = snprintf(text, size, "quash %s cpu=%s workers=%d", quash_version_string(),
                                quash_cpu_level_name(context->level), (int)context->runner.workers);
    return length > 0 ? (size_t)length : 0;
}
