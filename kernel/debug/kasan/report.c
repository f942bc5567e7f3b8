/*
 * What is said of a bad access: its kind by the shadow, the object it belongs to, the shadow around.
 */
#include "kernel/base/atomic.h"
#include "kernel/base/printf.h"
#include "kernel/core/defect.h"
#include "kernel/core/panic.h"
#include "kernel/debug/kasan/kasan.h"
#include "kernel/machine/shadow.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/poison.h"
#include "kernel/mm/slab_debug.h"
#include "kernel/sched/thread.h"

#define SHADOW_ROW 16u

static const char *kind_of(int8_t shadow)
{
    switch ((uint8_t)shadow) {
    case 0xf1:
    case 0xf2:
    case 0xf3:
    case 0xca:
    case 0xcb:
        return "stack-out-of-bounds";
    case 0xf5:
        return "stack-use-after-return";
    case 0xf8:
        return "stack-use-after-scope";
    case POISON_GLOBAL:
        return "global-out-of-bounds";
    case POISON_REDZONE:
        return "heap-out-of-bounds";
    case POISON_FREED:
        return "use-after-free";
    case POISON_FRAME:
        return "use-after-free of a page";
    default:
        return "out-of-bounds";
    }
}

/* The byte that decides: a granule that is open in part belongs to what follows it. */
static int8_t shadow_at(uintptr_t bad)
{
    int8_t shadow = *shadow_of(bad);

    return shadow > 0 && bad < UINTPTR_MAX - 8 ? *(shadow_of(bad) + 1) : shadow;
}

static void tell_owner(uintptr_t bad)
{
    const struct kasan_global *global = kasan_global_find(bad);
    uintptr_t stack = (uintptr_t)current_thread()->stack;

    if (global != NULL) {
        log_write(DEFECT_LEVEL, "kasan: %#lx is %zu bytes into the variable '%s' of %zu bytes (%s)",
                  bad, bad - global->start, global->name, global->size, global->module);
    } else if (bad - stack < KSTACK_SIZE) {
        log_write(DEFECT_LEVEL, "kasan: %#lx is %llu bytes below the top of this thread's stack",
                  bad, stack + KSTACK_SIZE - bad);
    } else {
        slab_object_describe(bad);
    }
}

/* Rows of shadow around `bad`, its byte in brackets. */
static void tell_shadow(uintptr_t bad)
{
    const int8_t *here = shadow_of(bad);
    const int8_t *row = (const int8_t *)ALIGN_DOWN((uintptr_t)here, SHADOW_ROW) - 2 * SHADOW_ROW;

    for (unsigned i = 0; i < 5; i++, row += SHADOW_ROW) {
        char text[SHADOW_ROW * 4 + 1];
        int len = 0;
        if ((uintptr_t)row < BOOT_SHADOW) {
            continue;
        }
        for (unsigned j = 0; j < SHADOW_ROW; j++) {
            len += kscnprintf(text + len, sizeof(text) - (size_t)len,
                              row + j == here ? "[%02x]" : " %02x ", (uint8_t)row[j]);
        }
        log_write(DEFECT_LEVEL, "kasan: shadow of %#llx: %s",
                  SHADOW_START + (((uintptr_t)row - BOOT_SHADOW) << SHADOW_SHIFT), text);
    }
}

/* Whether this place has been told: each is once. [a], a race tells it twice */
static bool was_told(uintptr_t caller)
{
    static uintptr_t told[64];
    static uint32_t n;

    for (unsigned i = 0; i < ARRAY_SIZE(told); i++) {
        if (READ_ONCE(told[i]) == caller) {
            return true;
        }
    }
    WRITE_ONCE(told[atomic_fetch_add_relaxed(&n, 1) % ARRAY_SIZE(told)], caller);
    return false;
}

void kasan_report(uintptr_t addr, uintptr_t bad, size_t size, bool write, uintptr_t caller)
{
    if (was_told(caller)) {
        defect_count_only(DEFECT_ADDRESS);
        return;
    }
    if (!defect_begin(DEFECT_ADDRESS)) {
        return;
    }
    log_write(DEFECT_LEVEL, "kasan: %s: %s of %zu bytes at %#lx by %pS", kind_of(shadow_at(bad)),
              write ? "write" : "read", size, addr, (void *)(caller - 1));
    tell_owner(bad);
    tell_shadow(bad);
    defect_end();
}
