/* SPDX-License-Identifier: Apache-2.0 */
/* codec.h: rows of vectors to codes and back. Compiles alone as C11 and as C++17.
 *
 * A codec turns each row x of dim coordinates into one scale and dim codes of 1-4 bits
 * (TurboQuant, arXiv 2504.19874): rotate x at random so that its coordinates look Gaussian, divide
 * by |x|/sqrt(dim), replace each coordinate by the nearest of 2^bits fixed levels. No training.
 *
 *     quash_codec_params params = QUASH_CODEC_PARAMS_INIT;
 *     params.dim = 128;
 *     params.bits = 4;
 *     quash_codec *codec = NULL;
 *     status = quash_codec_create(&codec, context, &params);
 *     quash_array rows = quash_array_view(data, QUASH_F32, 2, count, 128, 0);
 *     void *codes = malloc((size_t)count * quash_codec_row_bytes(codec));
 *     status = quash_encode(codec, &rows, codes, (size_t)count * quash_codec_row_bytes(codec));
 *
 * Bytes, levels and every rounding are specified in doc/format.md: the same input gives the same
 * bytes on every machine, and any number of workers.
 */
#ifndef QUASH_CODEC_H
#define QUASH_CODEC_H

#include <quash/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How the stored scale s of a row is chosen (doc/numerics.md). Decoded row = s * level[code],
 * rotated back. */
typedef enum quash_scale_policy {
    QUASH_SCALE_LEAST_SQUARES = 0, /* smallest squared error of the row: the default */
    QUASH_SCALE_NORM = 1,          /* decoded row has the norm of the row: keys of a cache */
    QUASH_SCALE_UNBIASED = 2,      /* <decoded, x> = <x, x> (EDEN): search, values of a cache */
    QUASH_SCALE_RAW_NORM = 3       /* |x|/sqrt(dim), as in the paper: compatibility. The scale does
                                    * not follow the codes, so search_level counts as 0 */
} quash_scale_policy;

typedef struct quash_codec_params {
    uint32_t struct_size;
    int32_t dim;             /* 1..QUASH_DIM_MAX */
    int32_t bits;            /* 1..4 per coordinate */
    int32_t scale_policy;    /* a quash_scale_policy */
    int32_t scale_dtype;     /* QUASH_F32, or QUASH_F16 to save 2 bytes per row */
    int32_t search_level;    /* step sizes tried per row: 0 = 1, 1 = 3, 2 = 5 (smaller error) */
    int32_t rotation_rounds; /* 1 or 2, for a dim that is a power of two; others ignore it */
    uint64_t seed;           /* of the random rotation */
} quash_codec_params;

#define QUASH_CODEC_PARAMS_INIT                                                                    \
    { sizeof(quash_codec_params), 0, 4, QUASH_SCALE_LEAST_SQUARES, QUASH_F32, 0, 2, 42 }

/* Immutable after creation: any number of threads may use one codec. */
typedef struct quash_codec quash_codec;

/* Errors: ARGUMENT (a field out of range, named), MEMORY. */
QUASH_API QUASH_MUST_CHECK quash_status quash_codec_create(quash_codec **out,
                                                           quash_context *context,
                                                           const quash_codec_params *params);
QUASH_API void quash_codec_free(quash_codec *codec);

/* Bytes of one encoded row: its scale and ceil(dim*bits/8) bytes of codes (3 bits: ceil(dim/4) +
 * ceil(dim/8)). Rows follow one another without padding. */
QUASH_API size_t quash_codec_row_bytes(const quash_codec *codec);

/* The parameters the codec was created with. */
QUASH_API quash_codec_params quash_codec_get_params(const quash_codec *codec);

/* Encodes rows (n, dim) of any dtype into n * quash_codec_row_bytes bytes at codes; codes_bytes
 * says how many are there, and more than needed is fine. rows and codes must not overlap. A zero
 * row decodes to zeros. Rows are split over the context's runner; scratch memory (about 5*dim bytes
 * a worker) comes from the context's allocator.
 * Errors: ARGUMENT (shape, dtype, strides; NaN or infinity, naming row and column: nothing is
 * written; a scale beyond the range of QUASH_F16, naming the row: the content of codes is then
 * unspecified), CAPACITY (codes_bytes too small), MEMORY. */
QUASH_API QUASH_MUST_CHECK quash_status quash_encode(const quash_codec *codec,
                                                     const quash_array *rows, void *codes,
                                                     size_t codes_bytes);

/* Decodes rows->shape[0] rows from codes into rows (n, dim) of dtype F32, F16 or BF16. Values
 * beyond the range of the dtype become its largest finite number. Runs like quash_encode.
 * Errors: ARGUMENT (shape, dtype, strides), CAPACITY (codes_bytes too small), FORMAT (a stored
 * scale that is NaN, infinite or negative, naming the row: nothing is written), MEMORY. */
QUASH_API QUASH_MUST_CHECK quash_status quash_decode(const quash_codec *codec, const void *codes,
                                                     size_t codes_bytes, const quash_array *rows);

/* ---- Codes one by one ------------------------------------------------------------------------ */

