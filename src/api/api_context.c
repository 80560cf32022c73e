/* SPDX-License-Identifier: Apache-2.0 */
/* api_context.c: version and context. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/context.h"
#include "base/os.h"
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
    return QUASH_OK;
}

/* The context and the table it points to, in one piece. */
struct context_block {
    quash_context context;
    struct quash_kernels kernels;
};

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
    const quash_allocator allocator =
        params->allocator != NULL ? *params->allocator : quash_default_allocator;
    void *memory;
    QUASH_TRY(quash_alloc(&allocator, sizeof(struct context_block), "the context", &memory));
    struct context_block *const block = memory;
    quash_kernels_fill(&block->kernels, level);
    quash_context *const context = &block->context;
    context->allocator = allocator;
    context->runner = params->runner != NULL ? *params->runner : quash_serial_runner;
    context->level = level;
    context->kernels = &block->kernels;
    *out = context;
    return QUASH_OK;
}

void quash_context_free(quash_context *context) {
    if (context != NULL) {
        const quash_allocator allocator = context->allocator;
        quash_release(&allocator, context, sizeof(struct context_block));
    }
}

size_t quash_context_describe(const quash_context *context, char *text, size_t size) {
    const int length = snprintf(text, size, "quash %s cpu=%s workers=%d", quash_version_string(),
                                quash_cpu_level_name(context->level), (int)context->runner.workers);
    return length > 0 ? (size_t)length : 0;
}
