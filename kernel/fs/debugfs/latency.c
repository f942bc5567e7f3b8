/*
 * /sys/kernel/debug/latency/: the latency tracer (kernel/debug/latency.h), in builds with -Dlatency=true.
 *
 *   enabled                        1 or 0
 *   irqsoff, preemptoff, wakeup    each CPU's worst cases, the longest first: a line "cpu LENGTH UNIT COMM" and the call chains of its begin
 *                                  and end, innermost first. Writing anything forgets them.
 */
#include "kernel/debug/latency.h"
#include "kernel/base/errno.h"
#include "kernel/fs/debugfs/debugfs.h"
#include "kernel/machine/smp.h"
#include "kernel/mm/kmalloc.h"

static void show_chain(struct text *text, const char *word, const struct latency_chain *chain)
{
    for (size_t i = 0; i < chain->n; i++) {
        text_printf(text, "  %s %pS\n", i == 0 ? word : "     ", (void *)(chain->addrs[i] - 1));
    }
}

static void show_worst(struct text *text, unsigned id, const struct latency_worst *worst)
{
    text_printf(text, "%u %llu %s %s\n", id, (unsigned long long)latency_scale(worst->length),
                latency_in_instructions() ? "instructions" : "ns", worst->comm);
    show_chain(text, "begin", &worst->begin);
    show_chain(text, "end  ", &worst->end);
}

static int show(struct text *text, unsigned kind)
{
    struct latency_worst *worst = kcalloc(LATENCY_KEPT, sizeof(worst[0]));
    unsigned id;

    if (worst == NULL) {
        return -ENOMEM;
    }
    for_each_online_cpu (id) {
        latency_read(id, kind, worst);
        for (unsigned i = 0; i < LATENCY_KEPT && worst[i].length > 0; i++) {
            show_worst(text, id, &worst[i]);
        }
    }
    kfree(worst);
    return 0;
}

static int reset(unsigned kind, char *value, size_t len_bytes)
{
    (void)value, (void)len_bytes;
    latency_reset(kind);
    return 0;
}

static int enabled_show(struct text *text)
{
    text_puts(text, latency_is_enabled() ? "1\n" : "0\n");
    return 0;
}

static int enabled_write(char *value, size_t len_bytes)
{
    if (len_bytes != 1 || (*value != '0' && *value != '1')) {
        return -EINVAL;
    }
    latency_enable(*value == '1');
    return 0;
}

#define TRACER(name_, kind_)                                                                       \
    DEBUG_FILE(latency_##name_) = {.path = "latency/" #name_,                                      \
                                   .mode = 0644,                                                   \
                                   .show_for = show,                                               \
                                   .write_for = reset,                                             \
                                   .arg = (kind_)}

DEBUG_FILE(latency_enabled) = {
    .path = "latency/enabled", .mode = 0644, .show = enabled_show, .write = enabled_write};
TRACER(irqsoff, LATENCY_IRQSOFF);
TRACER(preemptoff, LATENCY_PREEMPTOFF);
TRACER(wakeup, LATENCY_WAKEUP);
