/* SPDX-License-Identifier: Apache-2.0 */
/* rng.h: a counter-based integer generator (doc/format.md, "Random words"): word i of stream s is a
 * pure function of (seed, s, i), the same on every machine. SplitMix64 (Steele, Lea, Flood 2014)
 * started from a key mixed from seed and stream. */
#ifndef QUASH_BASE_RNG_H
#define QUASH_BASE_RNG_H

#include <stdint.h>

#define QUASH_RNG_GAMMA UINT64_C(0x9E3779B97F4A7C15)

static inline uint64_t quash_rng_mix(uint64_t z) {
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static inline uint64_t quash_rng_key(uint64_t seed, uint64_t stream) {
    return quash_rng_mix(seed + QUASH_RNG_GAMMA * (stream + 1));
}

static inline uint64_t quash_rng_word(uint64_t key, uint64_t index) {
    return quash_rng_mix(key + QUASH_RNG_GAMMA * (index + 1));
}

#endif
