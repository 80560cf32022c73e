/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the header and trailer of rows files: what is written is read back, every damaged field is
 * named (the checksum being right), every single flipped bit of header, rows and trailer is found,
 * and nothing is written to outputs on failure. */
#include "support.h"

static quash_context *context;

static quash_codec_params unlike_defaults(void) {
    quash_codec_params params = test_params(300, 3);
    params.scale_policy = QUASH_SCALE_RAW_NORM;
    params.scale_dtype = QUASH_F16;
    params.search_level = 2;
    params.rotation_rounds = 1;
    params.seed = UINT64_C(0x0123456789ABCDEF);
    return params;
}

static void write_header(int64_t rows, uint8_t *header) {
    const quash_codec_params params = unlike_defaults();
    quash_codec *const codec = test_codec(context, &params);
    CHECK_EQ(quash_rows_header_write(codec, rows, header), QUASH_OK);
    quash_codec_free(codec);
}

static void seal(uint8_t *header) {
    const uint32_t crc = quash_crc32c(0, header, 60);
    memcpy(header + 60, &crc, sizeof crc);
}

/* Reading fails and leaves the outputs alone. */
static void read_fails(const uint8_t *header, size_t bytes, quash_status status,
                       const char *message) {
    quash_codec_params params;
    quash_codec_params before;
    memset(&params, 0x5A, sizeof params);
    memset(&before, 0x5A, sizeof before);
    int64_t rows = -77;
    if (message != NULL) {
        CHECK_FAILS(quash_rows_header_read(header, bytes, &params, &rows), status, message);
    } else {
        CHECK_EQ(quash_rows_header_read(header, bytes, &params, &rows), status);
    }
    CHECK(memcmp(&params, &before, sizeof params) == 0);
    CHECK_EQ(rows, -77);
}

TEST(header_comes_back) {
    static const int64_t counts[] = { 0, 1, 1000000007, INT64_MAX / 2 / 115 };
    const quash_codec_params params = unlike_defaults();
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        uint8_t header[QUASH_ROWS_HEADER_BYTES];
        quash_codec_params read;
        int64_t rows = -1;
        memset(header, 0xFF, sizeof header);
        write_header(counts[i], header);
        CHECK_EQ(quash_rows_header_read(header, sizeof header, &read, &rows), QUASH_OK);
        CHECK_EQ(rows, counts[i]);
        CHECK_EQ(read.struct_size, sizeof read);
        CHECK_EQ(read.dim, params.dim);
        CHECK_EQ(read.bits, params.bits);
        CHECK_EQ(read.scale_policy, params.scale_policy);
        CHECK_EQ(read.scale_dtype, params.scale_dtype);
        CHECK_EQ(read.search_level, params.search_level);
        CHECK_EQ(read.rotation_rounds, params.rotation_rounds);
        CHECK(read.seed == params.seed);
    }
}

TEST(every_codec_has_a_header) {
    for (int32_t bits = 1; bits <= 4; bits++) {
        for (size_t dim = 1; dim <= 64; dim++) {
            quash_codec_params params = test_params(dim, bits);
            params.scale_dtype = (int32_t)dim % 2;
            quash_codec *const codec = test_codec(context, &params);
            uint8_t header[QUASH_ROWS_HEADER_BYTES];
            quash_codec_params read;
            int64_t rows = -1;
            CHECK_EQ(quash_rows_header_write(codec, 5, header), QUASH_OK);
            CHECK_EQ(quash_rows_header_read(header, sizeof header, &read, &rows), QUASH_OK);
            CHECK_EQ(read.dim, dim);
            CHECK_EQ(read.bits, bits);
            uint32_t row_bytes = 0;
            memcpy(&row_bytes, header + 40, sizeof row_bytes);
            CHECK_EQ(row_bytes, quash_codec_row_bytes(codec));
            quash_codec_free(codec);
        }
    }
}

TEST(header_write_checks_its_arguments) {
    const quash_codec_params params = unlike_defaults(); /* 2 + 75 + 38 bytes a row */
    quash_codec *const codec = test_codec(context, &params);
    uint8_t header[QUASH_ROWS_HEADER_BYTES];
    memset(header, 0x5A, sizeof header);
    CHECK_EQ(quash_codec_row_bytes(codec), 115);
    CHECK_FAILS(quash_rows_header_write(codec, 1, NULL), QUASH_ERROR_ARGUMENT, "header is NULL");
    CHECK_FAILS(quash_rows_header_write(codec, -1, header), QUASH_ERROR_ARGUMENT,
                "rows is -1, expected 0 or more, fitting a file");
    CHECK_FAILS(quash_rows_header_write(codec, INT64_MAX / 2 / 115 + 1, header),
                QUASH_ERROR_ARGUMENT,
                "rows is 40101617551542504, expected 0 or more, fitting a file");
    for (size_t i = 0; i < sizeof header; i++) {
        CHECK(header[i] == 0x5A);
    }
    quash_codec_free(codec);
}

