/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_encode.c: `quash encode`: rows of numbers to a rows file, piece by piece in bounded
 * memory. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "args.h"
#include "commands.h"
#include "output.h"
#include "pipeline.h"
#include "progress.h"
#include "report.h"
#include "rows_input.h"
#include "source.h"
#include "spool.h"

#include <stdlib.h>
#include <string.h>

struct encode_options {
    int32_t bits, search_level, rounds;
    int32_t policy, scale, format; /* positions in their lists of names; format may be -1 */
    uint64_t seed;
    bool json, no_time, quiet;
};

/* A run of the command. */
struct encode {
    struct source source; /* the step read's while the pipeline runs */
    struct output output;
    struct spool spool; /* encoded rows, for an output that must begin with their number */
    bool spooled;
    quash_context *context;
    quash_codec *codec;
    int64_t piece_rows;
    uint32_t crc; /* of the codes written */
    struct progress progress;
};

static int read_piece(void *user, struct piece *piece, struct tool_error *error) {
    struct encode *encode = user;
    const int code =
        source_read(&encode->source, piece->in, encode->piece_rows, &piece->count, error);
    piece->last = piece->count < encode->piece_rows;
    return code;
}

/* The library refused rows of a piece: names the first of them by its number in the file. */
static int explain_refusal(const struct encode *encode, const struct piece *piece,
                           quash_status status, struct tool_error *error) {
    const struct source *source = &encode->source;
    const char *name = source->input.name;
    const size_t row_bytes = quash_codec_row_bytes(encode->codec);
    /* Kept now: the calls below overwrite the library's message. */
    struct tool_error other = { TOOL_OK, false, "" };
    (void)tool_fail_library(&other, name, status, TOOL_DATA);
    if (status == QUASH_ERROR_ARGUMENT) {
        const int code = tool_check_finite(name, piece->in, source->dtype, piece->first,
                                           piece->count, source->dim, error);
        if (code != TOOL_OK) {
            return code;
        }
    }
    for (int64_t row = 0; status == QUASH_ERROR_ARGUMENT && row < piece->count; row++) {
        const char *at = (const char *)piece->in + (size_t)row * source_row_bytes(source);
        const quash_array rows = quash_array_view(at, source->dtype, 2, 1, source->dim, 0);
        if (quash_encode(encode->codec, &rows, piece->out, row_bytes) != QUASH_OK) {
            const bool narrow = quash_codec_get_params(encode->codec).scale_dtype == QUASH_F16;
            return tool_fail(error, TOOL_DATA,
                             "%s: row %lld: found numbers too large for its scale, expected a "
                             "scale in the range of %s",
                             name, (long long)(piece->first + row),
                             narrow ? "f16 (try --scale f32)" : "f32");
        }
    }
    return tool_fail(error, other.code, "%s", other.text);
}

static int encode_piece(void *user, struct piece *piece, struct tool_error *error) {
    const struct encode *encode = user;
    const struct source *source = &encode->source;
    const quash_array rows =
        quash_array_view(piece->in, source->dtype, 2, piece->count, source->dim, 0);
    const quash_status status =
        quash_encode(encode->codec, &rows, piece->out,
                     (size_t)piece->count * quash_codec_row_bytes(encode->codec));
    return status == QUASH_OK ? TOOL_OK : explain_refusal(encode, piece, status, error);
}

static int write_piece(void *user, struct piece *piece, struct tool_error *error) {
    struct encode *encode = user;
    const size_t size = (size_t)piece->count * quash_codec_row_bytes(encode->codec);
    encode->crc = quash_crc32c(encode->crc, piece->out, size);
    const int code = encode->spooled ? spool_write(&encode->spool, piece->out, size, error)
                                     : output_write(&encode->output, piece->out, size, error);
    progress_update(&encode->progress, piece->first + piece->count);
    return code;
}

static void interrupt(void *user) {
    const struct encode *encode = user;
    input_interrupt(&encode->source.input);
}

/* Reads, encodes and writes all rows. */
static int encode_rows(struct encode *encode, bool quiet, struct tool_error *error) {
    const struct source *source = &encode->source;
    const size_t in_bytes = source_row_bytes(source);
    const size_t out_bytes = quash_codec_row_bytes(encode->codec);
    const int64_t promised = source->rows;
    encode->piece_rows = pipeline_piece_rows(in_bytes, out_bytes, promised);
    const struct pipeline pipeline = {
        source->input.name, encode,       encode->piece_rows, in_bytes,  out_bytes,
        read_piece,         encode_piece, write_piece,        interrupt,
    };
    progress_start_bytes(&encode->progress, "rows", promised,
                         source->from_f64 ? 2 * in_bytes : in_bytes, quiet);
    int code = input_make_interruptible(&encode->source.input, error);
    if (code == TOOL_OK) {
        code = pipeline_run(&pipeline, error);
    }
    progress_end(&encode->progress);
    if (code == TOOL_OK && promised >= 0 && source->rows_read != promised) {
        return tool_fail(error, TOOL_FAILED,
                         "%s: changed while it was read: found %lld rows, expected %lld",
                         source->input.name, (long long)source->rows_read, (long long)promised);
    }
    return code;
}

