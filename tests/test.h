/* SPDX-License-Identifier: Apache-2.0 */
/* test.h: all the test framework there is. A test program is a list of functions:
 *
 *     TEST(codes_survive_a_round_trip) {
 *         CHECK_EQ(quash_codec_create(&codec, context, &params), QUASH_OK);
 *         CHECK_NEAR(nmse, 0.0095, 0.0001);
 *     }
 *     int main(void) {
 *         RUN(codes_survive_a_round_trip);
 *         return test_report();
 *     }
 *
 * A failed check prints where and what, and the test goes on; each macro is an expression that is
 * true when the check holds, so that a test can write `if (!CHECK(p != NULL)) return;`. Checks may
 * be made from any thread. A program that made no check at all fails.
 */
#ifndef QUASH_TEST_H
#define QUASH_TEST_H

#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

static atomic_long test_checks;
static atomic_long test_failures;

static inline bool test_check(bool ok, const char *file, int line, const char *text) {
    atomic_fetch_add(&test_checks, 1);
    if (!ok) {
        atomic_fetch_add(&test_failures, 1);
        printf("%s:%d: failed: %s\n", file, line, text);
    }
    return ok;
}

static inline bool test_check_eq(intmax_t a, intmax_t b, const char *file, int line,
                                 const char *text) {
    const bool ok = test_check(a == b, file, line, text);
    if (!ok) {
        printf("    %jd, expected %jd\n", a, b);
    }
    return ok;
}

static inline bool test_check_near(double a, double b, double tolerance, const char *file, int line,
                                   const char *text) {
    /* Written so that NaN fails. */
    const bool ok = test_check(fabs(a - b) <= tolerance, file, line, text);
    if (!ok) {
        printf("    %.9g, expected %.9g within %.3g\n", a, b, tolerance);
    }
    return ok;
}

#define CHECK(condition) test_check((condition), __FILE__, __LINE__, #condition)
/* Integers of any type, pointers excluded. */
#define CHECK_EQ(a, b) test_check_eq((intmax_t)(a), (intmax_t)(b), __FILE__, __LINE__, #a " == " #b)
#define CHECK_NEAR(a, b, tolerance)                                                                \
    test_check_near((double)(a), (double)(b), (double)(tolerance), __FILE__, __LINE__,             \
                    #a " near " #b)

#define TEST(name) static void name(void)
#define RUN(name) test_run(#name, name)

static inline void test_run(const char *name, void (*function)(void)) {
    const long before = atomic_load(&test_failures);
    function();
    printf("%s %s\n", atomic_load(&test_failures) == before ? "ok  " : "FAIL", name);
    fflush(stdout);
}

/* The exit code of main. */
static inline int test_report(void) {
    const long checks = atomic_load(&test_checks);
    const long failures = atomic_load(&test_failures);
    printf("%ld checks, %ld failed\n", checks, failures);
    return failures == 0 && checks > 0 ? 0 : 1;
}

#endif
