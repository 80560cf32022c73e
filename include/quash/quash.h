/* SPDX-License-Identifier: Apache-2.0 */
/* QuashKV: the whole public API in one include. Read the headers in this order:
 *
 *   base.h    context, status and message, arrays, allocator, runner
 *   codec.h   encode and decode rows of vectors, rows files, codebooks
 *   cache.h   a compressed key/value cache and attention on its codes
 *   rope.h    the position embedding of a model, for the cache's key statistics
 *   index.h   a compressed vector index and search on its codes
 *   product.h the paper's inner-product quantizer (Algorithm 2)
 *   mixed.h   more bits for some channels (paper, section 4.2)
 *   theory.h  the paper's bounds
 */
#ifndef QUASH_QUASH_H
#define QUASH_QUASH_H

#include <quash/base.h>
#include <quash/cache.h>
#include <quash/codec.h>
#include <quash/index.h>
#include <quash/mixed.h>
#include <quash/product.h>
#include <quash/rope.h>
#include <quash/theory.h>

#endif
