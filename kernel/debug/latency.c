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

struct latency_worst *latency_worst_of(struct latency_worst *worst, uint64_t length,
                                       const struct latency_chain *begin)
{
    if (length <= worst->length) {
        return NULL;
    }
    worst->length = length;
    worst->begin = *begin;
    return worst;
}

struct latency_worst *latency_meter_end(struct latency_meter *meter, enum latency_kind kind)
{
    struct latency_section *section = &meter->sections[kind];
    uint64_t length = meter->entered - section->since;
    uint64_t own = meter->own - section->own;

    if (!section->open) {
        return NULL;
    }
    section->open = false;
    return latency_worst_of(&meter->worst[kind], length > own ? length - own : 0, &section->begin);
}
