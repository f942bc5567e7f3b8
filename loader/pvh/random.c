/*
 * Random numbers before the kernel: for the slide and the kernel's seed (Intel SDM volume 1, 7.3.17).
 */
#include "kernel/base/string.h"
#include "loader/pvh/pvh.h"

#define CPUID1_ECX_RDRAND (1u << 30)
#define CPUID7_EBX_RDSEED (1u << 18)
#define TRIES             32

static bool rdseed(uint64_t *ret_value)
{
    bool ok;

    __asm__ volatile("rdseed %0" : "=r"(*ret_value), "=@ccc"(ok));
    return ok;
}

static bool rdrand(uint64_t *ret_value)
{
    bool ok;

    __asm__ volatile("rdrand %0" : "=r"(*ret_value), "=@ccc"(ok));
    return ok;
}

static bool hardware_word(bool have_seed, bool have_rand, uint64_t *ret_value)
{
    for (int i = 0; have_seed && i < TRIES; i++) {
        if (rdseed(ret_value)) {
            return true;
        }
    }
    for (int i = 0; have_rand && i < TRIES; i++) {
        if (rdrand(ret_value)) {
            return true;
        }
    }
    return false;
}

/* Better than a constant, and no more: the counter's jitter, spread by a multiplicative mix (Steele, Lea, Flood 2014). */
static uint64_t clock_word(uint64_t former)
{
    uint64_t x = former + pvh_tsc() + 0x9e3779b97f4a7c15ull;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

bool pvh_random_fill(void *buf, size_t len_bytes)
{
    bool have_rand = (pvh_cpuid(1).ecx & CPUID1_ECX_RDRAND) != 0;
    bool have_seed = pvh_cpuid(0).eax >= 7 && (pvh_cpuid(7).ebx & CPUID7_EBX_RDSEED) != 0;
    bool good = true;
    uint64_t word = 0;

    for (size_t done = 0; done < len_bytes; done += sizeof(word)) {
        uint64_t former = word;
        if (!hardware_word(have_seed, have_rand, &word)) {
            word = clock_word(former);
            good = false;
        }
        memcpy((uint8_t *)buf + done, &word, MIN(sizeof(word), len_bytes - done));
    }
    return good;
}
