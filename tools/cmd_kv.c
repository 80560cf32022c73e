/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_kv.c: `quash kv`: what a compressed cache costs and loses on captured keys and values. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "args.h"
#include "commands.h"
#include "kv_metrics.h"
#include "progress.h"
#include "report.h"

#include <stdlib.h>
#include <string.h>

static const char *const mode_names[] = { "fast", "exact", "float", NULL };

struct kv_options {
    struct args_texts keys, values, queries;
    struct args_ints bits, key_bits, value_bits;
    int32_t search_level, seeds;
    int32_t mode; /* a quash_attend_mode */
    uint64_t seed;
    bool json;
};

enum { SETTINGS_MAX = ARGS_INTS_MAX * ARGS_INTS_MAX, LAYER_COLUMNS = 6 };

/* A run of the command. */
struct kv {
    struct kv_file_list files;
    struct kv_setting settings[SETTINGS_MAX];
    int setting_count;
    struct kv_figures means[SETTINGS_MAX]; /* sums over layers */
    quash_context *context;
    struct table table;
    struct progress progress;
    int64_t done;
    bool have_queries;
    int layer_rows; /* rows of the table that are layers; means follow */
};

/* LAYER_COLUMNS of what was measured, then the members of struct kv_figures in their order. */
static const struct table_column columns[] = {
    { "layer", "", "layer", -1, false },
    { NULL, "", "kv_heads", 0, false },
    { NULL, "", "tokens", 0, false },
    { NULL, "", "head_dim", 0, false },
    { "K", "bits", "key_bits", 0, false },
    { "V", "bits", "value_bits", 0, false },
    { NULL, "", "key_code_bytes", 0, false },
    { NULL, "", "value_code_bytes", 0, false },
    { NULL, "", "scale_bytes", 0, false },
    { NULL, "", "table_bytes", 0, false },
    { "held", "bytes", "bytes", 0, false },
    { "bytes/", "token", "bytes_per_token", 1, false },
    { "ratio", "to f16", "ratio", 2, false },
    { "K", "nMSE", "key_nmse", 5, false },
    { "K", "theory", "key_nmse_theory", 5, false },
    { "V", "nMSE", "value_nmse", 5, false },
    { "V", "theory", "value_nmse_theory", 5, false },
    { "K", "cosine", "key_cosine", 5, false },
    { "V", "cosine", "value_cosine", 5, false },
    { "logits", "rms err", "logit_rms_error", 4, false },
    { "output", "rel err", "output_error", 4, false },
    { "output", "cosine", "output_cosine", 5, false },
};
enum { COLUMNS = sizeof columns / sizeof columns[0], QUERY_COLUMNS = 3 };

static int list_files(struct kv *kv, const struct kv_options *options,
                      const struct args_texts *operands, struct tool_error *error) {
    const int count = options->keys.count;
    if ((operands->count == 1) == (count > 0)) {
        return tool_fail(error, TOOL_USAGE, "expected either FOLDER or --keys and --values; %s",
                         "see --help");
    }
    if (options->values.count != count ||
        (options->queries.count != 0 && options->queries.count != count)) {
        return tool_fail(error, TOOL_USAGE,
                         "found %d --keys, %d --values and %d --queries, expected as many of each "
                         "(or no --queries)",
                         count, options->values.count, options->queries.count);
    }
    if (operands->count == 1) {
        return kv_list_folder(&kv->files, operands->value[0], error);
    }
    int code = TOOL_OK;
    for (int i = 0; code == TOOL_OK && i < count; i++) {
        code = kv_list_add(&kv->files, options->keys.value[i], options->values.value[i],
                           options->queries.count > 0 ? options->queries.value[i] : NULL, error);
    }
    return code;
}

/* --bits gives keys and values the same; --key-bits and --value-bits give all combinations. */
static int list_settings(struct kv *kv, const struct kv_options *options,
                         struct tool_error *error) {
    const struct kv_setting base = { 0, 0, options->search_level, options->mode, options->seed };
    const bool separate = options->key_bits.count > 0 || options->value_bits.count > 0;
    if (separate && (options->key_bits.count == 0 || options->value_bits.count == 0 ||
                     options->bits.count > 0)) {
        return tool_fail(error, TOOL_USAGE,
                         "expected either --bits, or both --key-bits and --value-bits");
    }
    static const struct args_ints usual = { 3, { 2, 3, 4 } };
    const struct args_ints *bits = options->bits.count > 0 ? &options->bits : &usual;
    const struct args_ints *keys = separate ? &options->key_bits : bits;
    for (int k = 0; k < keys->count; k++) {
        for (int v = 0; v < (separate ? options->value_bits.count : 1); v++) {
            struct kv_setting *setting = &kv->settings[kv->setting_count++];
            *setting = base;
            setting->key_bits = keys->value[k];
            setting->value_bits = separate ? options->value_bits.value[v] : keys->value[k];
        }
    }
    return TOOL_OK;
}

