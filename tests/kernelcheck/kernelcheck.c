/* SPDX-License-Identifier: Apache-2.0 */
/* kernelcheck.c: main: finds the variants of each CPU level by comparing its table with the one of
 * the level below, and checks them. */
#include "kernelcheck.h"

/* A level at work: its table, and the one it overlays. */
struct level {
    enum quash_cpu_level level;
    const char *name;
    struct quash_kernels table;
    struct quash_kernels below;
};

static struct level level_of(enum quash_cpu_level which) {
    struct level level = { .level = which, .name = quash_cpu_level_name(which) };
    quash_kernels_fill(&level.table, which);
    quash_kernels_fill(&level.below, kc_level_below(which));
    return level;
}

/* The reference is a variant of its own; of other levels what differs from the level below. */
static bool has_variant(const struct level *level, const struct kc_kernel *kernel, size_t entry) {
    return level->level == QUASH_CPU_C || kc_differs(&level->table, &level->below, kernel, entry);
}

static void list(const struct kc_options *options) {
    char name[KC_NAME_BYTES];
    for (size_t k = 0; k < kc_kernel_count; k++) {
        for (size_t entry = 0; entry < kc_kernels[k]->entries; entry++) {
            if (!kc_selects(options, kc_entry_name(kc_kernels[k], entry, name))) {
                continue;
            }
            printf("%-20s", name);
            for (int i = QUASH_CPU_C; i < QUASH_CPU_LEVELS; i++) {
                const struct level level = level_of((enum quash_cpu_level)i);
                if (has_variant(&level, kc_kernels[k], entry)) {
                    printf(" %s", level.name);
                }
            }
            printf("\n");
        }
    }
}

struct totals {
    long variants; /* the reference left out */
    long calls;
    long failures;
};

static void check_level(const struct kc_options *options, const struct level *level,
                        const struct quash_kernels *reference, FILE *out, struct totals *totals) {
    char name[KC_NAME_BYTES];
    for (size_t k = 0; k < kc_kernel_count; k++) {
        for (size_t entry = 0; entry < kc_kernels[k]->entries; entry++) {
            if (!has_variant(level, kc_kernels[k], entry) ||
                !kc_selects(options, kc_entry_name(kc_kernels[k], entry, name))) {
                continue;
            }
            struct kc_subject subject = { .kernel = kc_kernels[k],
                                          .entry = entry,
                                          .reference = reference,
                                          .candidate = &level->table,
                                          .level = level->name,
                                          .seed = options->seed,
                                          .out = out };
            kc_check(&subject);
            fprintf(out, "%s %-8s %-20s %6ld calls\n", subject.failures == 0 ? "ok  " : "FAIL",
                    level->name, name, subject.calls);
            (void)fflush(out);
            totals->variants += level->level != QUASH_CPU_C;
            totals->calls += subject.calls;
            totals->failures += subject.failures;
        }
    }
}

/* Returns the exit code. */
static int check(const struct kc_options *options, FILE *out) {
    struct quash_kernels reference;
    struct totals totals = { 0, 0, 0 };
    quash_kernels_fill(&reference, QUASH_CPU_C);
    fprintf(out, "seed %" PRIu64 "\n", options->seed);
    for (int i = QUASH_CPU_C; i < QUASH_CPU_LEVELS; i++) {
        const struct level level = level_of((enum quash_cpu_level)i);
        if (options->cpu != NULL && options->level != level.level) {
            continue;
        }
        if (!quash_cpu_supports(level.level)) {
            fprintf(out, "SKIPPED %s: not on this machine\n", level.name);
            continue;
        }
        const struct totals before = totals;
        check_level(options, &level, &reference, out, &totals);
        if (totals.calls == before.calls) {
            fprintf(out, "---- %-8s no variants among the kernels selected\n", level.name);
        }
    }
    if (totals.variants == 0) {
        fprintf(out, "NOTHING TO COMPARE: no variant of this build was selected that this machine "
                     "can run;\nC alone was checked, for what it may read, write and change\n");
    }
    fprintf(out, "variants against C: %ld, calls: %ld, failures: %ld\n", totals.variants,
            totals.calls, totals.failures);
    return totals.failures == 0 ? 0 : 1;
}

int main(int argc, char **argv) {
    struct kc_options options;
    const int code = kc_parse(argc, argv, &options);
    if (code != 0) {
        return code;
    }
    if (options.help) {
        kc_print_help();
        return 0;
    }
    const long uncovered = kc_find_uncovered(kc_kernels, kc_kernel_count);
    if (uncovered >= 0) {
        printf("FAIL function %ld of struct quash_kernels has not exactly one descriptor\n",
               uncovered);
        return 1;
    }
    if (options.list) {
        list(&options);
        return 0;
    }
    kc_memory_start();
    kc_invoke_start();
    if (options.self_test) {
        return kc_self_test(options.seed);
    }
    FILE *const out = options.json ? stderr : stdout;
    if (options.cpu != NULL && !quash_cpu_supports(options.level)) {
        fprintf(out, "SKIPPED %s: not on this machine\n", options.cpu);
        return 77;
    }
    const int checked = check(&options, out);
    if (checked == 0 && options.bench) {
        kc_bench(&options);
    }
    return checked;
}
