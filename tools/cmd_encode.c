/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_encode.c: `quash encode`: rows of numbers to a rows file, a chunk at a time. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "args.h"
#include "commands.h"
#include "output.h"
#include "progress.h"
#include "report.h"
#include "rows_input.h"
#include "source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct encode_options {
    int32_t bits, search_level, rounds;
    int32_t policy, scale, format; /* positions in their lists of names; format may be -1 */
    uint64_t seed;
    bool json, no_time;
};

/* A run of the command. */
struct encode {
    struct source source;
    struct output output;
    FILE *spool; /* encoded rows of an input whose number of rows is not known yet; or NULL */
    quash_context *context;
    quash_codec *codec;
    void *rows;  /* a chunk as it was read */
    void *codes; /* the same, encoded */
    uint32_t crc;
};

/* Encodes count rows. The library can only name a row of the chunk: names that of the file. */
static int encode_chunk(struct encode *encode, int64_t first, int64_t count,
                        struct tool_error *error) {
    const struct source *source = &encode->source;
    const char *name = source->input.name;
    const size_t row_bytes = quash_codec_row_bytes(encode->codec);
    int code =
        tool_check_finite(name, encode->rows, source->dtype, first, count, source->dim, error);
    if (code != TOOL_OK) {
        return code;
    }
    quash_array rows = quash_array_view(encode->rows, source->dtype, 2, count, source->dim, 0);
    quash_status status =
        quash_encode(encode->codec, &rows, encode->codes, (size_t)count * row_bytes);
    if (status == QUASH_OK) {
        return TOOL_OK;
    }
    for (int64_t row = 0; status == QUASH_ERROR_ARGUMENT && row < count; row++) {
        rows = quash_array_view((const char *)encode->rows + (size_t)row * source_row_bytes(source),
                                source->dtype, 2, 1, source->dim, 0);
        if (quash_encode(encode->codec, &rows, encode->codes, row_bytes) != QUASH_OK) {
            const bool narrow = quash_codec_get_params(encode->codec).scale_dtype == QUASH_F16;
            return tool_fail(error, TOOL_DATA,
                             "%s: row %lld: found numbers too large for its scale, expected a "
                             "scale in the range of %s",
                             name, (long long)(first + row),
                             narrow ? "f16 (try --scale f32)" : "f32");
        }
    }
    return tool_fail_library(error, name, status, TOOL_DATA);
}

static int write_codes(struct encode *encode, size_t size, struct tool_error *error) {
    encode->crc = quash_crc32c(encode->crc, encode->codes, size);
    if (encode->spool == NULL) {
        return output_write(&encode->output, encode->codes, size, error);
    }
    if (fwrite(encode->codes, 1, size, encode->spool) != size) {
        return tool_fail_errno(error, "temporary file", "cannot write", errno);
    }
    return TOOL_OK;
}

/* Reads, encodes and writes all rows. */
static int encode_rows(struct encode *encode, struct tool_error *error) {
    struct source *source = &encode->source;
    const int64_t chunk = source_chunk_rows(source);
    const size_t row_bytes = quash_codec_row_bytes(encode->codec);
    struct progress progress;
    encode->rows = malloc((size_t)chunk * source_row_bytes(source));
    encode->codes = malloc((size_t)chunk * row_bytes);
    if (encode->rows == NULL || encode->codes == NULL) {
        return tool_fail_memory(error, source->input.name);
    }
    int code = TOOL_OK;
    progress_start(&progress, "rows", source->rows);
    for (int64_t got = chunk; code == TOOL_OK && got == chunk;) {
        const int64_t first = source->rows_read;
        code = source_read(source, encode->rows, chunk, &got, error);
        if (code == TOOL_OK) {
            code = encode_chunk(encode, first, got, error);
        }
        if (code == TOOL_OK) {
            code = write_codes(encode, (size_t)got * row_bytes, error);
        }
        progress_update(&progress, source->rows_read);
    }
    progress_end(&progress);
    if (code == TOOL_OK && source->rows >= 0 && source->rows_read != source->rows) {
        code = tool_fail(error, TOOL_FAILED,
                         "%s: changed while it was read: found %lld rows, "
                         "expected %lld",
                         source->input.name, (long long)source->rows_read, (long long)source->rows);
    }
    return code;
}

