/* SPDX-License-Identifier: Apache-2.0 */
/* header_cpp.cpp: the public headers in a C++17 program, initialisers and linkage included. */
#include <quash/quash.h>

#include <cstring>

int main() {
    const quash_context_params context = QUASH_CONTEXT_PARAMS_INIT;
    const quash_codec_params codec = QUASH_CODEC_PARAMS_INIT;
    const quash_cache_params cache = QUASH_CACHE_PARAMS_INIT;
    const quash_attend_params attend = QUASH_ATTEND_PARAMS_INIT;
    const quash_index_params index = QUASH_INDEX_PARAMS_INIT;
    const quash_product_params product = QUASH_PRODUCT_PARAMS_INIT;
    const quash_mixed_params mixed = QUASH_MIXED_PARAMS_INIT;
    const bool sizes = context.struct_size == sizeof context && codec.struct_size == sizeof codec &&
                       cache.struct_size == sizeof cache && attend.struct_size == sizeof attend &&
                       index.struct_size == sizeof index && product.struct_size == sizeof product &&
                       mixed.struct_size == sizeof mixed;
    const bool linked = std::strlen(quash_status_string(QUASH_OK)) > 0;
    return sizes && linked ? 0 : 1;
}
