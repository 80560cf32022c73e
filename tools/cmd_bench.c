/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_bench.c: `quash bench encode`: time of encoding and decoding, beside the time that memory alone
 * would take. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "args.h"
#include "commands.h"
#include "progress.h"
#include "report.h"

#include <stdlib.h>
#include <string.h>

enum { DEFAULT_BYTES = 64 << 20, COPY_BYTES = 128 << 20 };

struct bench_options {
    struct args_ints dims, bits, levels;
    int32_t rows, rounds, threads;
    uint64_t seed;
    bool json;
};

/* Rows of one dimension, their codes and the rows decoded. */
struct bench {
    const struct bench_options *o;
    quash_context *context;
    double copy_rate; /* bytes read and written per second by a copy on one thread */
    int64_t dim, rows;
    float *x;       /* (rows, dim) */
    float *decoded; /* (rows, dim) */
    uint8_t *codes; /* largest size of any bit width */
    size_t code_room;
};

/* Bell-shaped numbers from sums of four 16-bit pieces of SplitMix64: the time of encoding does not
 * depend on more than that. */
static void fill(float *x, size_t count, uint64_t seed) {
    for (size_t i = 0; i < count; i++) {
        seed += UINT64_C(0x9E3779B97F4A7C15);
        uint64_t z = seed;
        z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
        z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
        z ^= z >> 31;
        const int32_t sum =
            (int32_t)((z & 0xFFFF) + (z >> 16 & 0xFFFF) + (z >> 32 & 0xFFFF) + (z >> 48)) -
            2 * 0xFFFF;
        x[i] = (float)sum * 0x1p-15f;
    }
}

static void bench_free(struct bench *bench) {
    free(bench->x);
    free(bench->decoded);
    free(bench->codes);
    bench->x = bench->decoded = NULL;
    bench->codes = NULL;
}

static int bench_make(struct bench *bench, int32_t dim, struct tool_error *error) {
    const int64_t row_bytes = (int64_t)dim * (int64_t)sizeof(float);
    bench->dim = dim;
    bench->rows = bench->o->rows > 0 ? bench->o->rows : (DEFAULT_BYTES + row_bytes - 1) / row_bytes;
    const size_t bytes = (size_t)(bench->rows * row_bytes);
    bench->code_room = (size_t)bench->rows * (size_t)(dim / 2 + 8);
    bench->x = malloc(bytes);
    bench->decoded = malloc(bytes);
    bench->codes = malloc(bench->code_room);
    if (bench->x == NULL || bench->decoded == NULL || bench->codes == NULL) {
        bench_free(bench);
        return tool_fail_memory(error, "the rows");
    }
    fill(bench->x, bytes / sizeof(float), bench->o->seed);
    memset(bench->decoded, 0, bytes); /* pages are there before the clock starts */
    memset(bench->codes, 0, bench->code_room);
    return TOOL_OK;
}

static int measure_copy(struct bench *bench, struct tool_error *error) {
    char *const from = malloc(COPY_BYTES);
    char *const to = malloc(COPY_BYTES);
    if (from == NULL || to == NULL) {
        free(from);
        free(to);
        return tool_fail_memory(error, "the copy");
    }
    memset(from, 1, COPY_BYTES);
    memset(to, 2, COPY_BYTES);
    double best = (double)INFINITY;
    for (int32_t round = 0; round < bench->o->rounds; round++) {
        from[round] = (char)round;
        const double start = tool_seconds();
        memcpy(to, from, COPY_BYTES);
        const double seconds = tool_seconds() - start;
        best = seconds < best ? seconds : best;
    }
    bench->copy_rate = 2.0 * COPY_BYTES / best;
    const bool copied = memcmp(to, from, COPY_BYTES) == 0;
    free(from);
    free(to);
    return copied ? TOOL_OK : tool_fail(error, TOOL_FAILED, "a copy of memory differs");
}

