/* SPDX-License-Identifier: Apache-2.0 */
/* pool.h: the runner of a context that was given none: threads that sleep between jobs. The thread
 * that calls is worker 0 and works too. Threads start when a job first has a piece for them, and
 * end with the pool.
 *
 * Of two jobs at once the pool serves the one that came first; the other runs on its own thread at
 * once. A forked child may go on with its copy: the threads it does not have are started anew. */
#ifndef QUASH_BASE_POOL_H
#define QUASH_BASE_POOL_H

#include <quash/base.h>

struct quash_pool;

/* Number of workers for quash_context_params.threads and the value of QUASH_THREADS (or NULL).
 * Errors: ARGUMENT, naming whichever is wrong. */
quash_status quash_pool_workers(int32_t threads, const char *environment, int32_t *workers);

/* Bytes of a pool, and a pool in such memory, aligned to QUASH_ALIGNMENT. Starts nothing. */
size_t quash_pool_bytes(int32_t workers);
struct quash_pool *quash_pool_init(void *memory, int32_t workers);

quash_runner quash_pool_runner(struct quash_pool *pool);

/* Ends and joins the threads of this process. The memory remains the caller's. */
void quash_pool_stop(struct quash_pool *pool);

#endif
