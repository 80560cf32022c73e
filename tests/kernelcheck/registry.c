/* SPDX-License-Identifier: Apache-2.0 */
/* registry.c: the list of all descriptors, and its comparison with the kernel table. */
#include "kernelcheck.h"
#include "kernels.h"

const struct kc_kernel *const kc_kernels[] = {
    &kc_max_abs,
    &kc_sum_squares,
    &kc_multiply,
    &kc_rotate,
    &kc_unrotate,
    &kc_half_butterfly,
    &kc_quantize,
    &kc_dequantize,
    &kc_pack,
    &kc_unpack,
    &kc_pack_unit,
    &kc_load,
    &kc_store,
    &kc_find_nonfinite,
    &kc_scan,
    &kc_tile_scores,
    &kc_tile_accumulate,
    &kc_fast_scores,
    &kc_fast_softmax,
    &kc_fast_values,
    &kc_exact_scores,
    &kc_exact_softmax,
    &kc_exact_values,
    &kc_query_digits,
    &kc_mean_coefficients,
    &kc_mean_term,
};
const size_t kc_kernel_count = COUNT_OF(kc_kernels);

typedef void any_function(void);

#define TABLE_SLOTS (sizeof(struct quash_kernels) / sizeof(any_function *))

const char *kc_entry_name(const struct kc_kernel *kernel, size_t entry, char name[KC_NAME_BYTES]) {
    (void)snprintf(name, KC_NAME_BYTES, "%s%s%s", kernel->name, kernel->labels != NULL ? "_" : "",
                   kernel->labels != NULL ? kernel->labels[entry] : "");
    return name;
}

bool kc_differs(const struct quash_kernels *a, const struct quash_kernels *b,
                const struct kc_kernel *kernel, size_t entry) {
    const size_t slot = kernel->slots > 1 ? entry : 0;
    const size_t at = kernel->offset + slot * sizeof(any_function *);
    return memcmp((const char *)a + at, (const char *)b + at, sizeof(any_function *)) != 0;
}

/* The rules of attention on digits are no functions. */
static void mark_rules(int covered[TABLE_SLOTS]) {
    const size_t start = offsetof(struct quash_kernels, digits) / sizeof(any_function *);
    const size_t rule_slots = offsetof(struct quash_digit_kernels, scores) / sizeof(any_function *);
    const size_t mode_slots = sizeof(struct quash_digit_kernels) / sizeof(any_function *);
    for (size_t i = start; i < TABLE_SLOTS; i++) {
        covered[i] = (i - start) % mode_slots < rule_slots;
    }
}

long kc_find_uncovered(const struct kc_kernel *const *kernels, size_t count) {
    int covered[TABLE_SLOTS] = { 0 };
    mark_rules(covered);
    for (size_t k = 0; k < count; k++) {
        const size_t first = kernels[k]->offset / sizeof(any_function *);
        for (size_t i = 0; i < kernels[k]->slots; i++) {
            covered[first + i]++;
        }
    }
    for (size_t i = 0; i < TABLE_SLOTS; i++) {
        if (covered[i] != 1) {
            return (long)i;
        }
    }
    return -1;
}

size_t kc_size_count(const struct kc_sizes *sizes) {
    return sizes->dense + sizes->more_count;
}

size_t kc_size(const struct kc_sizes *sizes, size_t i) {
    return i < sizes->dense ? i * sizes->unit : sizes->more[i - sizes->dense];
}

enum quash_cpu_level kc_level_below(enum quash_cpu_level level) {
    switch (level) {
    case QUASH_CPU_AVX512: return QUASH_CPU_AVX2;
    case QUASH_CPU_DOTPROD: return QUASH_CPU_NEON;
    default: return QUASH_CPU_C;
    }
}
