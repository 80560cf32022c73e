/* SPDX-License-Identifier: Apache-2.0 */
/* check.c: the calls that one function is checked with: every size with every kind of data, at the
 * end of a page and at an arbitrary place, then every misalignment of every array. */
#define _DEFAULT_SOURCE /* strsignal */
#include "kernelcheck.h"

#include <signal.h>

/* Words of a name, so that a kernel's data do not depend on which others are checked. */
static uint64_t stream_of(const char *name) {
    uint64_t hash = 0;
    for (const char *c = name; *c != '\0'; c++) {
        hash = quash_rng_mix(hash + QUASH_RNG_GAMMA * (uint64_t)(unsigned char)*c);
    }
    return hash;
}

static void start_call(const struct kc_subject *subject, struct kc_call *call, uint64_t number,
                       size_t n, enum kc_data data, size_t repeat) {
    char name[KC_NAME_BYTES];
    const uint64_t stream = stream_of(kc_entry_name(subject->kernel, subject->entry, name));
    *call = (struct kc_call){ .kernel = subject->kernel,
                              .entry = subject->entry,
                              .n = n,
                              .data = data,
                              .repeat = repeat,
                              .table = subject->candidate,
                              .number = number,
                              .rng = { quash_rng_key(subject->seed ^ stream, number), 0 } };
    subject->kernel->plan(call);
}

/* A kind of data that the kernel takes. */
static enum kc_data random_data(const struct kc_kernel *kernel, struct test_rng *rng) {
    size_t data;
    do {
        data = test_below(rng, KC_DATA_KINDS);
    } while ((kernel->data & KC_SET(data)) == 0);
    return (enum kc_data)data;
}

static void place_anywhere(struct kc_call *call) {
    for (size_t i = 0; i < call->array_count; i++) {
        struct kc_array *const array = &call->arrays[i];
        kc_place(array, i, false,
                 test_below(&call->rng, KC_OFFSETS / array->alignment) * array->alignment);
    }
}

static void place_at_end(struct kc_call *call) {
    for (size_t i = 0; i < call->array_count; i++) {
        kc_place(&call->arrays[i], i, true, 0);
    }
}

/* ---- One call ---------------------------------------------------------------------------- */

static bool call_once(struct kc_subject *subject, const struct quash_kernels *kernels,
                      struct kc_call *call) {
    struct kc_crash crash;
    for (size_t i = 0; i < call->array_count; i++) {
        kc_restore(&call->arrays[i], i);
    }
    call->result = (struct kc_result){ 0, 0 };
    const enum kc_outcome outcome = kc_invoke(kernels, call, &crash);
    if (outcome == KC_CRASHED) {
        char place[80];
        kc_describe_address(call, crash.address, place, sizeof place);
        kc_fail(subject, call, KC_CRASHES, "signal %d (%s) %s", crash.signal,
                strsignal(crash.signal), place);
        return false;
    }
    if (outcome == KC_CHANGED_STATE) {
        kc_fail(subject, call, KC_CHANGES_FLOAT_STATE,
                "rounding mode or treatment of denormals is not what it was before the call");
    }
    kc_check_surroundings(subject, call);
    return true;
}

static void keep_outputs(const struct kc_call *call) {
    for (size_t i = 0; i < call->array_count; i++) {
        memcpy(call->arrays[i].after, call->arrays[i].at, call->arrays[i].bytes);
    }
}

/* The reference, then the candidate, in the same memory. */
static void check_call(struct kc_subject *subject, struct kc_call *call, struct kc_pool *pool) {
    const char *const level = subject->level;
    subject->calls++;
    subject->level = quash_cpu_level_name(QUASH_CPU_C); /* whose failures these are */
    const bool returned = call_once(subject, subject->reference, call);
    if (returned && subject->kernel->verify != NULL) {
        subject->kernel->verify(subject->reference, subject, call);
    }
    subject->level = level;
    if (!returned) {
        return;
    }
    keep_outputs(call);
    if (kc_differs(subject->reference, subject->candidate, subject->kernel, subject->entry)) {
        const struct kc_result expected = call->result;
        if (!call_once(subject, subject->candidate, call)) {
            return;
        }
        if (subject->kernel->verify != NULL) {
            subject->kernel->verify(subject->candidate, subject, call);
        } else if (subject->kernel->oracle == NULL) {
            kc_compare(subject, call, &expected);
        }
    }
    if (subject->kernel->oracle != NULL) {
        kc_compare_approximate(subject, call, pool);
    }
}

static bool given_up(const struct kc_subject *subject) {
    return subject->failures >= KC_FAILURES_MAX;
}

/* ---- Sweeps ------------------------------------------------------------------------------ */

/* Approximate kernels need many elements for a fair mean, and have rows to run through. */
static size_t repeats_of(const struct kc_kernel *kernel) {
    return kernel->oracle != NULL || kernel->verify != NULL ? QUASH_TILE_ROWS_MAX + 1 : 2;
}

/* Every size with every kind of data: with all arrays at the end of their page, and anywhere. */
static void check_sizes(struct kc_subject *subject, uint64_t *number) {
    const struct kc_kernel *const kernel = subject->kernel;
    for (size_t s = 0; s < kc_size_count(kernel->sizes); s++) {
        for (int data = 0; data < KC_DATA_KINDS; data++) {
            struct kc_pool pool = { 0.0, 0.0 };
            struct kc_call call;
            if ((kernel->data & KC_SET(data)) == 0) {
                continue;
            }
            for (size_t repeat = 0; repeat < repeats_of(kernel); repeat++) {
                start_call(subject, &call, (*number)++, kc_size(kernel->sizes, s),
                           (enum kc_data)data, repeat);
                if (repeat % 2 == 0) {
                    place_at_end(&call);
                } else {
                    place_anywhere(&call);
                }
                check_call(subject, &call, &pool);
                if (given_up(subject)) {
                    return;
                }
            }
            kc_check_pool(subject, &call, &pool);
        }
    }
}

/* Every distance of every array to the page in front of it, at a few sizes of some length. */
static void check_offsets(struct kc_subject *subject, uint64_t *number) {
    const struct kc_kernel *const kernel = subject->kernel;
    const size_t small =
        kc_size_count(kernel->sizes) < 131 ? kc_size_count(kernel->sizes) / 2 : 131;
    size_t arrays = 1;
    for (size_t a = 0; a < arrays; a++) {
        struct kc_pool pool = { 0.0, 0.0 };
        struct kc_call call;
        for (size_t offset = 0; offset < KC_OFFSETS; offset++) {
            struct test_rng rng = { quash_rng_key(subject->seed, *number), 0 };
            const size_t n = kc_size(kernel->sizes, 1 + test_below(&rng, small - 1));
            start_call(subject, &call, (*number)++, n, random_data(kernel, &rng), offset);
            arrays = call.array_count;
            if (offset % call.arrays[a].alignment != 0) {
                continue;
            }
            place_anywhere(&call);
            kc_place(&call.arrays[a], a, false, offset);
            check_call(subject, &call, &pool);
            if (given_up(subject)) {
                return;
            }
        }
        kc_check_pool(subject, &call, &pool);
    }
}

void kc_check(struct kc_subject *subject) {
    uint64_t number = 0;
    check_sizes(subject, &number);
    for (int round = 0; round < 4 && !given_up(subject); round++) {
        check_offsets(subject, &number);
    }
    if (given_up(subject) && subject->out != NULL) {
        fprintf(subject->out, "     (given up after %ld failures)\n", subject->failures);
    }
}
