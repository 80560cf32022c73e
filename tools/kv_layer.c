/* SPDX-License-Identifier: Apache-2.0 */
/* kv_layer.c: finds and reads captured keys, values and queries; exact attention in binary64. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "kv_layer.h"

#include "source.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char keys_ending[] = ".k.npy";

static void set_name(struct kv_files *files, const char *path) {
    const char *slash = strrchr(path, '/');
    const char *base = slash != NULL ? slash + 1 : path;
    size_t length = strlen(base);
    const char *const endings[] = { keys_ending, ".npy" };
    for (int i = 0; i < 2; i++) {
        const size_t ending = strlen(endings[i]);
        if (length > ending && strcmp(base + length - ending, endings[i]) == 0) {
            length -= ending;
            break;
        }
    }
    (void)snprintf(files->name, sizeof files->name, "%.*s", (int)length, base);
}

int kv_list_add(struct kv_file_list *list, const char *keys, const char *values,
                const char *queries, struct tool_error *error) {
    if (list->count == KV_LAYERS_MAX) {
        return tool_fail(error, TOOL_USAGE, "%s: more than %d layers", keys, KV_LAYERS_MAX);
    }
    struct kv_files *larger = realloc(list->files, ((size_t)list->count + 1) * sizeof *list->files);
    if (larger == NULL) {
        return tool_fail_memory(error, keys);
    }
    list->files = larger;
    struct kv_files *files = &larger[list->count++];
    memset(files, 0, sizeof *files);
    set_name(files, keys);
    files->keys = strdup(keys);
    files->values = strdup(values);
    files->queries = queries != NULL ? strdup(queries) : NULL;
    if (files->keys == NULL || files->values == NULL ||
        (queries != NULL && files->queries == NULL)) {
        return tool_fail_memory(error, keys);
    }
    return TOOL_OK;
}

void kv_list_free(struct kv_file_list *list) {
    for (int i = 0; i < list->count; i++) {
        free(list->files[i].keys);
        free(list->files[i].values);
        free(list->files[i].queries);
    }
    free(list->files);
    *list = (struct kv_file_list){ 0, NULL };
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct kv_files *)a)->keys, ((const struct kv_files *)b)->keys);
}

/* Adds the layer whose keys are folder/entry. */
static int add_entry(struct kv_file_list *list, const char *folder, const char *entry,
                     struct tool_error *error) {
    char path[3][4096];
    const int length = (int)(strlen(entry) - strlen(keys_ending));
    static const char kinds[] = "kvq";
    for (int i = 0; i < 3; i++) {
        const int written =
            snprintf(path[i], sizeof path[i], "%s/%.*s.%c.npy", folder, length, entry, kinds[i]);
        if (written < 0 || (size_t)written >= sizeof path[i]) {
            return tool_fail_errno(error, folder, entry, ENAMETOOLONG);
        }
    }
    return kv_list_add(list, path[0], path[1], access(path[2], F_OK) == 0 ? path[2] : NULL, error);
}

int kv_list_folder(struct kv_file_list *list, const char *folder, struct tool_error *error) {
    DIR *directory = opendir(folder);
    if (directory == NULL) {
        return tool_fail_errno(error, folder, "cannot read folder", errno);
    }
    int code = TOOL_OK;
    const struct dirent *entry = NULL;
    do {
        errno = 0;
        entry = readdir(directory);
        if (entry == NULL && errno != 0) {
            code = tool_fail_errno(error, folder, "cannot read folder", errno);
        }
        const size_t length = entry != NULL ? strlen(entry->d_name) : 0;
        const size_t ending = strlen(keys_ending);
        if (length > ending && strcmp(entry->d_name + length - ending, keys_ending) == 0) {
            code = add_entry(list, folder, entry->d_name, error);
        }
    } while (entry != NULL && code == TOOL_OK);
    (void)closedir(directory);
    if (code == TOOL_OK && list->count == 0) {
        code = tool_fail(error, TOOL_DATA, "%s: found no file NAME.k.npy", folder);
    }
    if (code == TOOL_OK) {
        qsort(list->files, (size_t)list->count, sizeof *list->files, by_name);
    }
    return code;
}

/* An array (heads, n, head_dim) of floating point. */
static int read_array(const char *path, float **out, int64_t shape[3], struct tool_error *error) {
    struct source source;
    int code = source_open(&source, path, SOURCE_NPY, error);
    if (code != TOOL_OK) {
        return code;
    }
    if (source.ndim != 3) {
        code = tool_fail(error, TOOL_DATA,
                         "%s: found %d dimensions, expected 3: (heads, tokens, head_dim)", path,
                         (int)source.ndim);
    } else if (source.dtype != QUASH_F32 && source.dtype != QUASH_F16) {
        code = tool_fail(error, TOOL_DATA, "%s: found dtype %s, expected floating point", path,
                         tool_dtype_name(source.dtype));
    } else if (source.rows == 0) {
        code = tool_fail(error, TOOL_DATA, "%s: found no rows, expected at least one", path);
    } else {
        memcpy(shape, source.shape, 3 * sizeof shape[0]);
        code = source_read_all_f32(&source, out, error);
    }
    source_close(&source);
    return code;
}

