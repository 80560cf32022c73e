/* SPDX-License-Identifier: Apache-2.0 */
/* read_vecs.h: the reader of .fvecs and .bvecs files, for source.c alone. */
#ifndef TOOL_READ_VECS_H
#define TOOL_READ_VECS_H

#include "source_state.h"

/* As source_open_input and source_read of source.h. */
int vecs_open(struct source *source, struct tool_error *error);
int vecs_read(struct source *source, void *buffer, int64_t max, int64_t *got,
              struct tool_error *error);

#endif
