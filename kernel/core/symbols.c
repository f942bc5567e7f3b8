/*
 * What the kernel knows about its own image: function names, build id, version.
 *
 * The image is linked twice: the first time without names (the empty table below), then with the table that mksyms.py makes of
 * the first link. The table lies behind everything it describes, so the second link moves nothing.
 */
#include "kernel/core/symbols.h"

#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/core/ksyms.h"

#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)

#ifndef LINNET_VERSION
#define LINNET_VERSION "unknown"
#endif

/* The ELF note of the build id: 12 bytes of header, "GNU\0", 20 bytes of SHA-1. */
#define BUILD_ID_OFFSET 16
#define BUILD_ID_BYTES  20

#ifdef HOST_BUILD
/* The tests' program has neither: addresses stay numbers. */
static const char __image_start[1], __text_start[1], __text_end[1];
static const char __text_sched_start[1], __text_sched_end[1];
static const uint8_t __build_id_start[BUILD_ID_OFFSET + BUILD_ID_BYTES];
#else
extern const char __image_start[], __text_start[], __text_end[]; /* kernel.lds */
extern const char __text_sched_start[], __text_sched_end[];
extern const uint8_t __build_id_start[];
#endif

extern const struct ksyms_header ksyms_data;
__weak __section(".ksyms") const struct ksyms_header ksyms_data = {0};

static char build_id_text[2 * BUILD_ID_BYTES + 1];

bool kernel_text_contains(uintptr_t addr)
{
    return addr >= (uintptr_t)__text_start && addr < (uintptr_t)__text_end;
}

bool kernel_text_is_sched(uintptr_t addr)
{
    return addr >= (uintptr_t)__text_sched_start && addr < (uintptr_t)__text_sched_end;
}

const char *symbol_find(uintptr_t addr, char *buf, size_t size, size_t *ret_offset,
                        size_t *ret_size)
{
    struct ksyms_table table;
    uint32_t start, length;

    if (!kernel_text_contains(addr)) {
        return NULL;
    }
    ksyms_open(&table, &ksyms_data);
    if (!ksyms_lookup(&table, (uint32_t)(addr - (uintptr_t)__image_start), buf, size, &start,
                      &length)) {
        return NULL;
    }
    *ret_offset = addr - (uintptr_t)__image_start - start;
    *ret_size = length;
    return buf;
}

static int format_symbol(char *buf, size_t size, uintptr_t addr)
{
    char name[96];
    size_t offset, length;

    if (symbol_find(addr, name, sizeof(name), &offset, &length) == NULL) {
        return ksnprintf(buf, size, "0x%lx", addr);
    }
    return ksnprintf(buf, size, "%s+0x%zx/0x%zx", name, offset, length);
}

void symbols_init(void)
{
    for (unsigned i = 0; i < BUILD_ID_BYTES; i++) {
        (void)ksnprintf(build_id_text + 2 * i, 3, "%02x", __build_id_start[BUILD_ID_OFFSET + i]);
    }
    printf_symbol_hook = format_symbol;
}

const char *build_id(void)
{
    return build_id_text;
}

const char *kernel_banner(void)
{
    return "Linnet " LINNET_VERSION " (clang " TEXT(__clang_major__) "." TEXT(
        __clang_minor__) "." TEXT(__clang_patchlevel__) ") x86_64"
#ifdef CONFIG_DEBUG
                                                        " debug"
#endif
        ;
}
