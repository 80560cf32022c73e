/* SPDX-License-Identifier: Apache-2.0 */
/* bench.c: the time of a call, for C and each level that has a function of its own. Arrays are
 * aligned to 64 bytes and in the first cache; the time includes some 3 ns for the way to the
 * kernel. The smallest of many rounds counts, in which the levels take turns, so that all see the
 * same noise. */
#define _DEFAULT_SOURCE /* clock_gettime */
#include "kernelcheck.h"

#include <time.h>

#define ROUNDS 40
#define ROUND_NS 30000.0

static double now_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double time_ns(const struct quash_kernels *kernels, struct kc_call *call, size_t calls) {
    const double start = now_ns();
    for (size_t i = 0; i < calls; i++) {
        call->kernel->invoke(kernels, call);
    }
    return (now_ns() - start) / (double)calls;
}

/* Bytes read and written. */
static double bytes_touched(const struct kc_call *call) {
    size_t bytes = call->touched;
    if (bytes > 0) {
        return (double)bytes;
    }
    for (size_t i = 0; i < call->array_count; i++) {
        bytes += call->arrays[i].bytes * (call->arrays[i].role == KC_INOUT ? 2 : 1);
    }
    return (double)bytes;
}

static void start_call(const struct kc_options *options, const struct kc_kernel *kernel,
                       size_t entry, size_t n, const struct quash_kernels *table,
                       struct kc_call *call) {
    *call =
        (struct kc_call){ .kernel = kernel,
                          .entry = entry,
                          .n = n,
                          .data = (kernel->data & KC_SET(KC_GAUSSIAN)) != 0 ? KC_GAUSSIAN : KC_BITS,
                          .bench = true,
                          .table = table,
                          .rng = test_rng_start(options->seed) };
    kernel->plan(call);
    for (size_t i = 0; i < call->array_count; i++) {
        kc_place(&call->arrays[i], i, false, 0);
        kc_restore(&call->arrays[i], i);
    }
}

/* A table, whether it is timed, and its smallest time. */
struct timing {
    const char *level;
    struct quash_kernels table;
    bool timed;
    double ns;
};

/* C first, in any case: the others are compared with it. Others where the function differs from the
 * one of the level below. */
static void choose_timings(const struct kc_options *options, const struct kc_kernel *kernel,
                           size_t entry, struct timing timings[QUASH_CPU_LEVELS]) {
    for (int i = QUASH_CPU_C; i < QUASH_CPU_LEVELS; i++) {
        const enum quash_cpu_level level = (enum quash_cpu_level)i;
        struct quash_kernels below;
        timings[i].level = quash_cpu_level_name(level);
        quash_kernels_fill(&timings[i].table, level);
        quash_kernels_fill(&below, kc_level_below(level));
        timings[i].timed =
            level == QUASH_CPU_C ||
            (quash_cpu_supports(level) && (options->cpu == NULL || options->level == level) &&
             kc_differs(&timings[i].table, &below, kernel, entry));
        timings[i].ns = (double)INFINITY;
    }
}

static void time_all(struct timing timings[QUASH_CPU_LEVELS], struct kc_call *call) {
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = QUASH_CPU_C; i < QUASH_CPU_LEVELS; i++) {
            if (timings[i].timed) {
                const double calls = timings[i].ns < ROUND_NS ? ROUND_NS / timings[i].ns : 1.0;
                const double ns = time_ns(&timings[i].table, call, round == 0 ? 64 : (size_t)calls);
                timings[i].ns = fmax(fmin(timings[i].ns, ns), 0.01);
            }
        }
    }
}

static void print_timings(const struct kc_options *options,
                          const struct timing timings[QUASH_CPU_LEVELS], const struct kc_call *call,
                          const char *name, bool *first) {
    const char *const note = call->kernel->bench_note != NULL ? call->kernel->bench_note : "";
    for (int i = QUASH_CPU_C; i < QUASH_CPU_LEVELS; i++) {
        const double gb_per_s = bytes_touched(call) / timings[i].ns;
        const double speedup = timings[QUASH_CPU_C].ns / timings[i].ns;
        if (!timings[i].timed) {
            continue;
        }
        if (options->json) {
            printf("%s\n    {\"kernel\": \"%s\", \"level\": \"%s\", \"n\": %zu, \"note\": \"%s\", "
                   "\"ns\": %.2f, \"gb_per_s\": %.3f, \"speedup\": %.3f}",
                   *first ? "" : ",", name, timings[i].level, call->n, note, timings[i].ns,
                   gb_per_s, speedup);
        } else {
            printf("%-20s %6zu %-8s %12.1f %8.2f %8.2f  %s\n", name, call->n, timings[i].level,
                   timings[i].ns, gb_per_s, speedup, note);
        }
        *first = false;
    }
}

void kc_bench(const struct kc_options *options) {
    static struct timing timings[QUASH_CPU_LEVELS];
    bool first = true;
    if (options->json) {
        printf("{\"seed\": %" PRIu64 ", \"results\": [", options->seed);
    } else {
        printf("\n%-20s %6s %-8s %12s %8s %8s\n", "kernel", "n", "level", "ns/call", "GB/s",
               "x of C");
    }
    for (size_t k = 0; k < kc_kernel_count; k++) {
        const struct kc_kernel *const kernel = kc_kernels[k];
        for (size_t entry = 0; entry < kernel->entries; entry++) {
            char name[KC_NAME_BYTES];
            if (!kc_selects(options, kc_entry_name(kernel, entry, name))) {
                continue;
            }
            for (size_t s = 0; s < COUNT_OF(kernel->bench_sizes); s++) {
                struct kc_call call;
                choose_timings(options, kernel, entry, timings);
                start_call(options, kernel, entry, kernel->bench_sizes[s], &timings[0].table,
                           &call);
                time_all(timings, &call);
                print_timings(options, timings, &call, name, &first);
            }
            (void)fflush(stdout);
        }
    }
    if (options->json) {
        printf("\n]}\n");
    }
}
