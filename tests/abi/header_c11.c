/* SPDX-License-Identifier: Apache-2.0 */
/* header_c11.c: a C11 program that sees the public headers only: they compile with all warnings,
 * each initialiser fills its struct, and the shared library is the version of the header. */
#include <quash/quash.h>

#include <stdio.h>
#include <string.h>

#define TEXT(x) #x
#define VERSION(major, minor, patch) TEXT(major) "." TEXT(minor) "." TEXT(patch)

int main(void) {
    const quash_context_params context = QUASH_CONTEXT_PARAMS_INIT;
    const quash_codec_params codec = QUASH_CODEC_PARAMS_INIT;
    const quash_cache_params cache = QUASH_CACHE_PARAMS_INIT;
    const quash_attend_params attend = QUASH_ATTEND_PARAMS_INIT;
    const quash_index_params index = QUASH_INDEX_PARAMS_INIT;
    const quash_product_params product = QUASH_PRODUCT_PARAMS_INIT;
    const quash_mixed_params mixed = QUASH_MIXED_PARAMS_INIT;
    if (context.struct_size != sizeof context || codec.struct_size != sizeof codec ||
        cache.struct_size != sizeof cache || attend.struct_size != sizeof attend ||
        index.struct_size != sizeof index || product.struct_size != sizeof product ||
        mixed.struct_size != sizeof mixed) {
        puts("an initialiser does not set struct_size");
        return 1;
    }
    if (codec.seed != 42 || cache.seed != 42 || attend.causal != 1 || index.seed != 42 ||
        product.seed != 42 || mixed.seed != 42) {
        puts("an initialiser does not set every member");
        return 1;
    }
    const char *expected = VERSION(QUASH_VERSION_MAJOR, QUASH_VERSION_MINOR, QUASH_VERSION_PATCH);
    if (strcmp(quash_version_string(), expected) != 0) {
        printf("library %s, header %s\n", quash_version_string(), expected);
        return 1;
    }
    return 0;
}
