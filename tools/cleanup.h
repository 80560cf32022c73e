/* SPDX-License-Identifier: Apache-2.0 */
/* cleanup.h: the one unfinished file that a signal removes before it ends the program. */
#ifndef TOOL_CLEANUP_H
#define TOOL_CLEANUP_H

#include <signal.h>

/* Between the two, no signal removes anything, whichever thread receives it: a file is created or
 * renamed and cleanup_set called as if at once. The first call begins to catch the signals. */
void cleanup_begin_change(sigset_t *before);
void cleanup_end_change(const sigset_t *before);

/* Within a change: the path to remove, which must stay valid; NULL: none. */
void cleanup_set(const char *path);

#endif