/* Best seconds of the rounds. */
static quash_status time_codec(const struct bench *bench, const quash_codec *codec, double *encode,
                               double *decode) {
    const quash_array x = quash_array_view(bench->x, QUASH_F32, 2, bench->rows, bench->dim, 0);
    const quash_array back =
        quash_array_view(bench->decoded, QUASH_F32, 2, bench->rows, bench->dim, 0);
    const size_t bytes = (size_t)bench->rows * quash_codec_row_bytes(codec);
    quash_status status = QUASH_OK;
    *encode = *decode = (double)INFINITY;
    for (int32_t round = 0; status == QUASH_OK && round < bench->o->rounds; round++) {
        const double start = tool_seconds();
        status = quash_encode(codec, &x, bench->codes, bytes);
        const double middle = tool_seconds();
        if (status == QUASH_OK) {
            status = quash_decode(codec, bench->codes, bytes, &back);
        }
        const double end = tool_seconds();
        *encode = middle - start < *encode ? middle - start : *encode;
        *decode = end - middle < *decode ? end - middle : *decode;
    }
    return status;
}

/* One line of the table. */
static int run_codec(const struct bench *bench, int32_t bits, int32_t level, struct table *table,
                     struct tool_error *error) {
    quash_codec_params params = QUASH_CODEC_PARAMS_INIT;
    params.dim = (int32_t)bench->dim;
    params.bits = bits;
    params.search_level = level;
    params.seed = bench->o->seed;
    quash_codec *codec = NULL;
    double encode = 0.0;
    double decode = 0.0;
    double row_bytes = 0.0;
    quash_status status = quash_codec_create(&codec, bench->context, &params);
    if (status == QUASH_OK) {
        row_bytes = (double)quash_codec_row_bytes(codec);
        status = time_codec(bench, codec, &encode, &decode);
    }
    quash_codec_free(codec);
    if (status != QUASH_OK) {
        return tool_fail_library(error, "bench encode", status, TOOL_USAGE);
    }
    const double rows = (double)bench->rows;
    const double input_bytes = (double)bench->dim * (double)sizeof(float);
    const double cells[] = {
        (double)bench->dim,
        bits,
        level,
        rows,
        1e9 * encode / rows,
        1e9 * (input_bytes + row_bytes) / bench->copy_rate,
        rows * input_bytes / encode / 1e9,
        1e9 * decode / rows,
        rows * input_bytes / decode / 1e9,
    };
    int code = TOOL_OK;
    for (size_t i = 0; code == TOOL_OK && i < sizeof cells / sizeof cells[0]; i++) {
        code = table_number(table, cells[i], error);
    }
    return code;
}

static int run_all(struct bench *bench, struct table *table, struct tool_error *error) {
    const struct bench_options *const o = bench->o;
    struct progress progress;
    int64_t done = 0;
    int code = TOOL_OK;
    progress_start(&progress, "codecs", (int64_t)o->dims.count * o->bits.count * o->levels.count);
    for (int d = 0; code == TOOL_OK && d < o->dims.count; d++) {
        code = bench_make(bench, o->dims.value[d], error);
        for (int b = 0; code == TOOL_OK && b < o->bits.count; b++) {
            for (int l = 0; code == TOOL_OK && l < o->levels.count; l++) {
                code = run_codec(bench, o->bits.value[b], o->levels.value[l], table, error);
                progress_update(&progress, ++done);
            }
        }
        bench_free(bench);
    }
    progress_end(&progress);
    return code;
}

static void print(const struct bench *bench, const struct table *table) {
    char machine[REPORT_TEXT_MAX];
    (void)quash_context_describe(bench->context, machine, sizeof machine);
    struct report head = { 0 };
    report_text(&head, "library", "library", machine);
    char cpu[REPORT_TEXT_MAX];
    tool_cpu_model(cpu, sizeof cpu);
    report_text(&head, "CPU", "cpu", cpu);
    report_int(&head, "threads", "threads", bench->o->threads);
    report_int(&head, "rounds", "rounds", bench->o->rounds);
    report_real(&head, "copy, one thread, GB/s", "copy_gb_per_second", bench->copy_rate / 1e9, 2);
    if (!bench->o->json) {
        report_print(&head, stdout);
        printf("\n");
        table_print(table, stdout);
        return;
    }
    struct json json;
    json_start(&json, stdout);
    json_object(&json, NULL);
    json_text(&json, "command", "bench encode");
    report_json(&head, &json);
    table_json(table, &json, "results", 0, table->rows);
    json_close_object(&json);
}

