/*
 * What bringing in memory has cost so far. For the log and for tests.
 */
#pragma once

#include "kernel/base/types.h"

struct section_figures {
    uint64_t frames;   /* struct pages made */
    uint64_t sections; /* of 128 MiB, that came in after boot */
    uint64_t pieces;   /* ranges of the memory map looked at */
};
void section_figures(struct section_figures *ret_figures);
