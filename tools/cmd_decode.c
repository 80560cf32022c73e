/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_decode.c: `quash decode`: a rows file back to numbers, piece by piece in bounded memory. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "args.h"
#include "commands.h"
#include "output.h"
#include "pipeline.h"
#include "progress.h"
#include "report.h"
#include "rows_input.h"
#include "write_npy.h"

#include <string.h>

struct decode_options {
    int32_t dtype; /* a quash_dtype: F32 or F16 */
    bool json, no_time, quiet;
};

struct decode {
    struct rows_input in; /* the step read's while the pipeline runs, but for the codec */
    struct output output;
    quash_dtype dtype;
    int64_t piece_rows;
    struct progress progress;
};

static int read_piece(void *user, struct piece *piece, struct tool_error *error) {
    struct decode *decode = user;
    const int code =
        rows_input_read(&decode->in, piece->in, decode->piece_rows, &piece->count, error);
    piece->last = piece->count < decode->piece_rows;
    return code;
}

/* The library can only name a row of the piece: names that of the file. */
static int decode_piece(void *user, struct piece *piece, struct tool_error *error) {
    const struct decode *decode = user;
    const struct rows_input *in = &decode->in;
    const int64_t dim = in->params.dim;
    quash_array rows = quash_array_view(piece->out, decode->dtype, 2, piece->count, dim, 0);
    const quash_status status =
        quash_decode(in->codec, piece->in, (size_t)piece->count * in->row_bytes, &rows);
    if (status == QUASH_OK) {
        return TOOL_OK;
    }
    rows = quash_array_view(piece->out, decode->dtype, 2, 1, dim, 0);
    for (int64_t row = 0; status == QUASH_ERROR_FORMAT && row < piece->count; row++) {
        const char *codes = (const char *)piece->in + (size_t)row * in->row_bytes;
        if (quash_decode(in->codec, codes, in->row_bytes, &rows) != QUASH_OK) {
            return tool_fail(error, TOOL_DAMAGED,
                             "%s: row %lld: found a scale that is NaN, infinite or negative, "
                             "expected a scale",
                             in->input.name, (long long)(piece->first + row));
        }
    }
    return tool_fail_library(error, in->input.name, status, TOOL_FAILED);
}

static int write_piece(void *user, struct piece *piece, struct tool_error *error) {
    struct decode *decode = user;
    const size_t row_bytes = (size_t)decode->in.params.dim * tool_dtype_bytes(decode->dtype);
    const int code =
        output_write(&decode->output, piece->out, (size_t)piece->count * row_bytes, error);
    progress_update(&decode->progress, piece->first + piece->count);
    return code;
}

static void interrupt(void *user) {
    const struct decode *decode = user;
    input_interrupt(&decode->in.input);
}

static int decode_file(struct decode *decode, bool quiet, struct tool_error *error) {
    struct rows_input *in = &decode->in;
    const size_t out_bytes = (size_t)in->params.dim * tool_dtype_bytes(decode->dtype);
    decode->piece_rows = pipeline_piece_rows(in->row_bytes, out_bytes, in->rows);
    const struct pipeline pipeline = {
        in->input.name, decode,       decode->piece_rows, in->row_bytes, out_bytes,
        read_piece,     decode_piece, write_piece,        interrupt,
    };
    int code = input_make_interruptible(&in->input, error);
    if (code == TOOL_OK) {
        code = npy_write_header(&decode->output, decode->dtype, in->rows, in->params.dim, error);
    }
    if (code == TOOL_OK) {
        progress_start_bytes(&decode->progress, "rows", in->rows, out_bytes, quiet);
        code = pipeline_run(&pipeline, error);
        progress_end(&decode->progress);
    }
    if (code == TOOL_OK) {
        code = rows_input_finish(in, error);
    }
    return code == TOOL_OK ? output_commit(&decode->output, error) : code;
}

static void print_summary(const struct decode *decode, const struct decode_options *options,
                          double seconds, FILE *stream) {
    const double rows = (double)decode->in.rows_read;
    struct report report = { .count = 0 };
    report_int(&report, "rows", "rows", decode->in.rows_read);
    report_int(&report, "dim", "dim", decode->in.params.dim);
    report_int(&report, "bits", "bits", decode->in.params.bits);
    report_text(&report, "output dtype", "output_dtype",
                tool_dtype_name((quash_dtype)options->dtype));
    report_int(&report, "bytes in", "bytes_in", decode->in.input.offset);
    report_int(&report, "bytes out", "bytes_out", decode->output.bytes);
    if (!options->no_time) {
        report_int(&report, "threads", "threads", quash_context_workers(decode->in.context));
        report_real(&report, "seconds", "seconds", seconds, 3);
        report_real(&report, "rows/s", "rows_per_second",
                    seconds > 0 ? rows / seconds : TOOL_NO_VALUE, 0);
        report_real(&report, "MB/s", "mb_per_second",
                    seconds > 0 ? 1e-6 * (double)decode->output.bytes / seconds : TOOL_NO_VALUE, 1);
    }
    report_write(&report, "decode", options->json, stream);
}

static int run(const char *in, const char *out, const struct decode_options *options,
               struct tool_error *error) {
    const double start = tool_seconds();
    struct decode decode;
    memset(&decode, 0, sizeof decode);
    decode.output.fd = -1;
    int code = rows_input_open(&decode.in, in, error);
    if (code != TOOL_OK) {
        return code;
    }
    decode.dtype = (quash_dtype)options->dtype;
    code = output_open(&decode.output, out, decode.in.input.fd, error);
    if (code == TOOL_OK) {
        code = decode_file(&decode, options->quiet, error);
    }
    if (code == TOOL_OK && (!options->quiet || options->json)) {
        print_summary(&decode, options, tool_seconds() - start,
                      decode.output.is_stdout ? stderr : stdout);
    }
    output_discard(&decode.output);
    rows_input_close(&decode.in);
    return code;
}

int cmd_decode(int argc, char **argv, struct tool_error *error) {
    struct decode_options o = { .dtype = QUASH_F32 };
    const struct args_option options[] = {
        { "dtype", 0, ARGS_CHOICE, &o.dtype, 0, 0, rows_scale_names, "TYPE",
          "f32 or f16; f16 turns what is beyond its range into its\nlargest number (default f32)" },
        ARGS_QUIET(&o.quiet),
        ARGS_JSON(&o.json),
        ARGS_NO_TIME(&o.no_time),
    };
    const struct args_command command = {
        .name = "decode",
        .purpose = "Turns a rows file back into numbers.",
        .synopsis = "IN.qrows OUT.npy [OPTIONS]",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .notes =
            "OUT is an array (rows, dim), written whole or not at all, and only if the checksum\n"
            "of IN is right. - is standard input or output; to standard output rows are written\n"
            "before the checksum is known: see the exit code. The figures then go to standard\n"
            "error. Files may be larger than memory; outputs are as in quash encode --help.\n",
        .examples = "  quash encode data/kv-smollm2/layer14.k.npy keys.qrows\n"
                    "  quash decode keys.qrows keys.npy\n"
                    "  quash decode - - --dtype f16 < keys.qrows > keys16.npy\n",
    };
    struct args_texts operands = { 0, { NULL } };
    bool helped;
    int code = args_parse(&command, argc, argv, &operands, &helped, error);
    if (code != TOOL_OK || helped) {
        return code;
    }
    code = args_check_operands(&operands, 2, 2, "IN.qrows and OUT.npy", error);
    return code != TOOL_OK ? code : run(operands.value[0], operands.value[1], &o, error);
}
