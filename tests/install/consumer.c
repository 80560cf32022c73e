/* SPDX-License-Identifier: Apache-2.0 */
/* consumer.c: a program that uses the installed library, built by tests/install/run.sh. */
#include <quash/quash.h>

#include <stdio.h>

int main(void) {
    puts(quash_version_string());
    return 0;
}
