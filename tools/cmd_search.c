/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_search.c: `quash search`: recall, size and speed of a compressed vector index. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "args.h"
#include "commands.h"
#include "exact.h"
#include "progress.h"
#include "report.h"
#include "source.h"

#include <stdlib.h>
#include <string.h>

static const char *const metric_names[] = { "ip", "cosine", "l2", NULL };

struct search_options {
    const char *base, *queries;
    struct args_ints bits;
    int32_t metric; /* a quash_metric */
    int32_t k, centre_rows, search_level, seeds;
    uint64_t seed;
    bool json, no_time;
};

/* A run of the command. */
struct search {
    struct exact_job job;
    float *base, *queries;
    int64_t *found; /* (query_count, k) */
    float *scores;
    double exact_seconds;
    quash_context *context;
    struct table table;
    struct progress progress;
    int64_t done;
};

/* Of one index, or the mean over seeds. */
struct search_figures {
    double recall, coded_bytes, held_bytes, add_seconds, search_seconds;
};

static int read_vectors(const char *path, float **out, int64_t *rows, int64_t *dim,
                        struct tool_error *error) {
    struct source source;
    int code = source_open(&source, path, -1, error);
    if (code != TOOL_OK) {
        return code;
    }
    code = source_read_all_f32(&source, out, error);
    if (code == TOOL_OK && source.rows == 0) {
        code = tool_fail(error, TOOL_DATA, "%s: found no rows, expected at least one", path);
    }
    *rows = source.rows;
    *dim = source.dim;
    source_close(&source);
    return code;
}

static int read_files(struct search *search, const struct search_options *options,
                      struct tool_error *error) {
    struct exact_job *job = &search->job;
    int64_t query_dim = 0;
    int code = read_vectors(options->base, &search->base, &job->rows, &job->dim, error);
    if (code == TOOL_OK) {
        code =
            read_vectors(options->queries, &search->queries, &job->query_count, &query_dim, error);
    }
    if (code != TOOL_OK) {
        return code;
    }
    if (query_dim != job->dim) {
        return tool_fail(error, TOOL_DATA, "%s: found dim %lld, expected %lld as in %s",
                         options->queries, (long long)query_dim, (long long)job->dim,
                         options->base);
    }
    if (job->rows < options->k || job->rows < options->centre_rows) {
        const bool few = job->rows < options->k;
        return tool_fail(error, TOOL_DATA, "%s: found %lld rows, expected at least %d (%s)",
                         options->base, (long long)job->rows,
                         few ? options->k : options->centre_rows,
                         few ? "-k" : "--centre-rows: until then nothing is compressed");
    }
    job->metric = (quash_metric)options->metric;
    job->k = options->k;
    job->base = search->base;
    job->queries = search->queries;
    return TOOL_OK;
}

static int run_exact(struct search *search, struct tool_error *error) {
    struct exact_job *job = &search->job;
    const size_t results = (size_t)(job->query_count * job->k);
    job->ids = malloc(results * sizeof *job->ids);
    search->found = malloc(results * sizeof *search->found);
    search->scores = malloc(results * sizeof *search->scores);
    if (job->ids == NULL || search->found == NULL || search->scores == NULL) {
        return tool_fail_memory(error, "results");
    }
    const double start = tool_seconds();
    const int code = exact_search(job, error);
    search->exact_seconds = tool_seconds() - start;
    return code;
}

static int fill_and_search(struct search *search, const struct search_options *options,
                           quash_index *index, struct search_figures *out,
                           struct tool_error *error) {
    const struct exact_job *job = &search->job;
    const quash_array base = quash_array_view(job->base, QUASH_F32, 2, job->rows, job->dim, 0);
    const quash_array queries =
        quash_array_view(job->queries, QUASH_F32, 2, job->query_count, job->dim, 0);
    const double start = tool_seconds();
    quash_status status = quash_index_add(index, &base);
    if (status != QUASH_OK) {
        return tool_fail_library(error, options->base, status, TOOL_DATA);
    }
    const double added = tool_seconds();
    status = quash_index_search(index, &queries, job->k, search->scores, search->found);
    if (status != QUASH_OK) {
        return tool_fail_library(error, options->queries, status, TOOL_DATA);
    }
    const quash_index_bytes bytes = quash_index_get_bytes(index);
    out->search_seconds = tool_seconds() - added;
    out->add_seconds = added - start;
    out->coded_bytes = (double)bytes.per_row;
    out->held_bytes = (double)bytes.total / (double)job->rows;
    out->recall = exact_recall(job->ids, search->found, job->query_count, job->k);
    return TOOL_OK;
}