static int write_header(struct encode *encode, int64_t rows, struct tool_error *error) {
    unsigned char header[QUASH_ROWS_HEADER_BYTES];
    const quash_status status = quash_rows_header_write(encode->codec, rows, header);
    if (status != QUASH_OK) {
        return tool_fail_library(error, encode->source.input.name, status, TOOL_DATA);
    }
    return output_write(&encode->output, header, sizeof header, error);
}

/* Now that the number of rows is known: header, and the rows that were kept. */
static int write_spooled(struct encode *encode, struct tool_error *error) {
    int code = write_header(encode, encode->source.rows_read, error);
    if (code == TOOL_OK && fseeko(encode->spool, 0, SEEK_SET) != 0) {
        code = tool_fail_errno(error, "temporary file", "cannot read", errno);
    }
    const size_t room =
        (size_t)source_chunk_rows(&encode->source) * quash_codec_row_bytes(encode->codec);
    for (size_t got = room; code == TOOL_OK && got == room;) {
        got = fread(encode->codes, 1, room, encode->spool);
        if (ferror(encode->spool)) {
            code = tool_fail_errno(error, "temporary file", "cannot read", errno);
        } else {
            code = output_write(&encode->output, encode->codes, got, error);
        }
    }
    return code;
}

/* Everything between opening and committing. */
static int encode_file(struct encode *encode, struct tool_error *error) {
    int code = TOOL_OK;
    const bool spooled = encode->source.rows < 0;
    if (spooled) {
        code = output_spool(&encode->spool, error);
    } else {
        code = write_header(encode, encode->source.rows, error);
    }
    if (code == TOOL_OK) {
        code = encode_rows(encode, error);
    }
    if (code == TOOL_OK && spooled) {
        code = write_spooled(encode, error);
    }
    if (code == TOOL_OK) {
        unsigned char trailer[QUASH_ROWS_TRAILER_BYTES];
        quash_rows_trailer_write(encode->crc, trailer);
        code = output_write(&encode->output, trailer, sizeof trailer, error);
    }
    return code == TOOL_OK ? output_commit(&encode->output, error) : code;
}

static int make_codec(struct encode *encode, const struct encode_options *options,
                      struct tool_error *error) {
    quash_codec_params params = QUASH_CODEC_PARAMS_INIT;
    params.dim = (int32_t)encode->source.dim;
    params.bits = options->bits;
    params.scale_policy = options->policy;
    params.scale_dtype = options->scale;
    params.search_level = options->search_level;
    params.rotation_rounds = options->rounds;
    params.seed = options->seed;
    const int code = tool_context(&encode->context, error);
    if (code != TOOL_OK) {
        return code;
    }
    const quash_status status = quash_codec_create(&encode->codec, encode->context, &params);
    return status == QUASH_OK ? TOOL_OK : tool_fail_library(error, "", status, TOOL_USAGE);
}

static void print_summary(const struct encode *encode, const struct encode_options *options,
                          double seconds, FILE *stream) {
    const double in = (double)encode->source.input.offset;
    const double out = (double)encode->output.bytes;
    const double rows = (double)encode->source.rows_read;
    struct report report = { .count = 0 };
    report_int(&report, "rows", "rows", encode->source.rows_read);
    report_int(&report, "dim", "dim", encode->source.dim);
    report_text(&report, "input dtype", "input_dtype",
                encode->source.from_f64 ? "f64" : tool_dtype_name(encode->source.dtype));
    report_int(&report, "bits", "bits", options->bits);
    report_int(&report, "bytes in", "bytes_in", encode->source.input.offset);
    report_int(&report, "bytes out", "bytes_out", encode->output.bytes);
    report_real(&report, "ratio", "ratio", in / out, 2);
    if (!options->no_time) {
        report_real(&report, "seconds", "seconds", seconds, 3);
        report_real(&report, "rows/s", "rows_per_second",
                    seconds > 0 ? rows / seconds : TOOL_NO_VALUE, 0);
    }
    report_write(&report, "encode", options->json, stream);
}

