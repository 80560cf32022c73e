/* SPDX-License-Identifier: Apache-2.0 */
/* QuashKV: the whole public API in one include. Read the headers in this order:
 *
 *   base.h    context, status and message, arrays, allocator, runner
 *   codec.h   encode and decode rows of vectors, rows files, codebooks
 *   cache.h   a compressed key/value cache and attention on its codes
 *   index.h   a compressed vector index and search on its codes
 */
#ifndef QUASH_QUASH_H
#define QUASH_QUASH_H

#include <quash/base.h>
#include <quash/cache.h>
#include <quash/codec.h>
#include <quash/index.h>

#endif
