/*
 * Protection keys, as the portable kernel asks for them.
 */
#include "hal/x86_64/pkey.h"

#include <asm/mman.h>

#include "kernel/machine/cpu.h"

#define NKEYS        16u
#define BITS_PER_KEY 2u

_Static_assert(PKEY_DISABLE_ACCESS == 1 && PKEY_DISABLE_WRITE == 2, "PKRU's AD and WD");

unsigned cpu_pkeys(void)
{
    return cpu_features.pku ? NKEYS : 1;
}

void cpu_pkey_restrict(unsigned key, unsigned rights)
{
    unsigned shift = key * BITS_PER_KEY;

    pkey_set_rights((pkey_rights() & ~(3u << shift)) | rights << shift);
}

bool cpu_pkey_allows(unsigned key, bool write)
{
    uint32_t rights = cpu_features.pku ? pkru_read() >> (key * BITS_PER_KEY) : 0;

    return (rights & (write ? PKEY_DISABLE_ACCESS | PKEY_DISABLE_WRITE : PKEY_DISABLE_ACCESS)) == 0;
}
