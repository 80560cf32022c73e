/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_decode.c: `quash decode`: a rows file back to numbers, a chunk at a time. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "args.h"
#include "commands.h"
#include "output.h"
#include "progress.h"
#include "report.h"
#include "rows_input.h"
#include "write_npy.h"

#include <stdlib.h>
#include <string.h>

struct decode_options {
    int32_t dtype; /* a quash_dtype: F32 or F16 */
    bool json, no_time;
};

struct decode {
    struct rows_input in;
    struct output output;
    void *codes; /* a chunk */
    void *rows;  /* the same, decoded */
};

/* Decodes count rows. The library can only name a row of the chunk: names that of the file. */
static int decode_chunk(struct decode *decode, quash_dtype dtype, int64_t first, int64_t count,
                        struct tool_error *error) {
    const struct rows_input *in = &decode->in;
    const int64_t dim = in->params.dim;
    quash_array rows = quash_array_view(decode->rows, dtype, 2, count, dim, 0);
    const quash_status status =
        quash_decode(in->codec, decode->codes, (size_t)count * in->row_bytes, &rows);
    if (status == QUASH_OK) {
        return TOOL_OK;
    }
    rows = quash_array_view(decode->rows, dtype, 2, 1, dim, 0);
    for (int64_t row = 0; status == QUASH_ERROR_FORMAT && row < count; row++) {
        const char *codes = (const char *)decode->codes + (size_t)row * in->row_bytes;
        if (quash_decode(in->codec, codes, in->row_bytes, &rows) != QUASH_OK) {
            return tool_fail(error, TOOL_DAMAGED,
                             "%s: row %lld: found a scale that is NaN, infinite or negative, "
                             "expected a scale",
                             in->input.name, (long long)(first + row));
        }
    }
    return tool_fail_library(error, in->input.name, status, TOOL_FAILED);
}

static int decode_file(struct decode *decode, quash_dtype dtype, struct tool_error *error) {
    struct rows_input *in = &decode->in;
    const size_t row_bytes = (size_t)in->params.dim * tool_dtype_bytes(dtype);
    const int64_t chunk = rows_chunk(row_bytes);
    struct progress progress;
    decode->codes = malloc((size_t)chunk * in->row_bytes);
    decode->rows = malloc((size_t)chunk * row_bytes);
    if (decode->codes == NULL || decode->rows == NULL) {
        return tool_fail_memory(error, in->input.name);
    }
    int code = npy_write_header(&decode->output, dtype, in->rows, in->params.dim, error);
    progress_start(&progress, "rows", in->rows);
    for (int64_t got = chunk; code == TOOL_OK && got == chunk;) {
        const int64_t first = in->rows_read;
        code = rows_input_read(in, decode->codes, chunk, &got, error);
        if (code == TOOL_OK) {
            code = decode_chunk(decode, dtype, first, got, error);
        }
        if (code == TOOL_OK) {
            code = output_write(&decode->output, decode->rows, (size_t)got * row_bytes, error);
        }
        progress_update(&progress, in->rows_read);
    }
    progress_end(&progress);
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
        report_real(&report, "seconds", "seconds", seconds, 3);
        report_real(&report, "rows/s", "rows_per_second",
                    seconds > 0 ? rows / seconds : TOOL_NO_VALUE, 0);
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
    code = output_check_distinct(out, decode.in.input.fd, error);
    if (code == TOOL_OK) {
        code = output_open(&decode.output, out, error);
    }
    if (code == TOOL_OK) {
        code = decode_file(&decode, (quash_dtype)options->dtype, error);
    }
    if (code == TOOL_OK) {
        print_summary(&decode, options, tool_seconds() - start,
                      strcmp(out, "-") == 0 ? stderr : stdout);
    }
    output_discard(&decode.output);
    free(decode.codes);
    free(decode.rows);
    rows_input_close(&decode.in);
    return code;
}

int cmd_decode(int argc, char **argv, struct tool_error *error) {
    struct decode_options o = { .dtype = QUASH_F32 };
    const struct args_option options[] = {
        { "dtype", 0, ARGS_CHOICE, &o.dtype, 0, 0, rows_scale_names, "TYPE",
          "f32 or f16; f16 turns what is beyond its range into its\nlargest number (default f32)" },
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
            "error.\n",
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
