# SPDX-License-Identifier: Apache-2.0
"""What the prototype of this package published (its README), to be printed beside what we measure.
Measured by its author, on other hardware and models; repeated here as they stand."""

LABEL = "original, published"

#: bits -> mean cosine of keys and of values with their decoded form, and of the attention output
#: (3 bits; Qwen2.5-0.5B and TinyLlama), head_dim 64.
KEY_COSINE = {2: .80, 3: .94, 4: .983}
VALUE_COSINE = {2: .941, 3: .983, 4: .995}
OUTPUT_COSINE = {3: ".887/.924"}

#: bits -> smaller than float16, TinyLlama (head_dim 64) and Mistral-7B (head_dim 128).
RATIO = {64: {2: 6.40, 3: 4.57, 4: 3.56}, 128: {2: 7.11, 3: 4.92, 4: 3.76}}

#: tokens -> milliseconds of its fused attention on an A100, 3 bits.
ATTENTION_MS = {64: .20, 256: .24, 1024: .50, 4096: 1.55}

#: Milliseconds of its fused compression of 256 tokens on an A100.
COMPRESSION_MS = {256: .13}

#: total bits -> variance of the inner-product quantizer times dim, as the paper prints it.
PAPER_PRODUCT_VARIANCE = {1: 1.57, 2: .56, 3: .18, 4: .047}
