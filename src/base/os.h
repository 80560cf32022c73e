/* SPDX-License-Identifier: Apache-2.0 */
/* os.h: what the library asks of the operating system. */
#ifndef QUASH_BASE_OS_H
#define QUASH_BASE_OS_H

/* Value of an environment variable, or NULL. */
const char *quash_os_environment(const char *name);

/* Whether an AArch64 CPU has the dotprod instructions. */
int quash_os_has_dotprod(void);

#endif
