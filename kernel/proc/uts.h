/*
 * The names that uname(2) tells.
 */
#pragma once

#include <linux/utsname.h>

#include "kernel/base/types.h"

/* A consistent copy. Thread context. */
void uts_get(struct new_utsname *ret_name);
/* At most __NEW_UTS_LEN bytes, not NUL-terminated. -EINVAL: too long. */
int uts_set_hostname(const char *name, size_t len_bytes);
int uts_set_domainname(const char *name, size_t len_bytes);
