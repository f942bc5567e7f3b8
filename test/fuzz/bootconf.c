/*
 * Any bytes as \linnet\boot.conf; what is accepted keeps the promises of loader/core/bootconf.h.
 */
#include "loader/core/bootconf.h"

#include "kernel/base/errno.h"
#include "kernel/base/string.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct bootconf conf;
    char reason[160] = "";
    int err = bootconf_parse((const char *)data, size, &conf, reason, sizeof(reason));

    if (err < 0) {
        if (err != -EINVAL || reason[0] == '\0') {
            __builtin_trap();
        }
        return 0;
    }
    if (conf.nentries == 0 || conf.nentries > BOOTCONF_MAX_ENTRIES ||
        conf.default_entry >= conf.nentries || conf.timeout_s > BOOTCONF_MAX_TIMEOUT_S) {
        __builtin_trap();
    }
    for (unsigned i = 0; i < conf.nentries; i++) {
        const struct bootconf_entry *entry = &conf.entries[i];
        if (entry->name[0] == '\0' || entry->kernel[0] != '\\' ||
            strchr(entry->kernel, '/') != NULL ||
            strnlen(entry->parameters, BOOTCONF_PARAMETERS_SIZE) == BOOTCONF_PARAMETERS_SIZE) {
            __builtin_trap();
        }
    }
    return 0;
}
