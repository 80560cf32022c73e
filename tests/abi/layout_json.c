/* SPDX-License-Identifier: Apache-2.0 */
/* layout_json.c: prints the size and the field offsets of each public struct as JSON,
 * {"quash_array": {"sizeof": 80, "data": 0, ...}, ...}, for bindings of other languages to check
 * what they wrote down. */
#include <quash/quash.h>

#include <stdio.h>

static const char *separator = "";

#define BEGIN(type)                                                                                \
    printf("%s\n  \"%s\": {\"sizeof\": %zu", separator, #type, sizeof(type));                      \
    separator = ","
#define FIELD(type, member) printf(", \"%s\": %zu", #member, offsetof(type, member))
#define END() printf("}")

static void print_base(void) {
    BEGIN(quash_array);
    FIELD(quash_array, data);
    FIELD(quash_array, dtype);
    FIELD(quash_array, ndim);
    FIELD(quash_array, shape);
    FIELD(quash_array, stride);
    END();
    BEGIN(quash_allocator);
    FIELD(quash_allocator, user);
    FIELD(quash_allocator, alloc);
    FIELD(quash_allocator, free);
    END();
    BEGIN(quash_runner);
    FIELD(quash_runner, user);
    FIELD(quash_runner, workers);
    FIELD(quash_runner, run);
    END();
    BEGIN(quash_context_params);
    FIELD(quash_context_params, struct_size);
    FIELD(quash_context_params, allocator);
    FIELD(quash_context_params, runner);
    FIELD(quash_context_params, threads);
    END();
}

static void print_codecs(void) {
    BEGIN(quash_codec_params);
    FIELD(quash_codec_params, struct_size);
    FIELD(quash_codec_params, dim);
    FIELD(quash_codec_params, bits);
    FIELD(quash_codec_params, scale_policy);
    FIELD(quash_codec_params, scale_dtype);
    FIELD(quash_codec_params, search_level);
    FIELD(quash_codec_params, rotation_rounds);
    FIELD(quash_codec_params, seed);
    END();
    BEGIN(quash_product_params);
    FIELD(quash_product_params, struct_size);
    FIELD(quash_product_params, dim);
    FIELD(quash_product_params, bits);
    FIELD(quash_product_params, seed);
    END();
    BEGIN(quash_mixed_params);
    FIELD(quash_mixed_params, struct_size);
    FIELD(quash_mixed_params, dim);
    FIELD(quash_mixed_params, outlier_bits);
    FIELD(quash_mixed_params, regular_bits);
    FIELD(quash_mixed_params, outliers);
    FIELD(quash_mixed_params, outlier_count);
    FIELD(quash_mixed_params, scale_policy);
    FIELD(quash_mixed_params, search_level);
    FIELD(quash_mixed_params, product);
    FIELD(quash_mixed_params, seed);
    END();
}

static void print_stores(void) {
    BEGIN(quash_cache_params);
    FIELD(quash_cache_params, struct_size);
    FIELD(quash_cache_params, kv_heads);
    FIELD(quash_cache_params, head_dim);
    FIELD(quash_cache_params, key_bits);
    FIELD(quash_cache_params, value_bits);
    FIELD(quash_cache_params, search_level);
    FIELD(quash_cache_params, seed);
    END();
    BEGIN(quash_attend_params);
    FIELD(quash_attend_params, struct_size);
    FIELD(quash_attend_params, causal);
    FIELD(quash_attend_params, scale);
    FIELD(quash_attend_params, mode);
    END();
    BEGIN(quash_cache_bytes);
    FIELD(quash_cache_bytes, key_codes);
    FIELD(quash_cache_bytes, value_codes);
    FIELD(quash_cache_bytes, scales);
    FIELD(quash_cache_bytes, tables);
    FIELD(quash_cache_bytes, total);
    END();
    BEGIN(quash_index_params);
    FIELD(quash_index_params, struct_size);
    FIELD(quash_index_params, dim);
    FIELD(quash_index_params, bits);
    FIELD(quash_index_params, metric);
    FIELD(quash_index_params, search_level);
    FIELD(quash_index_params, centre_rows);
    FIELD(quash_index_params, centre);
    FIELD(quash_index_params, seed);
    END();
    BEGIN(quash_index_bytes);
    FIELD(quash_index_bytes, per_row);
    FIELD(quash_index_bytes, codes);
    FIELD(quash_index_bytes, raw);
    FIELD(quash_index_bytes, spare);
    FIELD(quash_index_bytes, tables);
    FIELD(quash_index_bytes, total);
    END();
}

int main(void) {
    printf("{");
    print_base();
    print_codecs();
    print_stores();
    printf("\n}\n");
    return 0;
}