static int make_header(const struct encode *encode, int64_t rows,
                       unsigned char header[QUASH_ROWS_HEADER_BYTES], struct tool_error *error) {
    const quash_status status = quash_rows_header_write(encode->codec, rows, header);
    return status == QUASH_OK
               ? TOOL_OK
               : tool_fail_library(error, encode->source.input.name, status, TOOL_DATA);
}

/* Writes what comes before the rows. When their number comes last, a file gets its header once
 * more at the end; a pipe gets nothing before. */
static int begin_output(struct encode *encode, struct tool_error *error) {
    unsigned char header[QUASH_ROWS_HEADER_BYTES];
    const int64_t rows = encode->source.rows;
    encode->spooled = rows < 0 && encode->output.temporary == NULL;
    if (encode->spooled) {
        return spool_open(&encode->spool, error);
    }
    const int code = make_header(encode, rows < 0 ? 0 : rows, header, error);
    return code == TOOL_OK ? output_write(&encode->output, header, sizeof header, error) : code;
}

/* Writes what only the end of the input allows, and the trailer. */
static int end_output(struct encode *encode, bool rows_unknown, struct tool_error *error) {
    unsigned char header[QUASH_ROWS_HEADER_BYTES];
    unsigned char trailer[QUASH_ROWS_TRAILER_BYTES];
    int code = make_header(encode, encode->source.rows_read, header, error);
    if (code == TOOL_OK && encode->spooled) {
        code = output_write(&encode->output, header, sizeof header, error);
        if (code == TOOL_OK) {
            code = spool_copy(&encode->spool, &encode->output, error);
        }
    } else if (code == TOOL_OK && rows_unknown) {
        code = output_rewrite(&encode->output, header, sizeof header, error);
    }
    quash_rows_trailer_write(encode->crc, trailer);
    return code == TOOL_OK ? output_write(&encode->output, trailer, sizeof trailer, error) : code;
}

/* Everything between opening and committing. */
static int encode_file(struct encode *encode, bool quiet, struct tool_error *error) {
    const bool rows_unknown = encode->source.rows < 0;
    int code = begin_output(encode, error);
    if (code == TOOL_OK) {
        code = encode_rows(encode, quiet, error);
    }
    if (code == TOOL_OK) {
        code = end_output(encode, rows_unknown, error);
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
    const int code = tool_context(&encode->context, 0, error);
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
        report_int(&report, "threads", "threads", quash_context_workers(encode->context));
        report_real(&report, "seconds", "seconds", seconds, 3);
        report_real(&report, "rows/s", "rows_per_second",
                    seconds > 0 ? rows / seconds : TOOL_NO_VALUE, 0);
        report_real(&report, "MB/s", "mb_per_second",
                    seconds > 0 ? 1e-6 * in / seconds : TOOL_NO_VALUE, 1);
    }
    report_write(&report, "encode", options->json, stream);
}

static int run(const char *in, const char *out, const struct encode_options *options,
               struct tool_error *error) {
    const double start = tool_seconds();
    struct encode encode;
    memset(&encode, 0, sizeof encode);
    encode.output.fd = -1;
    encode.spool.fd = -1;
    int code = source_open(&encode.source, in, options->format, error);
    if (code != TOOL_OK) {
        return code;
    }
    code = make_codec(&encode, options, error);
    if (code == TOOL_OK) {
        code = output_open(&encode.output, out, encode.source.input.fd, error);
    }
    if (code == TOOL_OK) {
        code = encode_file(&encode, options->quiet, error);
    }
    if (code == TOOL_OK && (!options->quiet || options->json)) {
        print_summary(&encode, options, tool_seconds() - start,
                      encode.output.is_stdout ? stderr : stdout);
    }
    output_discard(&encode.output);
    spool_close(&encode.spool);
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
        ARGS_QUIET(&o.quiet),
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
            "the row), a .fvecs or a .bvecs file, or - for standard input with --format.\n"
            "Messages count rows and columns from 0.\n\n"
            "Files may be larger than memory: less than 200 MiB are in use. Reading, encoding and\n"
            "writing overlap. At a terminal, a line on standard error shows progress.\n\n"
            "OUT.qrows appears whole or not at all: it is written as OUT.qrows.PID.part beside\n"
            "its place, which only kill -9 or a power failure leaves behind. A file that is there\n"
            "is replaced and keeps its permissions; a symbolic link is followed. - is standard\n"
            "output, and the figures then go to standard error; pipes and devices are written as\n"
            "they are. .fvecs and .bvecs from a pipe tell the number of rows, which stands first\n"
            "in OUT, at their end: on the way to another pipe, encoded rows are kept in a\n"
            "temporary file (in TMPDIR) until then.\n",
        .examples =
            "  quash encode data/kv-smollm2/layer14.k.npy keys.qrows\n"
            "  quash encode data/sift/base.bvecs base.qrows --bits 2 --scale-policy unbiased\n"
            "  cat data/sift/base.bvecs | quash encode - base.qrows --format bvecs --quiet\n"
            "  cat data/sift/base.bvecs | quash encode - - -f bvecs > base.qrows\n",
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