static int run(const struct bench_options *o, struct tool_error *error) {
    static const struct table_column columns[] = {
        { "dim", "", "dim", 0, false },
        { "bits", "", "bits", 0, false },
        { "search", "level", "search_level", 0, false },
        { "rows", "", "rows", 0, false },
        { "encode", "ns/row", "encode_ns_per_row", 1, true },
        { "memory", "ns/row", "memory_ns_per_row", 1, true },
        { "encode", "GB/s in", "encode_gb_per_second", 2, true },
        { "decode", "ns/row", "decode_ns_per_row", 1, true },
        { "decode", "GB/s out", "decode_gb_per_second", 2, true },
    };
    struct bench bench = { .o = o };
    struct table table;
    table_start(&table, columns, sizeof columns / sizeof columns[0], false);
    int code = tool_context(&bench.context, o->threads, error);
    if (code == TOOL_OK) {
        code = measure_copy(&bench, error);
    }
    if (code == TOOL_OK) {
        code = run_all(&bench, &table, error);
    }
    if (code == TOOL_OK) {
        print(&bench, &table);
    }
    table_free(&table);
    quash_context_free(bench.context);
    return code;
}

int cmd_bench(int argc, char **argv, struct tool_error *error) {
    struct bench_options o = { .dims = { 3, { 64, 128, 1536 } },
                               .bits = { 4, { 1, 2, 3, 4 } },
                               .levels = { 3, { 0, 1, 2 } },
                               .rounds = 5,
                               .threads = 1,
                               .seed = 42 };
    const struct args_option options[] = {
        { "dims", 'd', ARGS_INTS, &o.dims, 2, QUASH_DIM_MAX, NULL, "LIST",
          "dimensions (default 64,128,1536)" },
        { "bits", 'b', ARGS_INTS, &o.bits, 1, 4, NULL, "LIST",
          "bits per number (default 1,2,3,4)" },
        { "search-levels", 0, ARGS_INTS, &o.levels, 0, 2, NULL, "LIST",
          "step sizes tried per vector: 0 = 1, 1 = 3, 2 = 5\n(default 0,1,2)" },
        { "rows", 'n', ARGS_INT, &o.rows, 0, 1 << 26, NULL, "N",
          "rows; 0: as many as make 64 MiB (default 0)" },
        { "rounds", 0, ARGS_INT, &o.rounds, 1, 1000, NULL, "N",
          "the best of N rounds counts (default 5)" },
        { "threads", 't', ARGS_INT, &o.threads, 1, 1024, NULL, "N", "threads (default 1)" },
        { "seed", 0, ARGS_U64, &o.seed, 0, 0, NULL, "N", "of rows and rotation (default 42)" },
        ARGS_JSON(&o.json),
    };
    const struct args_command command = {
        .name = "bench",
        .purpose = "Times encoding and decoding of binary32 rows held in memory.",
        .synopsis = "encode [OPTIONS]",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .notes =
            "memory: what reading a row and writing its codes would take at the rate of a plain\n"
            "copy on one thread, measured first. GB/s: bytes of the uncompressed rows.\n",
        .examples = "  quash bench encode --dims 1536 --bits 4 --rows 1000\n"
                    "  QUASH_CPU=c quash bench encode --dims 128 --rows 1000 --json\n",
    };
    struct args_texts operands = { 0, { NULL } };
    bool helped;
    int code = args_parse(&command, argc, argv, &operands, &helped, error);
    if (code != TOOL_OK || helped) {
        return code;
    }
    code = args_check_operands(&operands, 1, 1, "encode (what to time)", error);
    if (code != TOOL_OK) {
        return code;
    }
    if (strcmp(operands.value[0], "encode") != 0) {
        return tool_fail(error, TOOL_USAGE, "bench has no \"%.64s\", expected encode",
                         operands.value[0]);
    }
    return run(&o, error);
}
