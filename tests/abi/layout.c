/* SPDX-License-Identifier: Apache-2.0 */
/* layout.c: sizes and offsets of the public structs on LP64, as bindings of other languages write
 * them down. Until 1.0 they may change; a change shows up here. */
#include <quash/quash.h>

#define SIZE(type, size) _Static_assert(sizeof(type) == (size), "size of " #type)
#define AT(type, member, offset)                                                                   \
    _Static_assert(offsetof(type, member) == (offset), "offset of " #type "." #member)

#if defined(__LP64__)

SIZE(quash_array, 80);
AT(quash_array, data, 0);
AT(quash_array, dtype, 8);
AT(quash_array, ndim, 12);
AT(quash_array, shape, 16);
AT(quash_array, stride, 48);

SIZE(quash_allocator, 24);
AT(quash_allocator, user, 0);
AT(quash_allocator, alloc, 8);
AT(quash_allocator, free, 16);

SIZE(quash_runner, 24);
AT(quash_runner, user, 0);
AT(quash_runner, workers, 8);
AT(quash_runner, run, 16);

SIZE(quash_context_params, 32);
AT(quash_context_params, struct_size, 0);
AT(quash_context_params, allocator, 8);
AT(quash_context_params, runner, 16);
AT(quash_context_params, threads, 24);

SIZE(quash_codec_params, 40);
AT(quash_codec_params, struct_size, 0);
AT(quash_codec_params, dim, 4);
AT(quash_codec_params, bits, 8);
AT(quash_codec_params, scale_policy, 12);
AT(quash_codec_params, scale_dtype, 16);
AT(quash_codec_params, search_level, 20);
AT(quash_codec_params, rotation_rounds, 24);
AT(quash_codec_params, seed, 32);

SIZE(quash_cache_params, 32);
AT(quash_cache_params, struct_size, 0);
AT(quash_cache_params, kv_heads, 4);
AT(quash_cache_params, head_dim, 8);
AT(quash_cache_params, key_bits, 12);
AT(quash_cache_params, value_bits, 16);
AT(quash_cache_params, search_level, 20);
AT(quash_cache_params, seed, 24);

SIZE(quash_attend_params, 16);
AT(quash_attend_params, struct_size, 0);
AT(quash_attend_params, causal, 4);
AT(quash_attend_params, scale, 8);
AT(quash_attend_params, mode, 12);

SIZE(quash_rope_params, 32);
AT(quash_rope_params, struct_size, 0);
AT(quash_rope_params, layout, 4);
AT(quash_rope_params, rotary_dim, 8);
AT(quash_rope_params, inv_freq, 16);
AT(quash_rope_params, max_position, 24);

SIZE(quash_cache_bytes, 40);
AT(quash_cache_bytes, key_codes, 0);
AT(quash_cache_bytes, value_codes, 8);
AT(quash_cache_bytes, scales, 16);
AT(quash_cache_bytes, tables, 24);
AT(quash_cache_bytes, total, 32);

SIZE(quash_index_params, 40);
AT(quash_index_params, struct_size, 0);
AT(quash_index_params, dim, 4);
AT(quash_index_params, bits, 8);
AT(quash_index_params, metric, 12);
AT(quash_index_params, search_level, 16);
AT(quash_index_params, centre_rows, 20);
AT(quash_index_params, centre, 24);
AT(quash_index_params, seed, 32);

SIZE(quash_index_bytes, 48);
AT(quash_index_bytes, per_row, 0);
AT(quash_index_bytes, codes, 8);
AT(quash_index_bytes, raw, 16);
AT(quash_index_bytes, spare, 24);
AT(quash_index_bytes, tables, 32);
AT(quash_index_bytes, total, 40);

SIZE(quash_product_params, 24);
AT(quash_product_params, struct_size, 0);
AT(quash_product_params, dim, 4);
AT(quash_product_params, bits, 8);
AT(quash_product_params, seed, 16);

SIZE(quash_mixed_params, 48);
AT(quash_mixed_params, struct_size, 0);
AT(quash_mixed_params, dim, 4);
AT(quash_mixed_params, outlier_bits, 8);
AT(quash_mixed_params, regular_bits, 12);
AT(quash_mixed_params, outliers, 16);
AT(quash_mixed_params, outlier_count, 24);
AT(quash_mixed_params, scale_policy, 28);
AT(quash_mixed_params, search_level, 32);
AT(quash_mixed_params, product, 36);
AT(quash_mixed_params, seed, 40);

#endif
