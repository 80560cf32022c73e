/* SPDX-License-Identifier: Apache-2.0 */
/* options.c: the command line. */
#define _DEFAULT_SOURCE /* fnmatch, clock_gettime */
#include "kernelcheck.h"

#include <errno.h>
#include <fnmatch.h>
#include <time.h>
#include <unistd.h>

void kc_print_help(void) {
    printf(
        "kernelcheck: compares the kernels of each CPU level with the C reference\n\n"
        "usage: kernelcheck [OPTIONS]\n\n"
        "  --function=PATTERN  only kernels whose name contains PATTERN, or matches it where it\n"
        "                      has *, ? or [\n"
        "  --cpu=LEVEL         only the variants of c, avx2, avx512, neon or dotprod\n"
        "  --seed=N            repeat the data of a run (default: from the clock)\n"
        "  --bench             after the checks, time C and each level\n"
        "  --json              with --bench: one JSON document instead of the table\n"
        "  --list              the kernels and the levels that have their own variant\n"
        "  --self-test         plant wrong kernels, and demand that each is found\n"
        "  --help              this text\n\n"
        "examples:\n"
        "  kernelcheck                             all that this machine can run\n"
        "  kernelcheck --function=pack --cpu=avx2  pack_1 to pack_4, unpack_1 to unpack_4\n"
        "  kernelcheck --function='load_*'         the five loads\n"
        "  kernelcheck --bench --function=rotate   check and time a kernel at work\n"
        "  kernelcheck --bench --json > now.json   keep the times of this machine\n\n"
        "exit codes: 0 all as it must be, 1 a check failed, 2 mistake on the command line,\n"
        "77 the level of --cpu is not on this machine\n");
}

bool kc_selects(const struct kc_options *options, const char *name) {
    const char *const pattern = options->function;
    if (pattern == NULL) {
        return true;
    }
    if (strpbrk(pattern, "*?[") != NULL) {
        return fnmatch(pattern, name, 0) == 0;
    }
    return strstr(name, pattern) != NULL;
}

static bool selects_any(const struct kc_options *options) {
    char name[KC_NAME_BYTES];
    for (size_t k = 0; k < kc_kernel_count; k++) {
        for (size_t entry = 0; entry < kc_kernels[k]->entries; entry++) {
            if (kc_selects(options, kc_entry_name(kc_kernels[k], entry, name))) {
                return true;
            }
        }
    }
    return false;
}

static bool parse_level(const char *name, enum quash_cpu_level *level) {
    for (int i = QUASH_CPU_C; i < QUASH_CPU_LEVELS; i++) {
        if (strcmp(name, quash_cpu_level_name((enum quash_cpu_level)i)) == 0) {
            *level = (enum quash_cpu_level)i;
            return true;
        }
    }
    return false;
}

static bool parse_seed(const char *text, uint64_t *seed) {
    char *end;
    errno = 0;
    const unsigned long long value = strtoull(text, &end, 10);
    *seed = value;
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0;
}

static uint64_t seed_of_now(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    const uint64_t nanoseconds = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    return quash_rng_mix(nanoseconds ^ (uint64_t)getpid() << 48) >> 32; /* short to type */
}

/* The text behind "--name=", or NULL. */
static const char *value_of(const char *argument, const char *name) {
    const size_t length = strlen(name);
    return strncmp(argument, name, length) == 0 ? argument + length : NULL;
}

static int complain(const char *problem, const char *argument) {
    fprintf(stderr, "kernelcheck: %s: %s (see --help)\n", problem, argument);
    return 2;
}

static int parse_argument(const char *argument, struct kc_options *options) {
    const struct {
        const char *name;
        bool *flag;
    } flags[] = { { "--bench", &options->bench },
                  { "--json", &options->json },
                  { "--list", &options->list },
                  { "--self-test", &options->self_test },
                  { "--help", &options->help } };
    for (size_t i = 0; i < COUNT_OF(flags); i++) {
        if (strcmp(argument, flags[i].name) == 0) {
            *flags[i].flag = true;
            return 0;
        }
    }
    const char *value;
    if ((value = value_of(argument, "--function=")) != NULL) {
        options->function = value;
        return 0;
    }
    if ((value = value_of(argument, "--cpu=")) != NULL) {
        options->cpu = value;
        return parse_level(value, &options->level)
                   ? 0
                   : complain("expected c, avx2, avx512, neon or dotprod", argument);
    }
    if ((value = value_of(argument, "--seed=")) != NULL) {
        return parse_seed(value, &options->seed)
                   ? 0
                   : complain("expected a whole number below 2^64", argument);
    }
    return complain("unknown option", argument);
}

int kc_parse(int argc, char **argv, struct kc_options *options) {
    *options = (struct kc_options){ .seed = seed_of_now() };
    for (int i = 1; i < argc; i++) {
        const int code = parse_argument(argv[i], options);
        if (code != 0) {
            return code;
        }
    }
    if (options->json && !options->bench) {
        return complain("only with --bench", "--json");
    }
    if (!selects_any(options)) {
        return complain("no kernel has such a name", options->function);
    }
    return 0;
}
