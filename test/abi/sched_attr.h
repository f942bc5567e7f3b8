/* What sched_setattr(2) takes, which no library declares, and the system's header only beside a struct sched_param of its own. */
#pragma once

#include <stdint.h>

struct attr {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t util_min, util_max;
};