static int run(const char *in, const char *out, const struct encode_options *options,
               struct tool_error *error) {
    const double start = tool_seconds();
    struct encode encode;
    memset(&encode, 0, sizeof encode);
    encode.output.fd = -1;
    int code = source_open(&encode.source, in, options->format, error);
    if (code != TOOL_OK) {
        return code;
    }
    code = output_check_distinct(out, encode.source.input.fd, error);
    if (code == TOOL_OK) {
        code = make_codec(&encode, options, error);
    }
    if (code == TOOL_OK) {
        code = output_open(&encode.output, out, error);
    }
    if (code == TOOL_OK) {
        code = encode_file(&encode, error);
    }
    if (code == TOOL_OK) {
        print_summary(&encode, options, tool_seconds() - start,
                      strcmp(out, "-") == 0 ? stderr : stdout);
    }
    output_discard(&encode.output);
    if (encode.spool != NULL) {
        (void)fclose(encode.spool);
    }
    free(encode.rows);
    free(encode.codes);
    quash_codec_free(encode.codec);
    quash_context_free(encode.context);
    source_close(&encode.source);
    return code;
}

int cmd_encode(int argc, char **argv, struct tool_error *error) {
    struct encode_options o = { .bits = 4, .rounds = 2, .format = -1, .seed = 42 };
    const struct args_option options[] = {
        { "bits", 'b', ARGS_INT, &o.bits, 1, 4, NULL, "N", "bits per number, 1 to 4 (default 4)" },
        { "search-level", 0, ARGS_INT, &o.search_level, 0, 2, NULL, "N",
          "step sizes tried per row: 0 = 1, 1 = 3, 2 = 5;\nmore is slower and closer (default 0)" },
        { "scale-policy", 0, ARGS_CHOICE, &o.policy, 0, 0, rows_policy_names, "NAME",
          "how a row's scale is chosen (default least-squares):\n"
          "least-squares  smallest squared error\n"
          "norm           keeps the norm: keys of a cache\n"
          "unbiased       keeps inner products: search, values\n"
          "raw-norm       as in the TurboQuant paper" },
        { "scale", 0, ARGS_CHOICE, &o.scale, 0, 0, rows_scale_names, "TYPE",
          "f32, or f16 to save 2 bytes per row (default f32)" },
        { "rounds", 0, ARGS_INT, &o.rounds, 1, 2, NULL, "N",
          "rounds of rotation when the dim is a power of two\n(default 2)" },
        { "seed", 0, ARGS_U64, &o.seed, 0, 0, NULL, "N", "of the random rotation (default 42)" },
        { "format", 'f', ARGS_CHOICE, &o.format, 0, 0, source_format_names, "NAME",
          "npy, fvecs or bvecs (default: by the name's ending)" },
        ARGS_JSON(&o.json),
        ARGS_NO_TIME(&o.no_time),
    };
    const struct args_command command = {
        .name = "encode",
        .purpose = "Compresses rows of numbers to 1-4 bits per number.",
        .synopsis = "IN OUT.qrows [OPTIONS]",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .notes =
            "IN is a .npy file (f32, f16, f64, i8 or u8; 1 to 4 dimensions, of which the last is\n"
            "the row), a .fvecs or a .bvecs file, or - for standard input with --format. OUT is\n"
            "written whole or not at all; - is standard output, and the figures then go to\n"
            "standard error. Files may be larger than memory. The number of rows of .fvecs and\n"
            ".bvecs from a pipe is known only at the end: encoded rows are then kept in a\n"
            "temporary file (in TMPDIR) until it comes. Messages count rows and columns from 0.\n",
        .examples =
            "  quash encode data/kv-smollm2/layer14.k.npy keys.qrows\n"
            "  quash encode data/sift/base.bvecs base.qrows --bits 2 --scale-policy unbiased\n"
            "  cat data/sift/base.bvecs | quash encode - - --format bvecs > base.qrows\n",
    };
    struct args_texts operands = { 0, { NULL } };
    bool helped;
    int code = args_parse(&command, argc, argv, &operands, &helped, error);
    if (code != TOOL_OK || helped) {
        return code;
    }
    code = args_check_operands(&operands, 2, 2, "IN and OUT.qrows", error);
    return code != TOOL_OK ? code : run(operands.value[0], operands.value[1], &o, error);
}