TEST(header_read_checks_its_arguments) {
    uint8_t header[QUASH_ROWS_HEADER_BYTES];
    quash_codec_params params;
    int64_t rows;
    write_header(3, header);
    const char *const message = "header, params or rows is NULL";
    CHECK_FAILS(quash_rows_header_read(NULL, 64, &params, &rows), QUASH_ERROR_ARGUMENT, message);
    CHECK_FAILS(quash_rows_header_read(header, 64, NULL, &rows), QUASH_ERROR_ARGUMENT, message);
    CHECK_FAILS(quash_rows_header_read(header, 64, &params, NULL), QUASH_ERROR_ARGUMENT, message);
    for (size_t bytes = 0; bytes < QUASH_ROWS_HEADER_BYTES; bytes++) {
        char text[80];
        (void)snprintf(text, sizeof text, "rows file: %zu bytes, shorter than a header (64)",
                       bytes);
        uint8_t *const exact = test_alloc(bytes); /* reading beyond it shows under a sanitizer */
        memcpy(exact, header, bytes);
        read_fails(exact, bytes, QUASH_ERROR_FORMAT, text);
        free(exact);
    }
}

struct damage {
    size_t at;
    size_t size;
    uint64_t value;
    quash_status status;
    const char *message;
};

static const struct damage damages[] = {
    { 0, 1, 'q', QUASH_ERROR_FORMAT, "rows file: does not start with QUASHROW" },
    { 8, 4, 1, QUASH_ERROR_VERSION, "rows file: version 1, this library reads 0" },
    { 8, 4, 0xFFFFFFFF, QUASH_ERROR_VERSION,
      "rows file: version 4294967295, this library reads 0" },
    { 12, 4, 0, QUASH_ERROR_FORMAT, "rows file: dim is 0, expected 1..16384" },
    { 12, 4, 16385, QUASH_ERROR_FORMAT, "rows file: dim is 16385, expected 1..16384" },
    { 12, 4, 0xFFFFFFFF, QUASH_ERROR_FORMAT, "rows file: dim is 4294967295, expected 1..16384" },
    { 16, 1, 0, QUASH_ERROR_FORMAT, "rows file: bits is 0, expected 1..4" },
    { 16, 1, 5, QUASH_ERROR_FORMAT, "rows file: bits is 5, expected 1..4" },
    { 17, 1, 2, QUASH_ERROR_FORMAT, "rows file: scale_dtype is 2, expected 0..1" },
    { 18, 1, 4, QUASH_ERROR_FORMAT, "rows file: scale_policy is 4, expected 0..3" },
    { 19, 1, 3, QUASH_ERROR_FORMAT, "rows file: search_level is 3, expected 0..2" },
    { 20, 1, 0, QUASH_ERROR_FORMAT, "rows file: rotation_rounds is 0, expected 1..2" },
    { 20, 1, 3, QUASH_ERROR_FORMAT, "rows file: rotation_rounds is 3, expected 1..2" },
    { 21, 1, 9, QUASH_ERROR_FORMAT, "rows file: byte 21 of the header is 9, not 0" },
    { 23, 1, 255, QUASH_ERROR_FORMAT, "rows file: byte 23 of the header is 255, not 0" },
    { 32, 8, UINT64_MAX, QUASH_ERROR_FORMAT,
      "rows file: 18446744073709551615 rows, more than a file can hold" },
    { 32, 8, UINT64_C(40101617551542504), QUASH_ERROR_FORMAT,
      "rows file: 40101617551542504 rows, more than a file can hold" },
    { 40, 4, 114, QUASH_ERROR_FORMAT, "rows file: row_bytes is 114, expected 115..115" },
    { 40, 4, 0, QUASH_ERROR_FORMAT, "rows file: row_bytes is 0, expected 115..115" },
    { 44, 1, 1, QUASH_ERROR_FORMAT, "rows file: byte 44 of the header is 1, not 0" },
    { 59, 1, 1, QUASH_ERROR_FORMAT, "rows file: byte 59 of the header is 1, not 0" },
};

