/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_inspect.c: `quash inspect`: what a file holds. A rows file is read to its end and its
 * checksum compared; of numbers, NaN, infinity and the range of the norms are counted. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "args.h"
#include "commands.h"
#include "progress.h"
#include "report.h"
#include "rows_input.h"
#include "source.h"

#include <stdlib.h>
#include <string.h>

/* The formats of --format: those of source.h and one more. */
static const char *const format_names[] = { "npy", "fvecs", "bvecs", "qrows", NULL };
enum { FORMAT_QROWS = 3 };

struct statistics {
    int64_t nan, infinite, bad_rows, good_rows;
    double min, max, sum; /* of the norms of the good rows */
};

static void add_row(struct statistics *statistics, const float *row, int64_t dim) {
    int64_t bad = 0;
    double squares = 0.0;
    for (int64_t i = 0; i < dim; i++) {
        if (isnan(row[i])) {
            statistics->nan++;
            bad++;
        } else if (isinf(row[i])) {
            statistics->infinite++;
            bad++;
        }
        squares += (double)row[i] * (double)row[i];
    }
    if (bad > 0) {
        statistics->bad_rows++;
        return;
    }
    const double norm = sqrt(squares);
    statistics->min = statistics->good_rows == 0 || norm < statistics->min ? norm : statistics->min;
    statistics->max = statistics->good_rows == 0 || norm > statistics->max ? norm : statistics->max;
    statistics->sum += norm;
    statistics->good_rows++;
}

static int read_statistics(struct source *source, struct statistics *statistics,
                           struct tool_error *error) {
    const int64_t chunk = source_chunk_rows(source);
    const size_t row_bytes = source_row_bytes(source);
    unsigned char *rows = malloc((size_t)chunk * row_bytes);
    float *row = malloc((size_t)source->dim * sizeof *row);
    struct progress progress;
    int code = rows == NULL || row == NULL ? tool_fail_memory(error, source->input.name) : TOOL_OK;
    progress_start(&progress, "rows", source->rows);
    for (int64_t got = chunk; code == TOOL_OK && got == chunk;) {
        code = source_read(source, rows, chunk, &got, error);
        for (int64_t i = 0; i < got; i++) {
            tool_to_f32(row, rows + (size_t)i * row_bytes, source->dtype, (size_t)source->dim);
            add_row(statistics, row, source->dim);
        }
        progress_update(&progress, source->rows_read);
    }
    progress_end(&progress);
    free(rows);
    free(row);
    return code;
}

static int inspect_numbers(const char *path, int format, bool json, struct tool_error *error) {
    struct source source;
    struct statistics statistics;
    memset(&statistics, 0, sizeof statistics);
    int code = source_open(&source, path, format, error);
    if (code != TOOL_OK) {
        return code;
    }
    code = read_statistics(&source, &statistics, error);
    if (code == TOOL_OK) {
        const bool some = statistics.good_rows > 0;
        struct report report = { .count = 0 };
        if (source.rows < 0) {
            source.shape[0] = source.rows_read; /* known now */
        }
        report_text(&report, "format", "format", source_format_names[source.format]);
        report_text(&report, "dtype", "dtype",
                    source.from_f64 ? "f64" : tool_dtype_name(source.dtype));
        report_shape(&report, "shape", "shape", source.ndim, source.shape);
        report_int(&report, "rows", "rows", source.rows_read);
        report_int(&report, "dim", "dim", source.dim);
        report_int(&report, "bytes", "bytes", source.input.offset);
        report_int(&report, "NaN", "nan", statistics.nan);
        report_int(&report, "infinite", "infinite", statistics.infinite);
        report_int(&report, "rows with either", "rows_not_finite", statistics.bad_rows);
        report_real(&report, "norm min", "norm_min", some ? statistics.min : TOOL_NO_VALUE, 4);
        report_real(&report, "norm mean", "norm_mean",
                    some ? statistics.sum / (double)statistics.good_rows : TOOL_NO_VALUE, 4);
        report_real(&report, "norm max", "norm_max", some ? statistics.max : TOOL_NO_VALUE, 4);
        report_write(&report, "inspect", json, stdout);
    }
    source_close(&source);
    return code;
}