/* A line of the table; layer is NULL for a mean. */
static int add_line(struct kv *kv, const struct kv_layer *layer, const struct kv_setting *setting,
                    const struct kv_figures *figures, struct tool_error *error) {
    double values[KV_FIGURES];
    memcpy(values, figures, sizeof values);
    int code = table_text(&kv->table, layer != NULL ? layer->name : "mean", error);
    const double none = TOOL_NO_VALUE;
    const double shape[LAYER_COLUMNS - 1] = {
        layer != NULL ? (double)layer->kv_heads : none,
        layer != NULL ? (double)layer->tokens : none,
        layer != NULL ? (double)layer->head_dim : none,
        setting->key_bits,
        setting->value_bits,
    };
    for (int i = 0; code == TOOL_OK && i < LAYER_COLUMNS - 1; i++) {
        code = table_number(&kv->table, shape[i], error);
    }
    for (int i = 0; code == TOOL_OK && i < KV_FIGURES; i++) {
        code = table_number(&kv->table, values[i], error);
    }
    return code;
}

/* Measures one layer at every setting, each the mean over the seeds. */
static int run_layer(struct kv *kv, const struct kv_layer *layer, int32_t seeds,
                     struct tool_error *error) {
    int code = TOOL_OK;
    for (int s = 0; code == TOOL_OK && s < kv->setting_count; s++) {
        struct kv_figures mean;
        memset(&mean, 0, sizeof mean);
        for (int32_t i = 0; code == TOOL_OK && i < seeds; i++) {
            struct kv_setting setting = kv->settings[s];
            struct kv_figures figures;
            setting.seed += (uint64_t)i;
            code = kv_measure(layer, &setting, kv->context, &figures, error);
            if (code == TOOL_OK) {
                kv_figures_add(&mean, &figures, 1.0 / seeds);
            }
            progress_update(&kv->progress, ++kv->done);
        }
        if (code == TOOL_OK) {
            kv_figures_add(&kv->means[s], &mean, 1.0 / kv->files.count);
            code = add_line(kv, layer, &kv->settings[s], &mean, error);
        }
    }
    return code;
}

static int run_layers(struct kv *kv, int32_t seeds, struct tool_error *error) {
    int code = TOOL_OK;
    progress_start(&kv->progress, "caches", (int64_t)kv->files.count * kv->setting_count * seeds);
    for (int i = 0; code == TOOL_OK && i < kv->files.count; i++) {
        struct kv_layer layer;
        code = kv_layer_read(&layer, &kv->files.files[i], error);
        if (code == TOOL_OK) {
            kv->have_queries = kv->have_queries || layer.queries != NULL;
            code = run_layer(kv, &layer, seeds, error);
            kv_layer_free(&layer);
        }
    }
    progress_end(&kv->progress);
    kv->layer_rows = kv->table.rows;
    for (int s = 0; code == TOOL_OK && kv->files.count > 1 && s < kv->setting_count; s++) {
        code = add_line(kv, NULL, &kv->settings[s], &kv->means[s], error);
    }
    return code;
}

static void print_result(struct kv *kv, const struct kv_options *options) {
    struct table_column printed[COLUMNS];
    if (!options->json) {
        memcpy(printed, columns, sizeof columns);
        for (int i = COLUMNS - QUERY_COLUMNS; i < COLUMNS && !kv->have_queries; i++) {
            printed[i].title = NULL;
        }
        kv->table.columns = printed;
        table_print(&kv->table, stdout);
        kv->table.columns = columns;
        return;
    }
    struct json json;
    json_start(&json, stdout);
    json_object(&json, NULL);
    json_text(&json, "command", "kv");
    json_text(&json, "mode", mode_names[options->mode]);
    json_int(&json, "search_level", options->search_level);
    json_u64(&json, "seed", options->seed);
    json_int(&json, "seeds", options->seeds);
    table_json(&kv->table, &json, "layers", 0, kv->layer_rows);
    table_json(&kv->table, &json, "mean", kv->layer_rows, kv->table.rows);
    json_close_object(&json);
}

