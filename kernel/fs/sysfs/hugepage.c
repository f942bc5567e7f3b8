/*
 * /sys/kernel/mm/transparent_hugepage (Linux, Documentation/admin-guide/mm/transhuge.rst): what has an effect here, and of the rest
 * the one value that is true.
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

/* A choice of words, the one in force in brackets. */
static int choice_show(struct text *text, const char *const *words, unsigned n, unsigned now)
{
    for (unsigned i = 0; i < n; i++) {
        text_printf(text, i == now ? "%s[%s]" : "%s%s", i == 0 ? "" : " ", words[i]);
    }
    text_putc(text, '\n');
    return 0;
}

/* The index of the word that was written; -EINVAL. */
static int choice_find(char *value, size_t len, const char *const *words, unsigned n)
{
    const char *name = word(value, len);

    for (unsigned i = 0; i < n; i++) {
        if (strcmp(name, words[i]) == 0) {
            return (int)i;
        }
    }
    return -EINVAL;
}

static const char *const modes[] = {
    [HUGE_ALWAYS] = "always", [HUGE_MADVISE] = "madvise", [HUGE_NEVER] = "never"};

static int enabled_show(struct text *text)
{
    return choice_show(text, modes, ARRAY_SIZE(modes), atomic_load_relaxed(&vm_huge.mode));
}

static int enabled_write(char *value, size_t len)
{
    int mode = choice_find(value, len, modes, ARRAY_SIZE(modes));

    if (mode >= 0) {
        huge_set_mode((enum huge_mode)mode);
    }
    return MIN(mode, 0);
}

static const char *const defrags[] = {[DEFRAG_ALWAYS] = "always",
                                      [DEFRAG_DEFER] = "defer",
                                      [DEFRAG_DEFER_MADVISE] = "defer+madvise",
                                      [DEFRAG_MADVISE] = "madvise",
                                      [DEFRAG_NEVER] = "never"};

static int defrag_show(struct text *text)
{
    return choice_show(text, defrags, ARRAY_SIZE(defrags), atomic_load_relaxed(&vm_huge.defrag));
}

static int defrag_write(char *value, size_t len)
{
    int defrag = choice_find(value, len, defrags, ARRAY_SIZE(defrags));

    if (defrag >= 0) {
        atomic_store_relaxed(&vm_huge.defrag, (enum huge_defrag)defrag);
    }
    return MIN(defrag, 0);
}

/* Shared memory has small pages alone. */
static const char *const shmem_modes[] = {"always", "within_size", "advise",
                                          "never",  "deny",        "force"};
#define SHMEM_NEVER 3

static int shmem_enabled_show(struct text *text)
{
    return choice_show(text, shmem_modes, ARRAY_SIZE(shmem_modes), SHMEM_NEVER);
}

static int shmem_enabled_write(char *value, size_t len)
{
    return choice_find(value, len, shmem_modes, ARRAY_SIZE(shmem_modes)) == SHMEM_NEVER ? 0
                                                                                        : -EINVAL;
}

static int pmd_size_show(struct text *text)
{
    text_printf(text, "%llu\n", (unsigned long long)HUGE_PAGE_SIZE);
    return 0;
}

SYS_FILE(huge_enabled) = {
    .path = HUGEPAGE "enabled", .mode = 0644, .show = enabled_show, .write = enabled_write};
SYS_FILE(huge_defrag) = {
    .path = HUGEPAGE "defrag", .mode = 0644, .show = defrag_show, .write = defrag_write};
SYS_FILE(huge_shmem_enabled) = {.path = HUGEPAGE "shmem_enabled",
                                .mode = 0644,
                                .show = shmem_enabled_show,
                                .write = shmem_enabled_write};
SYS_FILE(huge_pmd_size) = {.path = HUGEPAGE "hpage_pmd_size", .show = pmd_size_show};

/* ---- numbers ---- */

static int number_write(char *value, size_t len, uint32_t least, uint32_t most, uint32_t *setting)
{
    uint64_t number;

    if (str_to_u64(word(value, len), 10, &number) < 0 || number < least || number > most) {
        return -EINVAL;
    }
    atomic_store_relaxed(setting, (uint32_t)number);
    return 0;
}

#define NUMBER(folder_, name_, member_, least_, most_)                                             \
    static int member_##_show(struct text *text)                                                   \
    {                                                                                              \
        text_printf(text, "%u\n", atomic_load_relaxed(&vm_huge.member_));                          \
        return 0;                                                                                  \
    }                                                                                              \
    static int member_##_write(char *value, size_t len)                                            \
    {                                                                                              \
        return number_write(value, len, (least_), (most_), &vm_huge.member_);                      \
    }                                                                                              \
    SYS_FILE(huge_##member_) = {.path = HUGEPAGE folder_ #name_,                                   \
                                .mode = 0644,                                                      \
                                .show = member_##_show,                                            \
                                .write = member_##_write}

NUMBER("", use_zero_page, use_zero_page, 0, 1);
NUMBER("khugepaged/", defrag, khugepaged_defrag, 0, 1);
NUMBER("khugepaged/", alloc_sleep_millisecs, alloc_sleep_ms, 0, UINT32_MAX);
NUMBER("khugepaged/", pages_to_scan, pages_to_scan, 1, UINT32_MAX);
NUMBER("khugepaged/", scan_sleep_millisecs, scan_sleep_ms, 0, UINT32_MAX);
NUMBER("khugepaged/", max_ptes_none, max_ptes_none, 0, HUGE_PAGES - 1);
NUMBER("khugepaged/", max_ptes_shared, max_ptes_shared, 0, HUGE_PAGES - 1);

/* What is in swap is left there. */
static int max_ptes_swap_show(struct text *text)
{
    text_puts(text, "0\n");
    return 0;
}

static int max_ptes_swap_write(char *value, size_t len)
{
    uint32_t none;

    return number_write(value, len, 0, 0, &none);
}

SYS_FILE(huge_max_ptes_swap) = {.path = HUGEPAGE "khugepaged/max_ptes_swap",
                                .mode = 0644,
                                .show = max_ptes_swap_show,
                                .write = max_ptes_swap_write};

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
