/*
 * /sys/kernel/debug/kmemleak, as Linux has it (Documentation/dev-tools/kmemleak.rst): reading lists the objects found lost, writing "scan" looks for
 * some, "clear" forgets those found so far. There is no scan of its own accord.
 */
#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/core/time.h"
#include "kernel/debug/leak.h"
#include "kernel/fs/debugfs/debugfs.h"
#include "kernel/mm/stackdepot.h"

#define MIN_AGE     NS_PER_S
#define BATCH       8u
#define LISTED_MAX  512u
#define NS_PER_TICK (NS_PER_S / 100) /* of USER_HZ */

static void show_bytes(struct text *text, const struct leak *leak)
{
    size_t n = MIN(leak->size, sizeof(leak->head));

    text_printf(text, "  hex dump (first %zu bytes):\n", n);
    for (size_t i = 0; i < n; i += 16) {
        text_puts(text, "   ");
        for (size_t j = i; j < MIN(i + 16, n); j++) {
            text_printf(text, " %02x", leak->head[j]);
        }
        text_puts(text, "  ");
        for (size_t j = i; j < MIN(i + 16, n); j++) {
            bool printable = leak->head[j] >= ' ' && leak->head[j] < 0x7f;
            text_putc(text, printable ? (char)leak->head[j] : '.');
        }
        text_putc(text, '\n');
    }
}

static void show_leak(struct text *text, const struct leak *leak)
{
    const uintptr_t *addrs;
    size_t n = stackdepot_get(leak->stack, &addrs);
    ktime_t age = ktime_now() - leak->time;

    text_printf(text, "unreferenced object 0x%016lx (size %zu):\n", leak->start, leak->size);
    text_printf(text, "  comm \"%s\", pid %d, jiffies %lld (age %lld.%03llds)\n", leak->comm,
                leak->pid, (long long)(leak->time / NS_PER_TICK), (long long)(age / NS_PER_S),
                (long long)(age % NS_PER_S / NS_PER_MS));
    show_bytes(text, leak);
    text_puts(text, "  backtrace:\n");
    for (size_t i = 0; i < n; i++) {
        text_printf(text, "    [<%016lx>] %pS\n", addrs[i], (void *)(addrs[i] - 1));
    }
}

static int kmemleak_show(struct text *text)
{
    struct leak leaks[BATCH];
    size_t n;

    for (size_t skip = 0; skip < LISTED_MAX; skip += n) {
        n = leak_list(skip, leaks, BATCH);
        for (size_t i = 0; i < n; i++) {
            show_leak(text, &leaks[i]);
        }
        if (n < BATCH) {
            break;
        }
    }
    return 0;
}

static int kmemleak_write(char *value, size_t len_bytes)
{
    (void)len_bytes;
    if (strcmp(value, "scan") == 0) {
        (void)leak_scan(MIN_AGE);
        return 0;
    }
    if (strcmp(value, "clear") == 0) {
        leak_clear();
        return 0;
    }
    return -EINVAL;
}

DEBUG_FILE(kmemleak) = {
    .path = "kmemleak", .mode = 0644, .show = kmemleak_show, .write = kmemleak_write};
