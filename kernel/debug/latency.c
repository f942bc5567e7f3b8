/*
 * The arithmetic of latency.h: sections, and what watching them costs.
 *
 * A call enters at `entered` and leaves at some later time; the difference is own time. A section is open from the leaving of the call that
 * began it until the entering of the call that ended it, less the own time in between.
 */
#include "kernel/debug/latency.h"

bool latency_meter_enter(struct latency_meter *meter, uint64_t now)
{
    if (meter->busy) {
        return false;
    }
    meter->busy = true;
    meter->entered = now;
    return true;
}

void latency_meter_leave(struct latency_meter *meter, uint64_t now)
{
    meter->own += now - meter->entered;
    meter->busy = false;
}

/* Both numbers are as of the entering: the time up to the leaving is own time like any other. */
struct latency_chain *latency_meter_begin(struct latency_meter *meter, enum latency_kind kind)
{
    struct latency_section *section = &meter->sections[kind];

    section->open = true;
    section->since = meter->entered;
    section->own = meter->own;
    return &section->begin;
}

uint64_t latency_meter_end(struct latency_meter *meter, enum latency_kind kind)
{
    struct latency_section *section = &meter->sections[kind];
    uint64_t length = meter->entered - section->since;
    uint64_t own = meter->own - section->own;

    if (!section->open) {
        return 0;
    }
    section->open = false;
    return length > own ? length - own : 0;
}

/* An empty chain is of no place. */
static bool same_place(const struct latency_chain *a, const struct latency_chain *b)
{
    return a->n > 0 && b->n > 0 && a->addrs[0] == b->addrs[0];
}

struct latency_worst *latency_keep(struct latency_worst *kept, uint64_t length,
                                   const struct latency_chain *begin,
                                   const struct latency_chain *end)
{
    unsigned at = 0;

    while (at < LATENCY_KEPT - 1 &&
           !(same_place(&kept[at].begin, begin) && same_place(&kept[at].end, end))) {
        at++;
    }
    if (length <= kept[at].length) {
        return NULL;
    }
    for (; at > 0 && kept[at - 1].length < length; at--) {
        kept[at] = kept[at - 1];
    }
    kept[at] = (struct latency_worst){.length = length, .begin = *begin, .end = *end};
    return &kept[at];
}
