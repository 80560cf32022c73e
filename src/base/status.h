/* SPDX-License-Identifier: Apache-2.0 */
/* status.h: failing with a message, and passing a failure on. */
#ifndef QUASH_BASE_STATUS_H
#define QUASH_BASE_STATUS_H

#include <quash/base.h>

#if defined(__GNUC__)
#define QUASH_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define QUASH_PRINTF(text, first)
#endif

/* Stores the thread's message and returns status, so that a check reads
 *     return quash_fail(QUASH_ERROR_ARGUMENT, "bits is %d, expected 1..4", bits); */
quash_status quash_fail(quash_status status, const char *format, ...) QUASH_PRINTF(2, 3);

/* Returns from the enclosing function when the call failed. */
#define QUASH_TRY(call)                                                                            \
    do {                                                                                           \
        const quash_status quash_try_status_ = (call);                                             \
        if (quash_try_status_ != QUASH_OK) {                                                       \
            return quash_try_status_;                                                              \
        }                                                                                          \
    } while (0)

#endif