static int read_rows(struct rows_input *in, struct tool_error *error) {
    const int64_t chunk = rows_chunk(in->row_bytes);
    void *codes = malloc((size_t)chunk * in->row_bytes);
    struct progress progress;
    int code = codes == NULL ? tool_fail_memory(error, in->input.name) : TOOL_OK;
    progress_start(&progress, "rows", in->rows);
    for (int64_t got = chunk; code == TOOL_OK && got == chunk;) {
        code = rows_input_read(in, codes, chunk, &got, error);
        progress_update(&progress, in->rows_read);
    }
    progress_end(&progress);
    free(codes);
    return code == TOOL_OK ? rows_input_finish(in, error) : code;
}

/* What the header says is printed even when the rows turn out to be damaged. */
static int inspect_rows(const char *path, bool json, struct tool_error *error) {
    struct rows_input in;
    int code = rows_input_open(&in, path, error);
    if (code != TOOL_OK) {
        return code;
    }
    code = read_rows(&in, error);
    if (code == TOOL_OK || code == TOOL_DAMAGED) {
        struct report report = { .count = 0 };
        report_text(&report, "format", "format", "qrows");
        report_int(&report, "rows", "rows", in.rows);
        report_int(&report, "dim", "dim", in.params.dim);
        report_int(&report, "bits", "bits", in.params.bits);
        report_text(&report, "scale policy", "scale_policy",
                    rows_policy_names[in.params.scale_policy]);
        report_text(&report, "scale dtype", "scale_dtype", rows_scale_names[in.params.scale_dtype]);
        report_int(&report, "search level", "search_level", in.params.search_level);
        report_int(&report, "rounds", "rounds", in.params.rotation_rounds);
        report_u64(&report, "seed", "seed", in.params.seed);
        report_int(&report, "bytes per row", "bytes_per_row", (int64_t)in.row_bytes);
        report_int(&report, "bytes", "bytes", in.input.offset);
        report_text(&report, "checksum", "checksum", code == TOOL_OK ? "ok" : "damaged");
        report_write(&report, "inspect", json, stdout);
    }
    rows_input_close(&in);
    return code;
}

static bool is_rows_file(const char *path) {
    const char *dot = strrchr(path, '.');
    return dot != NULL && strcmp(dot, ".qrows") == 0;
}

int cmd_inspect(int argc, char **argv, struct tool_error *error) {
    int32_t format = -1;
    bool json = false;
    const struct args_option options[] = {
        { "format", 'f', ARGS_CHOICE, &format, 0, 0, format_names, "NAME",
          "qrows, npy, fvecs or bvecs (default: by the name's ending)" },
        ARGS_JSON(&json),
    };
    const struct args_command command = {
        .name = "inspect",
        .purpose = "Says what a file holds, and checks it.",
        .synopsis = "FILE [OPTIONS]",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .notes =
            "Of a rows file (.qrows): its parameters and sizes; the checksum is compared, and the\n"
            "exit code is 4 when the file is damaged. Of .npy, .fvecs and .bvecs: shape, type,\n"
            "how many numbers are NaN or infinite, and the norms of the other rows. - is standard\n"
            "input, with --format.\n",
        .examples = "  quash inspect data/kv-smollm2/layer14.k.npy\n"
                    "  quash inspect data/sift/base.bvecs --json\n"
                    "  quash encode data/sift/base.bvecs - | quash inspect - --format qrows\n",
    };
    struct args_texts operands = { 0, { NULL } };
    bool helped;
    int code = args_parse(&command, argc, argv, &operands, &helped, error);
    if (code != TOOL_OK || helped) {
        return code;
    }
    code = args_check_operands(&operands, 1, 1, "FILE", error);
    if (code != TOOL_OK) {
        return code;
    }
    const char *path = operands.value[0];
    if (format == FORMAT_QROWS || (format < 0 && is_rows_file(path))) {
        return inspect_rows(path, json, error);
    }
    if (format < 0 && strcmp(path, "-") != 0 && source_format_of(path) < 0) {
        return tool_fail(error, TOOL_USAGE,
                         "%s: the name says no format: expected .qrows, .npy, .fvecs or .bvecs at "
                         "its end, or --format",
                         path);
    }
    return inspect_numbers(path, format, json, error);
}
