/* SPDX-License-Identifier: Apache-2.0 */
/* report.c: what a call left behind against what the reference left, and the line of a failure. */
#include "kernelcheck.h"

#include <float.h>
#include <stdarg.h>

#include "base/half.h"

/* ---- The line of a failure --------------------------------------------------------------- */

void kc_fail(struct kc_subject *subject, const struct kc_call *call, enum kc_failure kind,
             const char *format, ...) {
    char name[KC_NAME_BYTES];
    va_list arguments;
    subject->failures++;
    subject->by_kind[kind]++;
    if (subject->out == NULL) {
        return;
    }
    fprintf(subject->out, "FAIL %s %s: ", kc_entry_name(subject->kernel, subject->entry, name),
            subject->level);
    va_start(arguments, format);
    (void)vfprintf(subject->out, format, arguments);
    va_end(arguments);
    fprintf(subject->out, "\n     n %zu, data %s, call %" PRIu64, call->n, kc_data_name(call->data),
            call->number);
    if (call->stride > 0) {
        fprintf(subject->out, ", stride %zu", call->stride);
    }
    if (call->rows > 0) {
        fprintf(subject->out, ", rows %zu from %zu, queries %zu", call->rows, call->first,
                call->queries);
    }
    fprintf(subject->out, ", offsets");
    for (size_t i = 0; i < call->array_count; i++) {
        fprintf(subject->out, " %s %zu%s", call->arrays[i].name,
                (size_t)((uintptr_t)call->arrays[i].at % KC_OFFSETS),
                call->arrays[i].at_end ? " (at the end of its page)" : "");
    }
    fprintf(subject->out, "; --function=%s --cpu=%s --seed=%" PRIu64 "\n", name, subject->level,
            subject->seed);
}

/* ---- Exact zone -------------------------------------------------------------------------- */

static uint32_t element_bits(const unsigned char *array, size_t element_bytes, size_t i) {
    uint32_t bits = 0;
    memcpy(&bits, array + i * element_bytes, element_bytes);
    return bits;
}

static bool is_nan(uint32_t bits) {
    return (bits & 0x7FFFFFFFu) > 0x7F800000u;
}

/* Number of the first different element, or the count. */
static size_t first_difference(const unsigned char *a, const unsigned char *b,
                               const struct kc_array *array) {
    const size_t count = array->bytes / array->element_bytes;
    if (memcmp(a, b, array->bytes) == 0) {
        return count;
    }
    for (size_t i = 0; i < count; i++) {
        const uint32_t x = element_bits(a, array->element_bytes, i);
        const uint32_t y = element_bits(b, array->element_bytes, i);
        if (x != y && !(array->floats && is_nan(x) && is_nan(y))) {
            return i;
        }
    }
    return count;
}

static void fail_difference(struct kc_subject *subject, const struct kc_call *call,
                            const struct kc_array *array, size_t i, enum kc_failure kind,
                            const unsigned char *expected) {
    const int digits = (int)(2 * array->element_bytes);
    kc_fail(subject, call, kind, "%s[%zu] is 0x%0*" PRIx32 ", expected 0x%0*" PRIx32, array->name,
            i, digits, element_bits(array->at, array->element_bytes, i), digits,
            element_bits(expected, array->element_bytes, i));
}

static void compare_results(struct kc_subject *subject, const struct kc_call *call,
                            const struct kc_result *expected) {
    const struct kc_result *const found = &call->result;
    if (found->number != expected->number && !(is_nan(found->number) && is_nan(expected->number))) {
        kc_fail(subject, call, KC_DIFFERS,
                "the float returned is 0x%08" PRIx32 ", expected 0x%08" PRIx32, found->number,
                expected->number);
    }
    if (found->count != expected->count) {
        kc_fail(subject, call, KC_DIFFERS,
                "the integer returned is 0x%" PRIx64 ", expected 0x%" PRIx64,
                (uint64_t)found->count, (uint64_t)expected->count);
    }
}

