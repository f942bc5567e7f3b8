/*
 * Sets of CPUs and nodes in text (cpuset(7), "FORMATS").
 */
#include "kernel/base/bitmap.h"
#include "kernel/fs/textfs/text.h"

void text_bit_list(struct text *text, const uint64_t *bits, unsigned n)
{
    bool first = true;

    for (unsigned bit = 0; bit < n; bit++) {
        unsigned last = bit;
        if (!bitmap_test(bits, bit)) {
            continue;
        }
        while (last + 1 < n && bitmap_test(bits, last + 1)) {
            last++;
        }
        text_printf(text, last > bit ? "%s%u-%u" : "%s%u", first ? "" : ",", bit, last);
        first = false;
        bit = last;
    }
}

void text_bit_mask(struct text *text, const uint64_t *bits, unsigned n)
{
    for (int group = (int)(n - 1) / 32; group >= 0; group--) {
        uint32_t word = (uint32_t)(bits[group / 2] >> (group % 2 * 32));
        unsigned nbits = n - (unsigned)group * 32;
        word &= nbits >= 32 ? ~0u : (1u << nbits) - 1;
        text_printf(text, nbits >= 32 ? "%08x%s" : "%x%s", word, group > 0 ? "," : "");
    }
}
