/* SPDX-License-Identifier: Apache-2.0 */
/* kv_layer.h: captured keys, values and queries of attention layers; exact attention on them. */
#ifndef TOOL_KV_LAYER_H
#define TOOL_KV_LAYER_H

#include "tool.h"

enum { KV_NAME_MAX = 64, KV_LAYERS_MAX = 1024 };

struct kv_layer {
    char name[KV_NAME_MAX];
    const char *keys_path, *values_path, *queries_path; /* for messages */
    int64_t kv_heads, tokens, head_dim;
    int64_t query_heads, q_len; /* 0 without queries */
    float *keys, *values;       /* (kv_heads, tokens, head_dim) */
    float *queries;             /* (query_heads, q_len, head_dim), of the last tokens; or NULL */
    double *exact;              /* exact attention output, likewise, or NULL */
};

/* Files of a layer; queries may be NULL. */
struct kv_files {
    char name[KV_NAME_MAX];
    char *keys, *values, *queries;
};

struct kv_file_list {
    int count;
    struct kv_files *files;
};

/* Finds all NAME.k.npy with NAME.v.npy and, where there is one, NAME.q.npy, ordered by name. */
int kv_list_folder(struct kv_file_list *list, const char *folder, struct tool_error *error);

/* One layer by its three paths. */
int kv_list_add(struct kv_file_list *list, const char *keys, const char *values,
                const char *queries, struct tool_error *error);
void kv_list_free(struct kv_file_list *list);

/* Reads a layer, checks that its shapes fit one another, and computes exact. */
int kv_layer_read(struct kv_layer *layer, const struct kv_files *files, struct tool_error *error);
void kv_layer_free(struct kv_layer *layer);

#endif
