/* SPDX-License-Identifier: Apache-2.0 */
/* Proves on keys of a real model (data/kv-smollm2) what key statistics are worth: squared error of
 * decoded keys and rms error of logits, over tokens from 128 on, statistics frozen from tokens 4 to
 * 127, mean over sign seeds of the rotation. The expected figures are those of an independent
 * statement of the method in NumPy, with other signs. */
#include "base/half.h"
#include "codec/quantizer.h"
#include "key_stats_support.h"

enum { DIM = 64, HEADS = 3, GROUP = 3, TOKENS = 1024, FIRST = 4, FROZEN = 128, QUERIES = 64 };
#define SEEDS 16

/* One KV head: keys, the squares of its queries of tokens 4..127, and the sum of q q^T over its
 * queries of the last positions: a logit error e . q has the mean square e^T (sum) e / count. */
struct head {
    float keys[TOKENS][DIM];
    double squares[DIM];
    float products[DIM][DIM];
    double key_energy; /* of the tokens measured */
};

static struct head heads[9];
static struct test_rope rope;

/* A binary16 .npy of three dimensions; only the end of its header matters. */
static float *load(const char *layer, const char *what, size_t count) {
    char path[64];
    unsigned char header[10];
    (void)snprintf(path, sizeof path, "data/kv-smollm2/layer%s.%s.npy", layer, what);
    FILE *const file = fopen(path, "rb");
    float *const x = test_alloc(count * sizeof *x);
    if (file == NULL || fread(header, 1, sizeof header, file) != sizeof header ||
        fseek(file, 10 + header[8] + 256 * header[9], SEEK_SET) != 0) {
        printf("cannot read %s\n", path);
        exit(1);
    }
    for (size_t i = 0; i < count; i++) {
        uint16_t half = 0;
        CHECK(fread(&half, sizeof half, 1, file) == 1);
        x[i] = quash_f16_to_f32(half);
    }
    (void)fclose(file);
    return x;
}

static void load_layer(const char *layer, struct head *into) {
    float *const keys = load(layer, "k", (size_t)HEADS * TOKENS * DIM);
    float *const first = load(layer, "q0", (size_t)HEADS * GROUP * FROZEN * DIM);
    float *const last = load(layer, "q", (size_t)HEADS * GROUP * QUERIES * DIM);
    for (size_t h = 0; h < HEADS; h++) {
        struct head *const head = &into[h];
        memcpy(head->keys, keys + h * TOKENS * DIM, sizeof head->keys);
        head->key_energy =
            test_dot(head->keys[FROZEN], head->keys[FROZEN], (size_t)(TOKENS - FROZEN) * DIM);
        for (size_t q = h * GROUP; q < (h + 1) * GROUP; q++) {
            for (size_t t = FIRST; t < FROZEN; t++) {
                quash_key_stats_add_query(DIM, first + (q * FROZEN + t) * DIM, head->squares);
            }
            for (size_t t = 0; t < QUERIES; t++) {
                const float *const x = last + (q * QUERIES + t) * DIM;
                for (size_t i = 0; i < DIM * DIM; i++) {
                    head->products[i / DIM][i % DIM] += x[i / DIM] * x[i % DIM];
                }
            }
        }
    }
    free(keys);
    free(first);
    free(last);
}

struct figures {
    double nmse;
    double logit; /* mean square */
};

static struct figures measure_head(const struct head *head, const struct quash_key_stats *stats,
                                   const struct quash_quantizer *quantizer) {
    struct figures found = { 0.0, 0.0 };
    const size_t logit_end = TOKENS - QUERIES;
    for (size_t t = FROZEN; t < TOKENS; t++) {
        float turned[DIM];
        float key[DIM];
        uint8_t codes_a[DIM];
        uint8_t codes_b[DIM];
        memcpy(key, head->keys[t], sizeof key);
        quash_key_stats_turn(stats, (int64_t)t / 64, turned);
        quash_key_stats_apply(stats, turned, t % 64, key);
        const struct quash_encoded encoded =
            quash_quantizer_encode(quantizer, key, codes_a, codes_b);
        const float scale = quash_f16_to_f32(quash_f32_to_f16(encoded.scale));
        quash_quantizer_decode(quantizer, encoded.codes, scale, key);
        quash_key_stats_undo(stats, turned, t % 64, key);
        for (size_t i = 0; i < DIM; i++) {
            key[i] -= head->keys[t][i];
        }
        found.nmse += test_dot(key, key, DIM);
        for (size_t i = 0; t < logit_end && i < DIM; i++) {
            float sum = 0.0f;
            for (size_t j = 0; j < DIM; j++) {
                sum += head->products[i][j] * key[j];
            }
            found.logit += (double)(sum * key[i]);
        }
    }
    found.nmse /= head->key_energy;
    found.logit /= (double)(GROUP * QUERIES * (logit_end - FROZEN) * DIM);
    return found;
}