static int run_index(struct search *search, const struct search_options *options, int32_t bits,
                     uint64_t seed, struct search_figures *out, struct tool_error *error) {
    quash_index_params params = QUASH_INDEX_PARAMS_INIT;
    params.dim = (int32_t)search->job.dim;
    params.bits = bits;
    params.metric = options->metric;
    params.search_level = options->search_level;
    params.centre_rows = options->centre_rows;
    params.seed = seed;
    quash_index *index = NULL;
    const quash_status status = quash_index_create(&index, search->context, &params);
    if (status != QUASH_OK) {
        return tool_fail_library(error, "", status, TOOL_USAGE);
    }
    const int code = fill_and_search(search, options, index, out, error);
    quash_index_free(index);
    return code;
}

/* One line of the table: the mean over the seeds. */
static int run_bits(struct search *search, const struct search_options *options, int32_t bits,
                    struct tool_error *error) {
    const struct exact_job *job = &search->job;
    struct search_figures mean = { 0.0, 0.0, 0.0, 0.0, 0.0 };
    const double weight = 1.0 / options->seeds;
    for (int32_t i = 0; i < options->seeds; i++) {
        struct search_figures one = { 0.0, 0.0, 0.0, 0.0, 0.0 };
        const int code = run_index(search, options, bits, options->seed + (uint64_t)i, &one, error);
        if (code != TOOL_OK) {
            return code;
        }
        mean.recall += weight * one.recall;
        mean.coded_bytes += weight * one.coded_bytes;
        mean.held_bytes += weight * one.held_bytes;
        mean.add_seconds += weight * one.add_seconds;
        mean.search_seconds += weight * one.search_seconds;
        progress_update(&search->progress, ++search->done);
    }
    const double cells[] = {
        bits,
        mean.recall,
        mean.coded_bytes,
        mean.held_bytes,
        4.0 * (double)job->dim / mean.held_bytes,
        1e6 * mean.add_seconds / (double)job->rows,
        1e6 * mean.search_seconds / (double)job->query_count,
    };
    int code = TOOL_OK;
    for (size_t i = 0; code == TOOL_OK && i < sizeof cells / sizeof cells[0]; i++) {
        code = table_number(&search->table, cells[i], error);
    }
    return code;
}

static void print_text(const struct search *search, const struct search_options *options) {
    const struct exact_job *job = &search->job;
    printf("%lld vectors of %lld numbers, %lld queries, metric %s, k = %lld\n\n",
           (long long)job->rows, (long long)job->dim, (long long)job->query_count,
           metric_names[job->metric], (long long)job->k);
    table_print(&search->table, stdout);
    if (!options->no_time) {
        printf("\nexact search in f64: %.1f us/query\n",
               1e6 * search->exact_seconds / (double)job->query_count);
    }
}

static void print_json(const struct search *search, const struct search_options *options) {
    const struct exact_job *job = &search->job;
    struct json json;
    json_start(&json, stdout);
    json_object(&json, NULL);
    json_text(&json, "command", "search");
    json_int(&json, "vectors", job->rows);
    json_int(&json, "dim", job->dim);
    json_int(&json, "queries", job->query_count);
    json_text(&json, "metric", metric_names[job->metric]);
    json_int(&json, "k", job->k);
    json_int(&json, "centre_rows", options->centre_rows);
    json_int(&json, "search_level", options->search_level);
    json_u64(&json, "seed", options->seed);
    json_int(&json, "seeds", options->seeds);
    if (!options->no_time) {
        json_real(&json, "exact_us_per_query",
                  1e6 * search->exact_seconds / (double)job->query_count);
    }
    table_json(&search->table, &json, "results", 0, search->table.rows);
    json_close_object(&json);
}

/* Reads, searches exactly, then builds and searches an index per number of bits. */
static int run_all(struct search *search, const struct search_options *options,
                   struct tool_error *error) {
    int code =
        tool_context(&search->context, 1, error); /* as the exact search it is held against */
    if (code == TOOL_OK) {
        code = read_files(search, options, error);
    }
    if (code == TOOL_OK) {
        code = run_exact(search, error);
    }
    progress_start(&search->progress, "indexes", (int64_t)options->bits.count * options->seeds);
    for (int i = 0; code == TOOL_OK && i < options->bits.count; i++) {
        code = run_bits(search, options, options->bits.value[i], error);
    }
    progress_end(&search->progress);
    return code;
}

