/* SPDX-License-Identifier: Apache-2.0 */
/* read_npy.h: the reader of .npy files, for source.c alone. */
#ifndef TOOL_READ_NPY_H
#define TOOL_READ_NPY_H

#include "source_state.h"

/* As source_open_input and source_read of source.h. */
int npy_open(struct source *source, struct tool_error *error);
int npy_read(struct source *source, void *buffer, int64_t max, int64_t *got,
             struct tool_error *error);

#endif