static int check_shapes(const struct kv_files *files, const int64_t k[3], const int64_t v[3],
                        const int64_t q[3], struct tool_error *error) {
    if (memcmp(k, v, 3 * sizeof k[0]) != 0) {
        return tool_fail(error, TOOL_DATA,
                         "%s: found shape (%lld, %lld, %lld), expected that of the keys "
                         "(%lld, %lld, %lld)",
                         files->values, (long long)v[0], (long long)v[1], (long long)v[2],
                         (long long)k[0], (long long)k[1], (long long)k[2]);
    }
    if (files->queries != NULL &&
        (q[2] != k[2] || q[1] > k[1] || q[0] % k[0] != 0 || q[0] / k[0] > QUASH_GROUP_MAX)) {
        return tool_fail(error, TOOL_DATA,
                         "%s: found shape (%lld, %lld, %lld), expected (1 to %d times %lld heads, "
                         "at most %lld positions, %lld) to fit the keys",
                         files->queries, (long long)q[0], (long long)q[1], (long long)q[2],
                         QUASH_GROUP_MAX, (long long)k[0], (long long)k[1], (long long)k[2]);
    }
    return TOOL_OK;
}

/* Attention of one query on the first `visible` tokens of one head. weights has room for them. */
static void attend_exactly(const float *query, const float *keys, const float *values,
                           int64_t visible, int64_t dim, double *weights, double *out) {
    double largest = (double)-INFINITY;
    for (int64_t t = 0; t < visible; t++) {
        double dot = 0.0;
        for (int64_t i = 0; i < dim; i++) {
            dot += (double)query[i] * (double)keys[t * dim + i];
        }
        weights[t] = dot / sqrt((double)dim);
        largest = weights[t] > largest ? weights[t] : largest;
    }
    double sum = 0.0;
    for (int64_t i = 0; i < dim; i++) {
        out[i] = 0.0;
    }
    for (int64_t t = 0; t < visible; t++) {
        const double weight = exp(weights[t] - largest);
        sum += weight;
        for (int64_t i = 0; i < dim; i++) {
            out[i] += weight * (double)values[t * dim + i];
        }
    }
    for (int64_t i = 0; i < dim; i++) {
        out[i] /= sum;
    }
}

static int compute_exact(struct kv_layer *layer, struct tool_error *error) {
    const int64_t dim = layer->head_dim;
    const size_t queries = (size_t)(layer->query_heads * layer->q_len);
    const int64_t group = layer->query_heads / layer->kv_heads;
    double *weights = malloc((size_t)layer->tokens * sizeof *weights);
    layer->exact = malloc(queries * (size_t)dim * sizeof *layer->exact);
    if (weights == NULL || layer->exact == NULL) {
        free(weights);
        return tool_fail_memory(error, layer->keys_path);
    }
    for (int64_t h = 0; h < layer->query_heads; h++) {
        const int64_t head = h / group * layer->tokens * dim;
        for (int64_t i = 0; i < layer->q_len; i++) {
            const int64_t at = (h * layer->q_len + i) * dim;
            attend_exactly(layer->queries + at, layer->keys + head, layer->values + head,
                           layer->tokens - layer->q_len + i + 1, dim, weights, layer->exact + at);
        }
    }
    free(weights);
    return TOOL_OK;
}

int kv_layer_read(struct kv_layer *layer, const struct kv_files *files, struct tool_error *error) {
    int64_t k[3] = { 0 };
    int64_t v[3] = { 0 };
    int64_t q[3] = { 0 };
    memset(layer, 0, sizeof *layer);
    memcpy(layer->name, files->name, sizeof layer->name);
    layer->keys_path = files->keys;
    layer->values_path = files->values;
    layer->queries_path = files->queries;
    int code = read_array(files->keys, &layer->keys, k, error);
    if (code == TOOL_OK) {
        code = read_array(files->values, &layer->values, v, error);
    }
    if (code == TOOL_OK && files->queries != NULL) {
        code = read_array(files->queries, &layer->queries, q, error);
    }
    if (code == TOOL_OK) {
        code = check_shapes(files, k, v, q, error);
    }
    layer->kv_heads = k[0];
    layer->tokens = k[1];
    layer->head_dim = k[2];
    layer->query_heads = q[0];
    layer->q_len = q[1];
    if (code == TOOL_OK && files->queries != NULL) {
        code = compute_exact(layer, error);
    }
    if (code != TOOL_OK) {
        kv_layer_free(layer);
    }
    return code;
}

void kv_layer_free(struct kv_layer *layer) {
    free(layer->keys);
    free(layer->values);
    free(layer->queries);
    free(layer->exact);
    layer->keys = layer->values = layer->queries = NULL;
    layer->exact = NULL;
}
