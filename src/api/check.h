/* SPDX-License-Identifier: Apache-2.0 */
/* check.h: argument checks that the create functions share. */
#ifndef QUASH_API_CHECK_H
#define QUASH_API_CHECK_H

#include <quash/base.h>

/* A parameter that must lie in [low, high]. Errors: ARGUMENT, naming it. */
quash_status quash_check_range(const char *name, int64_t value, int64_t low, int64_t high);

/* The three pointers of a create function, and params->struct_size. Errors: ARGUMENT. */
quash_status quash_check_create(const void *out, const void *context, const void *params,
                                uint32_t struct_size, size_t expected_size);

#endif
