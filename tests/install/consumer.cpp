/* SPDX-License-Identifier: Apache-2.0 */
/* consumer.cpp: the same program in C++17. */
#include "consumer.c"
