/* SPDX-License-Identifier: Apache-2.0 */
/* npy_header.h: what the header of a .npy file says. */
#ifndef TOOL_NPY_HEADER_H
#define TOOL_NPY_HEADER_H

#include "tool.h"

struct npy_description {
    bool have_descr, have_order, have_shape; /* used while parsing */
    char descr[32];
    bool fortran_order;
    int32_t ndim;
    int64_t shape[4];
};

/* Parses text of `length` bytes, terminated by 0, which stands at `offset` of the file `name`. */
int npy_parse_header(const char *name, const char *text, size_t length, int64_t offset,
                     struct npy_description *out, struct tool_error *error);

#endif