/* Like quash_encode, but unpacked: codes U8 (n, dim), each in [0, 2^bits) and ascending with the
 * level, and scales of n binary32 numbers whatever scale_dtype is. Errors: as quash_encode. */
QUASH_API QUASH_MUST_CHECK quash_status quash_encode_codes(const quash_codec *codec,
                                                           const quash_array *rows,
                                                           const quash_array *codes, float *scales);

/* The inverse. Errors: ARGUMENT (shape, dtype, strides; a code that is 2^bits or more, a scale that
 * is negative or not finite, naming the row: nothing is written), MEMORY. */
QUASH_API QUASH_MUST_CHECK quash_status quash_decode_codes(const quash_codec *codec,
                                                           const quash_array *codes,
                                                           const float *scales,
                                                           const quash_array *rows);

/* Rotates rows (n, dim) of any dtype into out (n, dim), floating point, by the codec's rotation, or
 * back by its inverse. out may be rows itself. Errors: ARGUMENT (shape, dtype, strides, NaN or
 * infinity, naming row and column), MEMORY. */
QUASH_API QUASH_MUST_CHECK quash_status quash_rotate(const quash_codec *codec, int32_t inverse,
                                                     const quash_array *rows,
                                                     const quash_array *out);

/* Bits packed as the original Python package did: row by row, code i at bit i*bits of the row,
 * least significant first (3 bits: 8 codes in 3 bytes), ceil(dim*bits/8) bytes a row; bits 1..4, or
 * 8, which copies. pack: codes (rows, dim) to packed (rows, row bytes); bits of a code beyond
 * `bits` are an error. unpack: the inverse. Row-major, no padding between rows.
 * Errors: ARGUMENT (bits, dim < 1, rows < 0, a code too large, naming it). */
QUASH_API QUASH_MUST_CHECK quash_status quash_pack_bits(const uint8_t *codes, int64_t rows,
                                                        int64_t dim, int32_t bits, uint8_t *packed);
QUASH_API QUASH_MUST_CHECK quash_status quash_unpack_bits(const uint8_t *packed, int64_t rows,
                                                          int64_t dim, int32_t bits,
                                                          uint8_t *codes);

/* ---- Rows files -------------------------------------------------------------------------- */

/* A rows file is: header, encoded rows, trailer. The three can be written to and read from a pipe
 * in one pass, with the caller's own input and output:
 *   write: rows_header_write; the codes, as quash_encode made them; rows_trailer_write
 *   read:  rows_header_read; codec from its params; the codes; rows_trailer_read
 * where crc is quash_crc32c over all the codes. */
#define QUASH_ROWS_HEADER_BYTES 64
#define QUASH_ROWS_TRAILER_BYTES 8

/* Fills header (QUASH_ROWS_HEADER_BYTES) for a file of `rows` rows.
 * Errors: ARGUMENT (rows < 0 or more bytes than a file can have). */
QUASH_API QUASH_MUST_CHECK quash_status quash_rows_header_write(const quash_codec *codec,
                                                                int64_t rows, void *header);

/* Parses a header of header_bytes bytes into *params and *rows.
 * Errors: FORMAT (short, not a rows file, checksum, a field out of range: named), VERSION. */
QUASH_API QUASH_MUST_CHECK quash_status quash_rows_header_read(const void *header,
                                                               size_t header_bytes,
                                                               quash_codec_params *params,
                                                               int64_t *rows);

/* Fills trailer (QUASH_ROWS_TRAILER_BYTES). */
QUASH_API void quash_rows_trailer_write(uint32_t crc, void *trailer);

/* Checks a trailer of trailer_bytes bytes against the crc of the codes that came before it.
 * Errors: FORMAT (short, not a trailer, checksum of the codes). */
QUASH_API QUASH_MUST_CHECK quash_status quash_rows_trailer_read(const void *trailer,
                                                                size_t trailer_bytes, uint32_t crc);

/* CRC-32C (Castagnoli) of size bytes, continuing from crc; start with 0. */
QUASH_API uint32_t quash_crc32c(uint32_t crc, const void *data, size_t size);

/* ---- Codebooks --------------------------------------------------------------------------- */

/* The frozen levels of this library: writes the 2^bits levels, ascending, as integers in [-63, 63]
 * to levels[16] and the step to *step: level = step * integer, for a coordinate of variance 1.
 * Returns 2^bits, or 0 (and writes nothing) when bits is not 1..4. */
QUASH_API int32_t quash_codebook_levels(int32_t bits, int8_t levels[16], float *step);

/* Solves for the optimal (Lloyd-Max) levels of one coordinate: of a random point on the sphere of
 * radius sqrt(dim) in dim dimensions, whose density is proportional to (1 - x^2/dim)^((dim-3)/2)
 * (paper, Lemma 1, scaled), or of the standard normal with dim = 0. Writes 2^bits ascending levels
 * and *nmse, the mean squared error for a coordinate of variance 1. Takes about a millisecond.
 * Errors: ARGUMENT (bits not 1..4; dim not 0 or 2..QUASH_DIM_MAX). */
QUASH_API QUASH_MUST_CHECK quash_status quash_codebook_solve(int32_t dim, int32_t bits,
                                                             double *levels, double *nmse);

#ifdef __cplusplus
}
#endif

#endif
