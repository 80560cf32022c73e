/* SPDX-License-Identifier: Apache-2.0 */
/* write_npy.h: the header of a .npy file of rows. */
#ifndef TOOL_WRITE_NPY_H
#define TOOL_WRITE_NPY_H

#include "output.h"

/* Writes the header of a file of version 1.0; rows x dim numbers of dtype (F32 or F16) follow. */
int npy_write_header(struct output *output, quash_dtype dtype, int64_t rows, int64_t dim,
                     struct tool_error *error);

#endif
