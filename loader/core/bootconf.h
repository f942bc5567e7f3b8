/*
 * \linnet\boot.conf: what to boot.
 *
 *     # comment
 *     default = linnet               what boots when nobody chooses (else the first)
 *     timeout = 3                    wait for a key when there are several entries (else 3)
 *     kernel = \linnet\kernel.elf    keys before the first entry are what every entry starts from
 *
 *     [linnet]
 *     initramfs = \linnet\initramfs.cpio
 *     parameters = quiet
 *
 *     [linnet, safe]
 *     parameters = nokaslr
 *
 * Without a [name] line the file describes one entry called "linnet". Paths are absolute on the
 * volume that the loader came from, with either slash. A value reaches to the end of its line.
 * `initramfs` and `parameters` may be missing.
 */
#pragma once

#include "kernel/base/types.h"

#define BOOTCONF_MAX_ENTRIES     16
#define BOOTCONF_NAME_SIZE       64
#define BOOTCONF_PATH_SIZE       160
#define BOOTCONF_PARAMETERS_SIZE 2048
#define BOOTCONF_MAX_TIMEOUT_S   3600
#define BOOTCONF_MAX_FILE_BYTES  65536

struct bootconf_entry {
    char name[BOOTCONF_NAME_SIZE];
    char kernel[BOOTCONF_PATH_SIZE];
    char initramfs[BOOTCONF_PATH_SIZE];        /* "": none */
    char parameters[BOOTCONF_PARAMETERS_SIZE]; /* "": none */
};

struct bootconf {
    struct bootconf_entry entries[BOOTCONF_MAX_ENTRIES];
    unsigned nentries; /* at least 1 */
    unsigned default_entry;
    unsigned timeout_s;
};

/*
 * Parse `size_bytes` of hostile text. On failure -EINVAL, and `reason` says what and where: line 7:
 * unknown key "kernl". *ret_conf is scratch until success.
 */
int bootconf_parse(const char *text, size_t size_bytes, struct bootconf *ret_conf, char *reason,
                   size_t reason_size);
