/* SPDX-License-Identifier: Apache-2.0 */
/* runner.h: running a job in parallel pieces, each under the library's own floating-point state. */
#ifndef QUASH_BASE_RUNNER_H
#define QUASH_BASE_RUNNER_H

#include <quash/base.h>

#define QUASH_WORKERS_MAX 1024

/* One worker, the calling thread. */
extern const quash_runner quash_serial_runner;

/* Calls task(state, i, worker) for i in [0, count), with round to nearest and denormals kept on
 * every thread whatever the host has set; the host's state is restored. */
void quash_run(const quash_runner *runner, quash_task task, void *state, int64_t count);

#endif
