/*
 * /sys/kernel/mm/transparent_hugepage (Linux, Documentation/admin-guide/mm/transhuge.rst): only what has an effect here.
 */
#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/fs/sysfs/sysfs.h"
#include "kernel/vm/huge.h"

#define HUGEPAGE "kernel/mm/transparent_hugepage/"

/* A written word without the newline at its end. */
static const char *word(char *value, size_t len)
{
    if (len > 0 && value[len - 1] == '\n') {
        value[len - 1] = '\0';
    }
    return value;
}

static const char *const modes[] = {
    [HUGE_ALWAYS] = "always", [HUGE_MADVISE] = "madvise", [HUGE_NEVER] = "never"};

static int enabled_show(struct text *text)
{
    enum huge_mode now = atomic_load_relaxed(&vm_huge.mode);

    for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
        text_printf(text, i == now ? "%s[%s]" : "%s%s", i == 0 ? "" : " ", modes[i]);
    }
    text_putc(text, '\n');
    return 0;
}

static int enabled_write(char *value, size_t len)
{
    const char *name = word(value, len);

    for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
        if (strcmp(name, modes[i]) == 0) {
            huge_set_mode(i);
            return 0;
        }
    }
    return -EINVAL;
}

/* Shared memory has small pages alone. */
static int shmem_enabled_show(struct text *text)
{
    text_puts(text, "always within_size advise [never] deny force\n");
    return 0;
}

static int pmd_size_show(struct text *text)
{
    text_printf(text, "%llu\n", (unsigned long long)HUGE_PAGE_SIZE);
    return 0;
}

SYS_FILE(huge_enabled) = {
    .path = HUGEPAGE "enabled", .mode = 0644, .show = enabled_show, .write = enabled_write};
SYS_FILE(huge_shmem_enabled) = {.path = HUGEPAGE "shmem_enabled", .show = shmem_enabled_show};
SYS_FILE(huge_pmd_size) = {.path = HUGEPAGE "hpage_pmd_size", .show = pmd_size_show};

/* ---- khugepaged ---- */

static int number_write(char *value, size_t len, uint32_t least, uint32_t most, uint32_t *setting)
{
    uint64_t number;

    if (str_to_u64(word(value, len), 10, &number) < 0 || number < least || number > most) {
        return -EINVAL;
    }
    atomic_store_relaxed(setting, (uint32_t)number);
    return 0;
}

#define NUMBER(name_, member_, least_, most_)                                                      \
    static int name_##_show(struct text *text)                                                     \
    {                                                                                              \
        text_printf(text, "%u\n", atomic_load_relaxed(&vm_huge.member_));                          \
        return 0;                                                                                  \
    }                                                                                              \
    static int name_##_write(char *value, size_t len)                                              \
    {                                                                                              \
        return number_write(value, len, (least_), (most_), &vm_huge.member_);                      \
    }                                                                                              \
    SYS_FILE(huge_##name_) = {.path = HUGEPAGE "khugepaged/" #name_,                               \
                              .mode = 0644,                                                        \
                              .show = name_##_show,                                                \
                              .write = name_##_write}

NUMBER(pages_to_scan, pages_to_scan, 1, UINT32_MAX);
NUMBER(scan_sleep_millisecs, scan_sleep_ms, 0, UINT32_MAX);
NUMBER(max_ptes_none, max_ptes_none, 0, HUGE_PAGES - 1);
NUMBER(max_ptes_shared, max_ptes_shared, 0, HUGE_PAGES - 1);

static int pages_collapsed_show(struct text *text)
{
    text_printf(text, "%llu\n", (unsigned long long)atomic_load_relaxed(&vm_huge.pages_collapsed));
    return 0;
}

static int full_scans_show(struct text *text)
{
    text_printf(text, "%llu\n", (unsigned long long)atomic_load_relaxed(&vm_huge.full_scans));
    return 0;
}

SYS_FILE(huge_pages_collapsed) = {.path = HUGEPAGE "khugepaged/pages_collapsed",
                                  .show = pages_collapsed_show};
SYS_FILE(huge_full_scans) = {.path = HUGEPAGE "khugepaged/full_scans", .show = full_scans_show};