static int run(const struct search_options *options, struct tool_error *error) {
    char recall[32];
    (void)snprintf(recall, sizeof recall, "recall@%d", (int)options->k);
    const struct table_column columns[] = {
        { "bits", "", "bits", 0, false },
        { recall, "", "recall", 4, false },
        { "coded", "B/vector", "coded_bytes_per_vector", 0, false },
        { "held", "B/vector", "held_bytes_per_vector", 1, false },
        { "ratio", "to f32", "ratio", 2, false },
        { "add", "us/vector", "add_us_per_vector", 2, true },
        { "search", "us/query", "search_us_per_query", 1, true },
    };
    struct search search;
    memset(&search, 0, sizeof search);
    table_start(&search.table, columns, sizeof columns / sizeof columns[0], options->no_time);
    const int code = run_all(&search, options, error);
    if (code == TOOL_OK) {
        if (options->json) {
            print_json(&search, options);
        } else {
            print_text(&search, options);
        }
    }
    table_free(&search.table);
    quash_context_free(search.context);
    free(search.base);
    free(search.queries);
    free(search.found);
    free(search.scores);
    free(search.job.ids);
    return code;
}

int cmd_search(int argc, char **argv, struct tool_error *error) {
    struct search_options o = { .bits = { 4, { 1, 2, 3, 4 } },
                                .metric = QUASH_METRIC_COSINE,
                                .k = 10,
                                .centre_rows = 1024,
                                .seeds = 1,
                                .seed = 42 };
    const struct args_option options[] = {
        { "base", 0, ARGS_TEXT, &o.base, 0, 0, NULL, "FILE",
          "vectors to search: .npy, .fvecs or .bvecs" },
        { "queries", 0, ARGS_TEXT, &o.queries, 0, 0, NULL, "FILE", "queries, likewise" },
        { "bits", 'b', ARGS_INTS, &o.bits, 1, 4, NULL, "LIST",
          "bits per number, an index for each (default 1,2,3,4)" },
        { "metric", 0, ARGS_CHOICE, &o.metric, 0, 0, metric_names, "NAME",
          "ip, cosine or l2 (default cosine)" },
        { "k", 'k', ARGS_INT, &o.k, 1, 1000, NULL, "N", "neighbours per query (default 10)" },
        { "centre-rows", 0, ARGS_INT, &o.centre_rows, 1, QUASH_CENTRE_ROWS_MAX, NULL, "N",
          "vectors whose mean is the centre (default 1024)" },
        { "search-level", 0, ARGS_INT, &o.search_level, 0, 2, NULL, "N",
          "step sizes tried per vector: 0 = 1, 1 = 3, 2 = 5\n(default 0)" },
        { "seed", 0, ARGS_U64, &o.seed, 0, 0, NULL, "N", "of the random rotation (default 42)" },
        { "seeds", 0, ARGS_INT, &o.seeds, 1, 1000, NULL, "N",
          "mean over N seeds, counting from --seed (default 1)" },
        ARGS_JSON(&o.json),
        ARGS_NO_TIME(&o.no_time),
    };
    const struct args_command command = {
        .name = "search",
        .purpose = "Measures recall, size and speed of a compressed vector index.",
        .synopsis = "--base FILE --queries FILE [OPTIONS]",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .notes =
            "Recall is the share of the k exact neighbours (in f64, equal ones by the lower row)\n"
            "that are among the k found, mean over the queries. coded is the size of a coded\n"
            "vector; held is all the index holds, shared among its vectors, and ratio refers to\n"
            "it. Times are of one thread, all queries in one call.\n",
        .examples =
            "  quash search --base data/sift/base.bvecs --queries data/sift/queries.bvecs\n"
            "  quash search --base data/sift/base.bvecs --queries data/sift/queries.bvecs \\\n"
            "               --metric l2 --bits 4 -k 1 --seeds 2 --json\n",
    };
    struct args_texts operands = { 0, { NULL } };
    bool helped;
    int code = args_parse(&command, argc, argv, &operands, &helped, error);
    if (code != TOOL_OK || helped) {
        return code;
    }
    code = args_check_operands(&operands, 0, 0, "", error);
    if (code == TOOL_OK && (o.base == NULL || o.queries == NULL)) {
        code = tool_fail(error, TOOL_USAGE, "expected --base and --queries; see --help");
    }
    return code != TOOL_OK ? code : run(&o, error);
}