TEST(damaged_fields_are_named) {
    for (size_t i = 0; i < COUNT_OF(damages); i++) {
        const struct damage *const d = &damages[i];
        uint8_t header[QUASH_ROWS_HEADER_BYTES];
        write_header(3, header);
        memcpy(header + d->at, &d->value, d->size);
        seal(header);
        read_fails(header, sizeof header, d->status, d->message);
    }
    uint8_t header[QUASH_ROWS_HEADER_BYTES];
    write_header(3, header);
    header[60] ^= 1u;
    read_fails(header, sizeof header, QUASH_ERROR_FORMAT,
               "rows file: the header's checksum does not match");
}

TEST(every_flipped_bit_of_a_header_is_found) {
    uint8_t header[QUASH_ROWS_HEADER_BYTES];
    write_header(12345, header);
    for (size_t bit = 0; bit < 8 * sizeof header; bit++) {
        const quash_status expected =
            bit / 8 >= 8 && bit / 8 < 12 ? QUASH_ERROR_VERSION : QUASH_ERROR_FORMAT;
        header[bit / 8] = (uint8_t)(header[bit / 8] ^ 1u << bit % 8);
        read_fails(header, sizeof header, expected, NULL);
        header[bit / 8] = (uint8_t)(header[bit / 8] ^ 1u << bit % 8);
    }
}

TEST(every_flipped_bit_of_rows_and_trailer_is_found) {
    uint8_t codes[500];
    uint8_t trailer[QUASH_ROWS_TRAILER_BYTES];
    struct test_rng rng = test_rng_start(1);
    for (size_t i = 0; i < sizeof codes; i++) {
        codes[i] = (uint8_t)test_word(&rng);
    }
    const uint32_t crc = quash_crc32c(0, codes, sizeof codes);
    quash_rows_trailer_write(crc, trailer);
    CHECK_EQ(quash_rows_trailer_read(trailer, sizeof trailer, crc), QUASH_OK);
    CHECK_EQ(quash_rows_trailer_read(trailer, 100, crc), QUASH_OK);
    for (size_t bit = 0; bit < 8 * sizeof codes; bit++) {
        codes[bit / 8] = (uint8_t)(codes[bit / 8] ^ 1u << bit % 8);
        CHECK_EQ(
            quash_rows_trailer_read(trailer, sizeof trailer, quash_crc32c(0, codes, sizeof codes)),
            QUASH_ERROR_FORMAT);
        codes[bit / 8] = (uint8_t)(codes[bit / 8] ^ 1u << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * sizeof trailer; bit++) {
        trailer[bit / 8] = (uint8_t)(trailer[bit / 8] ^ 1u << bit % 8);
        CHECK_EQ(quash_rows_trailer_read(trailer, sizeof trailer, crc), QUASH_ERROR_FORMAT);
        trailer[bit / 8] = (uint8_t)(trailer[bit / 8] ^ 1u << bit % 8);
    }
}

TEST(trailer_messages) {
    uint8_t trailer[QUASH_ROWS_TRAILER_BYTES];
    quash_rows_trailer_write(0x01020304u, trailer);
    CHECK(memcmp(trailer, "\x04\x03\x02\x01QEND", 8) == 0);
    CHECK_FAILS(quash_rows_trailer_read(NULL, 8, 0), QUASH_ERROR_ARGUMENT, "trailer is NULL");
    for (size_t bytes = 0; bytes < 8; bytes++) {
        uint8_t *const exact = test_alloc(bytes);
        memcpy(exact, trailer, bytes);
        CHECK_FAILS(quash_rows_trailer_read(exact, bytes, 0x01020304u), QUASH_ERROR_FORMAT,
                    "rows file: the trailer is missing or damaged");
        free(exact);
    }
    CHECK_FAILS(quash_rows_trailer_read(trailer, 8, 0xABCDEFu), QUASH_ERROR_FORMAT,
                "rows file: the checksum of the rows is 00abcdef, stored is 01020304");
    trailer[7] = 'd';
    CHECK_FAILS(quash_rows_trailer_read(trailer, 8, 0x01020304u), QUASH_ERROR_FORMAT,
                "rows file: the trailer is missing or damaged");
}

int main(void) {
    context = test_context(NULL);
    RUN(header_comes_back);
    RUN(every_codec_has_a_header);
    RUN(header_write_checks_its_arguments);
    RUN(header_read_checks_its_arguments);
    RUN(damaged_fields_are_named);
    RUN(every_flipped_bit_of_a_header_is_found);
    RUN(every_flipped_bit_of_rows_and_trailer_is_found);
    RUN(trailer_messages);
    quash_context_free(context);
    return test_report();
}
