/* SPDX-License-Identifier: Apache-2.0 */
/* Pins the bytes of a cache tile (doc/format.md, section 10): the code of every (token, dim) and
 * every scale lies where the document says, worked out here anew; what no token fills is zero; and
 * checksums of whole pages of one fixed input notice any change of layout or of encoding. */
#include "cache_support.h"

/* ---- The document, in code --------------------------------------------------------------- */

/* Code of element e of lane l of a unit. */
static unsigned code_in_unit(const uint8_t *unit, int bits, size_t l, size_t e) {
    const size_t column = 4 * l + e % 4;
    const size_t R = e / 4;
    if (bits == 4) {
        return unit[R / 2 * 64 + column] >> (R % 2 == 0 ? 0 : 4) & 15u;
    }
    if (bits == 2) {
        return unit[R / 4 * 64 + column] >> 2 * (R % 4) & 3u;
    }
    if (R <= 5) {
        return unit[R / 2 * 64 + column] >> (R % 2 == 0 ? 0 : 4) & 7u;
    }
    const unsigned at = R == 6 ? 3 : 7;
    const unsigned bit_2 = unit[column] >> at & 1u;
    const unsigned bit_1 = unit[64 + column] >> at & 1u;
    const unsigned bit_0 = unit[128 + column] >> at & 1u;
    return bit_2 << 2 | bit_1 << 1 | bit_0;
}

