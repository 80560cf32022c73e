/* SPDX-License-Identifier: Apache-2.0 */
/* self_test.c: proof that kernelcheck can fail: each planted kernel must be found and reported as
 * what it is, and functions that are right must pass. */
#include "plants.h"

/* The registered descriptor of a name. */
static const struct kc_kernel *kernel_named(const char *name) {
    for (size_t k = 0; k < kc_kernel_count; k++) {
        if (strcmp(kc_kernels[k]->name, name) == 0) {
            return kc_kernels[k];
        }
    }
    return NULL;
}

static struct kc_subject check_table(const struct kc_kernel *kernel, size_t entry,
                                     const struct quash_kernels *candidate, uint64_t seed) {
    struct quash_kernels reference;
    quash_kernels_fill(&reference, QUASH_CPU_C);
    struct kc_subject subject = { .kernel = kernel,
                                  .entry = entry,
                                  .reference = &reference,
                                  .candidate = candidate,
                                  .level = "planted",
                                  .seed = seed };
    kc_check(&subject);
    subject.reference = NULL; /* it was this function's */
    return subject;
}

static void check_plant(const struct kc_plant *plant, uint64_t seed) {
    static const char *const kinds[KC_FAILURES] = {
        "differs", "inaccurate", "writes beyond", "changes input", "crashes", "changes float state",
    };
    const struct kc_kernel *const kernel = kernel_named(plant->kernel);
    struct quash_kernels reference;
    struct quash_kernels planted;
    if (!CHECK(kernel != NULL)) {
        return;
    }
    quash_kernels_fill(&reference, QUASH_CPU_C);
    planted = reference;
    plant->plant(&planted);
    CHECK(kc_differs(&planted, &reference, kernel, plant->entry));
    const struct kc_subject subject = check_table(kernel, plant->entry, &planted, seed);
    const bool found = CHECK(subject.by_kind[plant->expected] > 0);
    printf("%s %s in %s: %s, %ld failures of %ld calls\n", found ? "ok  " : "FAIL", plant->what,
           plant->kernel, kinds[plant->expected], subject.failures, subject.calls);
}

/* A function that is another one, but right, must pass, and be found as a difference by itself. */
static void right_multiply(float *x, size_t n, float factor) {
    quash_multiply_c(x, n, factor);
}

static void right_accumulate(const int8_t *integers, const uint8_t *values, size_t value_dims,
                             const float (*weights)[64], size_t rows, float *out,
                             size_t dim_stride) {
    quash_tile_accumulate_3_c(integers, values, value_dims, weights, rows, out, dim_stride);
}

static uint64_t self_test_seed;

TEST(right_functions_pass) {
    struct quash_kernels reference;
    struct quash_kernels table;
    long differing = 0;
    quash_kernels_fill(&reference, QUASH_CPU_C);
    table = reference;
    table.multiply = right_multiply;
    table.tile_accumulate[1] = right_accumulate;
    for (size_t k = 0; k < kc_kernel_count; k++) {
        for (size_t entry = 0; entry < kc_kernels[k]->entries; entry++) {
            if (kc_differs(&table, &reference, kc_kernels[k], entry)) {
                differing++;
                const struct kc_subject subject =
                    check_table(kc_kernels[k], entry, &table, self_test_seed);
                CHECK_EQ(subject.failures, 0);
                CHECK(subject.calls > 500);
            }
        }
    }
    CHECK_EQ(differing, 2);
}

TEST(a_kernel_without_descriptor_is_noticed) {
    const long slots = (long)(sizeof(struct quash_kernels) / sizeof(void (*)(void)));
    CHECK_EQ(kc_find_uncovered(kc_kernels, kc_kernel_count), -1);
    for (size_t count = 0; count < kc_kernel_count; count++) {
        const long uncovered = kc_find_uncovered(kc_kernels, count);
        CHECK(uncovered >= 0 && uncovered < slots);
    }
}

int kc_self_test(uint64_t seed) {
    printf("seed %" PRIu64 "\n", seed);
    self_test_seed = seed;
    RUN(right_functions_pass);
    RUN(a_kernel_without_descriptor_is_noticed);
    for (size_t i = 0; i < kc_plant_count; i++) {
        check_plant(&kc_plants[i], seed);
    }
    for (size_t i = 0; i < kc_digit_plant_count; i++) {
        check_plant(&kc_digit_plants[i], seed);
    }
    return test_report();
}
