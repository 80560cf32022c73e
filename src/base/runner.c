/* SPDX-License-Identifier: Apache-2.0 */
/* runner.c: the serial runner, and the floating-point state of every piece of work. */
#include "base/runner.h"

#include "base/fpstate.h"

struct job {
    quash_task task;
    void *state;
};

/* The task is reached through a pointer, so no arithmetic of it can move out of the guarded
 * part. */
static void guarded_task(void *state, int64_t index, int32_t worker) {
    const struct job *const job = state;
    const quash_fpstate host = quash_fpstate_enter();
    job->task(job->state, index, worker);
    quash_fpstate_leave(host);
}

static void run_serially(void *user, quash_task task, void *state, int64_t count) {
    (void)user;
    for (int64_t i = 0; i < count; i++) {
        task(state, i, 0);
    }
}

const quash_runner quash_serial_runner = { NULL, 1, run_serially };

void quash_run(const quash_runner *runner, quash_task task, void *state, int64_t count) {
    struct job job = { task, state };
    runner->run(runner->user, guarded_task, &job, count);
}