static size_t round_up(size_t value, size_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

struct document {
    size_t kd;
    size_t vd;
    int key_bits;
    int value_bits;
};

static unsigned key_code(const struct document *d, const uint8_t *tile, size_t slot, size_t dim) {
    const size_t number = slot / 16 * (d->kd / 32) + dim / 32;
    return code_in_unit(tile + number * 64 * (size_t)d->key_bits, d->key_bits, slot % 16, dim % 32);
}

static size_t value_units(const struct document *d) {
    return 64 * d->kd * (size_t)d->key_bits / 8;
}

static unsigned value_code(const struct document *d, const uint8_t *tile, size_t slot, size_t dim) {
    const size_t number = 2 * (dim / 16) + slot / 32;
    return code_in_unit(tile + value_units(d) + number * 64 * (size_t)d->value_bits, d->value_bits,
                        dim % 16, slot % 32);
}

static size_t key_scales(const struct document *d) {
    return value_units(d) + 64 * d->vd * (size_t)d->value_bits / 8;
}

static unsigned half_at(const uint8_t *bytes, size_t i) {
    return bytes[2 * i] | (unsigned)bytes[2 * i + 1] << 8; /* little-endian */
}

/* ---- Units and places -------------------------------------------------------------------- */

TEST(units_are_as_documented) {
    static const uint32_t crcs[] = { 0x89230918, 0x69619D72, 0x469522BF }; /* of the document */
    static const uint8_t starts[3][8] = { { 0x00, 0xFF, 0xAA, 0x55, 0x55, 0x55, 0x55, 0x55 },
                                          { 0xC0, 0xF3, 0x2E, 0xD1, 0xDD, 0x11, 0xDD, 0x11 },
                                          { 0xC0, 0xF3, 0x26, 0x59, 0x55, 0x99, 0xDD, 0x11 } };
    for (int bits = 2; bits <= 4; bits++) {
        uint8_t unit[256];
        memset(unit, 0x5A, sizeof unit); /* put replaces what was there */
        for (size_t lane = 0; lane < 16; lane++) {
            for (size_t e = 0; e < 32; e++) {
                const size_t code = 5 * lane + 3 * e + lane * e;
                quash_unit_put(unit, bits, lane, e, (uint32_t)(code % (1u << bits)));
            }
        }
        CHECK(memcmp(unit, starts[bits - 2], 8) == 0);
        CHECK_EQ(quash_crc32c(0, unit, 64 * (size_t)bits), crcs[bits - 2]);
        CHECK_EQ(unit[bits < 4 ? 64 * bits : 0], bits < 4 ? 0x5A : 0xC0); /* nothing behind it */
        for (size_t lane = 0; lane < 16; lane++) {
            for (size_t e = 0; e < 32; e++) {
                const size_t code = 5 * lane + 3 * e + lane * e;
                CHECK_EQ(quash_unit_get(unit, bits, lane, e), code % (1u << bits));
                CHECK_EQ(code_in_unit(unit, bits, lane, e), code % (1u << bits));
            }
        }
    }
}

/* By hand, head_dim 80 at 3 and 4 bits: kd = 96, vd = 80, so 12 key units of 192 bytes and 10 value
 * units of 256. Token 37, dim 70: key unit 2*3 + 2 = 8, lane 5, element 6; value unit 2*4 + 1 = 9,
 * lane 6, element 5. */
TEST(places_by_hand) {
    const struct quash_tile_layout layout = quash_tile_layout_of(80, 3, 4);
    const struct quash_tile_place key = quash_tile_key_place(&layout, 37, 70);
    const struct quash_tile_place value = quash_tile_value_place(&layout, 37, 70);
    CHECK_EQ(key.offset, 8 * 192);
    CHECK_EQ(key.lane, 5);
    CHECK_EQ(key.element, 6);
    CHECK_EQ(value.offset, 9 * 256);
    CHECK_EQ(value.lane, 6);
    CHECK_EQ(value.element, 5);
    CHECK_EQ(layout.values, 12 * 192);
    CHECK_EQ(layout.key_scales, 12 * 192 + 10 * 256);
    CHECK_EQ(layout.value_scales, 12 * 192 + 10 * 256 + 128);
    CHECK_EQ(layout.bytes, 12 * 192 + 10 * 256 + 256);
    CHECK_EQ(layout.bytes, 64 * (96 * 3 / 8 + 80 * 4 / 8 + 4));
}

/* ---- A page ------------------------------------------------------------------------------ */

#define HEADS 2
#define TOKENS 90 /* a full page and an open one */

/* Fractions that every machine makes alike, spread over the tokens' magnitudes. */
static struct test_kv exact_kv(size_t dim) {
    struct test_kv kv = test_kv_make(0, HEADS, TOKENS, dim);
    struct test_rng rng = test_rng_start(80);
    for (size_t i = 0; i < test_kv_size(&kv); i++) {
        const float magnitude = (float)(1u << (i / dim % 7));
        kv.keys[i] = ((float)test_below(&rng, 2001) - 1000.0f) / 256.0f * magnitude;
        kv.values[i] = ((float)test_below(&rng, 2001) - 1000.0f) / 256.0f / magnitude;
    }
    memset(kv.keys + 5 * dim, 0, dim * sizeof(float)); /* a zero key */
    return kv;
}

static quash_cache *make_cache(quash_context *context, const struct test_kv *kv, int key_bits,
                               int value_bits) {
    const quash_cache_params params = test_cache_params(HEADS, kv->dim, key_bits, value_bits);
    quash_cache *const cache = test_cache(context, &params);
    CHECK_EQ(test_append(cache, kv, 0, TOKENS), QUASH_OK);
    return cache;
}

/* Compares one vector with its codes and scale, zeros behind head_dim included. */
static void check_vector(const struct document *d, const struct quash_quantizer *quantizer,
                         bool key, const uint8_t *tile, size_t slot, const float *x) {
    float copy[QUASH_HEAD_DIM_MAX];
    uint8_t codes[2][QUASH_HEAD_DIM_MAX];
    const size_t dim = quantizer->rotation->dim;
    memcpy(copy, x, dim * sizeof *x);
    const struct quash_encoded encoded =
        quash_quantizer_encode(quantizer, copy, codes[0], codes[1]);
    size_t wrong = 0;
    for (size_t i = 0; i < (key ? d->kd : d->vd); i++) {
        const unsigned code = key ? key_code(d, tile, slot, i) : value_code(d, tile, slot, i);
        wrong += code != (i < dim ? encoded.codes[i] : 0);
    }
    CHECK_EQ(wrong, 0);
    CHECK_EQ(half_at(tile + key_scales(d) + (key ? 0 : 128), slot),
             quash_f32_to_f16(encoded.scale));
}

/* A slot that no token fills: codes and scales 0. */
static void check_empty_slot(const struct document *d, const uint8_t *tile, size_t slot) {
    size_t wrong = half_at(tile + key_scales(d), slot) + half_at(tile + key_scales(d) + 128, slot);
    for (size_t i = 0; i < d->kd; i++) {
        wrong += key_code(d, tile, slot, i);
    }
    for (size_t i = 0; i < d->vd; i++) {
        wrong += value_code(d, tile, slot, i);
    }
    CHECK_EQ(wrong, 0);
}

TEST(tiles_are_as_documented) {
    static const size_t dims[] = { 8, 40, 64, 80, 112, 128, 576 };
    quash_context *const context = test_context(NULL);
    for (size_t i = 0; i < COUNT_OF(dims) * 9; i++) {
        const size_t dim = dims[i % COUNT_OF(dims)];
        const struct document d = { round_up(dim, 32), round_up(dim, 16), 2 + (int)(i % 3),
                                    2 + (int)(i / 3 % 3) };
        struct test_kv kv = exact_kv(dim);
        quash_cache *const cache = make_cache(context, &kv, d.key_bits, d.value_bits);
        CHECK_EQ(cache->page_count, 2);
        const size_t tile_bytes = key_scales(&d) + 256;
        CHECK_EQ(cache->layout.bytes, tile_bytes);
        for (size_t n = 0; n < HEADS * 128; n++) {
            const size_t head = n / 128;
            const size_t token = n % 128;
            const uint8_t *const tile = cache->pages[token / 64] + head * tile_bytes;
            const size_t at = (head * TOKENS + token) * dim;
            if (token < TOKENS) {
                check_vector(&d, &cache->keys, true, tile, token % 64, kv.keys + at);
                check_vector(&d, &cache->values, false, tile, token % 64, kv.values + at);
            } else {
                check_empty_slot(&d, tile, token % 64);
            }
        }
        test_kv_free(&kv);
        quash_cache_free(cache);
    }
    quash_context_free(context);
}

struct golden {
    size_t dim;
    int key_bits;
    int value_bits;
    uint32_t crc; /* of all pages */
};

/* A change here is a change of the format. */
static const struct golden goldens[] = {
    { 64, 4, 4, 0x446CE0BC },
    { 80, 3, 2, 0x7711E459 },
    { 128, 2, 3, 0xEBDE9033 },
    { 576, 3, 3, 0x8C8DED07 },
};

TEST(pages_of_a_fixed_input) {
    quash_context *const context = test_context(NULL);
    for (size_t i = 0; i < COUNT_OF(goldens); i++) {
        const struct golden *const g = &goldens[i];
        struct test_kv kv = exact_kv(g->dim);
        quash_cache *const cache = make_cache(context, &kv, g->key_bits, g->value_bits);
        struct test_content content = test_content_take(cache);
        const uint32_t crc = quash_crc32c(0, content.bytes, content.size);
        if (!CHECK_EQ(crc, g->crc)) {
            printf("    dim %zu, bits %d/%d: 0x%08X\n", g->dim, g->key_bits, g->value_bits, crc);
        }
        free(content.bytes);
        test_kv_free(&kv);
        quash_cache_free(cache);
    }
    quash_context_free(context);
}

int main(void) {
    RUN(units_are_as_documented);
    RUN(places_by_hand);
    RUN(tiles_are_as_documented);
    RUN(pages_of_a_fixed_input);
    return test_report();
}