void kc_compare(struct kc_subject *subject, const struct kc_call *call,
                const struct kc_result *expected) {
    compare_results(subject, call, expected);
    for (size_t a = 0; a < call->array_count; a++) {
        const struct kc_array *const array = &call->arrays[a];
        if (array->role != KC_IN) {
            const size_t i = first_difference(array->at, array->after, array);
            if (i < array->bytes / array->element_bytes) {
                fail_difference(subject, call, array, i, KC_DIFFERS, array->after);
            }
        }
    }
}

void kc_check_surroundings(struct kc_subject *subject, const struct kc_call *call) {
    for (size_t a = 0; a < call->array_count; a++) {
        const struct kc_array *const array = &call->arrays[a];
        long position;
        if (kc_canary_changed(array, a, &position)) {
            kc_fail(subject, call, KC_WRITES_BEYOND,
                    "wrote byte %ld of %s, which has %zu: 0x%02x instead of a canary", position,
                    array->name, array->bytes, array->at[position]);
        }
        if (array->role == KC_IN && memcmp(array->at, array->before, array->bytes) != 0) {
            size_t i = 0;
            while (element_bits(array->at, array->element_bytes, i) ==
                   element_bits(array->before, array->element_bytes, i)) {
                i++;
            }
            fail_difference(subject, call, array, i, KC_CHANGES_INPUT, array->before);
        }
    }
}

/* ---- Approximate zone -------------------------------------------------------------------- */

/* Two rules, e being |result - exact| / magnitude of an element, u = 2^-24, and magnitude the sum
 * of the magnitudes of its terms, each a product of two numbers:
 *   1. e <= n u / (1 - n u), n = terms + 1, for every element: no order of adding, with or without
 *      fused multiply-add, errs by more.
 *   2. the root mean square of e, over the calls with one size and one kind of data, is at most
 *      twice the reference's. Over thousands of elements, so that luck has no part in it.
 * There is no absolute term. Products cannot underflow, since integers are not below 1, and sums of
 * subnormal numbers are exact. The reference's mean error is 0 only where nothing needs rounding,
 * as with zeros, and there any order of adding is exact. */
void kc_compare_approximate(struct kc_subject *subject, const struct kc_call *call,
                            struct kc_pool *pool) {
    static double exact[KC_ARRAY_BYTES_MAX / sizeof(float)];
    static double magnitude[KC_ARRAY_BYTES_MAX / sizeof(float)];
    const struct kc_array *const array = &call->arrays[call->array_count - 1];
    const float *const found = (const float *)(const void *)array->at;
    const float *const expected = (const float *)(const void *)array->after;
    const double nu = (double)(call->terms + 1) * 0x1p-24;
    const double bound = nu / (1.0 - nu);
    bool failed = false;
    call->kernel->oracle(call, exact, magnitude);
    for (size_t i = 0; i < array->bytes / sizeof(float); i++) {
        const double error = fabs((double)found[i] - exact[i]);
        if (!(error <= bound * magnitude[i]) && !failed) { /* so that NaN fails */
            failed = true;
            kc_fail(subject, call, KC_DIFFERS,
                    "%s[%zu] is 0x%08" PRIx32 " (%.9g), exact is %.9g (nearest number 0x%08" PRIx32
                    "): off by %.3g, and no order of adding is off by more than %.3g",
                    array->name, i, quash_f32_bits(found[i]), (double)found[i], exact[i],
                    quash_f32_bits((float)exact[i]), error, bound * magnitude[i]);
        }
        if (magnitude[i] > 0.0) {
            const double relative = error / magnitude[i];
            const double reference = ((double)expected[i] - exact[i]) / magnitude[i];
            pool->candidate += relative * relative;
            pool->reference += reference * reference;
        }
    }
}

void kc_check_pool(struct kc_subject *subject, const struct kc_call *call,
                   const struct kc_pool *pool) {
    if (!(pool->candidate <= 4.0 * pool->reference)) {
        kc_fail(
            subject, call, KC_INACCURATE,
            "the error is %.3g, %.2f times the reference's %.3g (root of the sum of squares, each "
            "relative to the sum of magnitudes of its terms); up to 2 times is allowed",
            sqrt(pool->candidate), sqrt(pool->candidate / pool->reference), sqrt(pool->reference));
    }
}