/* Mean over seeds of the mean over heads; the logit error is rms over heads. */
static struct figures measure(int32_t bits, int32_t pairs, enum quash_pair_scale scale,
                              bool queries, uint64_t seeds) {
    struct quash_kernels kernels;
    struct figures all = { 0.0, 0.0 };
    struct quash_key_stats stats;
    enum quash_cpu_level level;
    CHECK_EQ(quash_cpu_choose(NULL, &level), QUASH_OK);
    quash_kernels_fill(&kernels, level);
    test_stats_make(&stats, DIM, &rope.rope);
    for (uint64_t seed = 0; seed < seeds; seed++) {
        struct figures mean = { 0.0, 0.0 };
        struct quash_rotation rotation;
        struct quash_quantizer quantizer;
        uint8_t signs[64];
        quash_rotation_init(&rotation, DIM, 1, seed, signs);
        quash_quantizer_init(&quantizer, &kernels, &rotation, bits, QUASH_SCALE_NORM, 2);
        for (size_t h = 0; h < COUNT_OF(heads); h++) {
            const struct quash_key_sample sample = { heads[h].keys[FIRST], FROZEN - FIRST, FIRST,
                                                     queries ? heads[h].squares : NULL };
            quash_key_stats_freeze(&stats, &sample, pairs, scale);
            const struct figures found = measure_head(&heads[h], &stats, &quantizer);
            mean.nmse += found.nmse / COUNT_OF(heads);
            mean.logit += found.logit / COUNT_OF(heads);
        }
        all.nmse += mean.nmse / (double)seeds;
        all.logit += sqrt(mean.logit) / (double)seeds;
    }
    test_stats_free(&stats);
    return all;
}

struct expected {
    int32_t bits;
    int32_t pairs;
    enum quash_pair_scale scale;
    bool queries;
    const char *what;
    double nmse, logit;
};

static const struct expected list[] = {
    { 4, 0, QUASH_PAIR_SCALE_OFF, false, "nothing", .00704, .2855 },
    { 4, QUASH_MEAN_PAIRS_ALL, QUASH_PAIR_SCALE_OFF, false, "mean", .00208, .1444 },
    { 4, QUASH_MEAN_PAIRS_ALL, QUASH_PAIR_SCALE_ON, false, "mean, k^-1/8", .00188, .1447 },
    { 4, QUASH_MEAN_PAIRS_ALL, QUASH_PAIR_SCALE_ON, true, "mean, (q/k)^1/4", .00230, .1253 },
    { 3, 0, QUASH_PAIR_SCALE_OFF, false, "nothing", .02807, .5704 },
    { 3, QUASH_MEAN_PAIRS_ALL, QUASH_PAIR_SCALE_OFF, false, "mean", .00843, .2917 },
    { 3, QUASH_MEAN_PAIRS_ALL, QUASH_PAIR_SCALE_ON, false, "mean, k^-1/8", .00767, .2924 },
    { 3, QUASH_MEAN_PAIRS_ALL, QUASH_PAIR_SCALE_ON, true, "mean, (q/k)^1/4", .00932, .2515 },
    { 2, 0, QUASH_PAIR_SCALE_OFF, false, "nothing", .10673, 1.1341 },
    { 2, QUASH_MEAN_PAIRS_ALL, QUASH_PAIR_SCALE_OFF, false, "mean", .03231, .5817 },
    { 2, QUASH_MEAN_PAIRS_ALL, QUASH_PAIR_SCALE_ON, false, "mean, k^-1/8", .02949, .5801 },
    { 2, QUASH_MEAN_PAIRS_ALL, QUASH_PAIR_SCALE_ON, true, "mean, (q/k)^1/4", .03575, .5008 },
};

TEST(all_pairs_give_the_figures_of_the_reference) {
    for (size_t i = 0; i < COUNT_OF(list); i++) {
        const struct expected *const e = &list[i];
        const struct figures found = measure(e->bits, e->pairs, e->scale, e->queries, SEEDS);
        printf("     %d bits, %-16s key nMSE %.5f, rms logit error %.4f\n", (int)e->bits, e->what,
               found.nmse, found.logit);
        CHECK_NEAR(found.nmse, e->nmse, 0.02 * e->nmse);
        CHECK_NEAR(found.logit, e->logit, 0.02 * e->logit);
    }
}

TEST(the_default_pairs_divide_the_error) {
    const struct figures before = measure(3, 0, QUASH_PAIR_SCALE_OFF, false, 8);
    const struct figures after =
        measure(3, QUASH_MEAN_PAIRS_DEFAULT, QUASH_PAIR_SCALE_OFF, false, 8);
    printf("     3 bits, %d pairs: key nMSE / %.2f, rms logit error / %.2f\n",
           QUASH_MEAN_PAIRS_DEFAULT, before.nmse / after.nmse, before.logit / after.logit);
    CHECK(before.nmse / after.nmse >= 2.7);
    CHECK(before.logit / after.logit >= 1.7);
}

int main(void) {
    static const char *const layers[] = { "00", "14", "29" };
    test_rope_make(&rope, QUASH_ROPE_HALF, DIM, 1e5, TOKENS);
    for (size_t i = 0; i < COUNT_OF(layers); i++) {
        load_layer(layers[i], heads + i * HEADS);
    }
    RUN(all_pairs_give_the_figures_of_the_reference);
    RUN(the_default_pairs_divide_the_error);
    free(rope.memory);
    return test_report();
}