static int run(const struct kv_options *options, const struct args_texts *operands,
               struct tool_error *error) {
    struct kv *kv = calloc(1, sizeof *kv);
    if (kv == NULL) {
        return tool_fail_memory(error, "kv");
    }
    table_start(&kv->table, columns, COLUMNS, false);
    int code = list_files(kv, options, operands, error);
    if (code == TOOL_OK) {
        code = list_settings(kv, options, error);
    }
    if (code == TOOL_OK) {
        code = tool_context(&kv->context, 0, error);
    }
    if (code == TOOL_OK) {
        code = run_layers(kv, options->seeds, error);
    }
    if (code == TOOL_OK) {
        print_result(kv, options);
    }
    table_free(&kv->table);
    quash_context_free(kv->context);
    kv_list_free(&kv->files);
    free(kv);
    return code;
}

static const char notes[] =
    "FOLDER holds NAME.k.npy, NAME.v.npy and, where there are some, NAME.q.npy for every layer.\n"
    "Keys and values have the shape (KV heads, tokens, head_dim), queries (query heads,\n"
    "positions, head_dim) and belong to the last positions. All are floating point.\n\n"
    "nMSE is the squared error over the squared norm; theory is that of the Lloyd-Max codebook\n"
    "for a random direction in this dim, with one step size for all (--search-level 0). Logits\n"
    "are q.k/sqrt(head_dim) of all visible pairs; the output of causal attention on the codes\n"
    "is compared with exact attention on the originals. Several layers end with their mean.\n";

int cmd_kv(int argc, char **argv, struct tool_error *error) {
    struct kv_options o = { .search_level = 2, .seeds = 1, .mode = QUASH_ATTEND_FAST, .seed = 42 };
    const struct args_option options[] = {
        { "keys", 0, ARGS_TEXTS, &o.keys, 0, 0, NULL, "K.npy", "keys of a layer; may be repeated" },
        { "values", 0, ARGS_TEXTS, &o.values, 0, 0, NULL, "V.npy", "values, one for each --keys" },
        { "queries", 0, ARGS_TEXTS, &o.queries, 0, 0, NULL, "Q.npy",
          "queries, one for each --keys, or none" },
        { "bits", 'b', ARGS_INTS, &o.bits, 2, 4, NULL, "LIST",
          "bits of keys and values alike (default 2,3,4)" },
        { "key-bits", 0, ARGS_INTS, &o.key_bits, 2, 4, NULL, "LIST",
          "bits of keys, with every one of --value-bits" },
        { "value-bits", 0, ARGS_INTS, &o.value_bits, 2, 4, NULL, "LIST", "bits of values" },
        { "mode", 0, ARGS_CHOICE, &o.mode, 0, 0, mode_names, "NAME",
          "arithmetic of attention: fast (one digit), exact (16\nbits) or float (default fast)" },
        { "search-level", 0, ARGS_INT, &o.search_level, 0, 2, NULL, "N",
          "step sizes tried per vector: 0 = 1, 1 = 3, 2 = 5\n(default 2)" },
        { "seed", 0, ARGS_U64, &o.seed, 0, 0, NULL, "N", "of the random rotation (default 42)" },
        { "seeds", 0, ARGS_INT, &o.seeds, 1, 1000, NULL, "N",
          "mean over N seeds, counting from --seed (default 1)" },
        ARGS_JSON(&o.json),
    };
    const struct args_command command = {
        .name = "kv",
        .purpose = "Measures a compressed key/value cache on captured keys and values.",
        .synopsis = "FOLDER [OPTIONS]\n--keys K.npy --values V.npy [--queries Q.npy] [OPTIONS]",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .notes = notes,
        .examples = "  quash kv data/kv-smollm2\n"
                    "  quash kv data/kv-smollm2 --key-bits 3,4 --value-bits 2 --seeds 2\n"
                    "  quash kv --keys data/kv-smollm2/layer14.k.npy \\\n"
                    "           --values data/kv-smollm2/layer14.v.npy --bits 3 --json\n",
    };
    struct args_texts operands = { 0, { NULL } };
    bool helped;
    int code = args_parse(&command, argc, argv, &operands, &helped, error);
    if (code != TOOL_OK || helped) {
        return code;
    }
    code = args_check_operands(&operands, 0, 1, "one FOLDER", error);
    return code != TOOL_OK ? code : run(&o, &operands, error);
}
