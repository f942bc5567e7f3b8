/*
 * EFI_RNG_PROTOCOL (UEFI 2.10, 37.5), else RDRAND (Intel SDM 7.3.17), else the jitter of the time
 * stamp counter against the firmware's clock, which is better than nothing and is not called good.
 */
#include "loader/efi/seed.h"

#include "kernel/base/string.h"
#include "loader/efi/cpu.h"
#include "loader/efi/firmware.h"

#define RDRAND_ATTEMPTS 10 /* SDM 7.3.17.1 */

static bool seed_from_firmware(void *dst, size_t size_bytes)
{
    static const EFI_GUID guid = EFI_RNG_PROTOCOL_GUID;
    EFI_RNG_PROTOCOL *rng = firmware_locate(&guid);

    return rng != NULL && !EFI_ERROR(rng->GetRNG(rng, NULL, size_bytes, dst));
}

static bool rdrand(uint64_t *ret_value)
{
    bool ok = false;

    for (unsigned i = 0; !ok && i < RDRAND_ATTEMPTS; i++) {
        __asm__ volatile("rdrand %0" : "=r"(*ret_value), "=@ccc"(ok));
    }
    return ok;
}

static bool seed_from_cpu(void *dst, size_t size_bytes)
{
    uint64_t value, last = 0;

    if (!cpu_has_rdrand()) {
        return false;
    }
    for (size_t at = 0; at < size_bytes; at += sizeof(value)) {
        /* A broken unit gives the same number for ever (all ones on some CPUs after sleep). */
        if (!rdrand(&value) || value == last || value == UINT64_MAX) {
            return false;
        }
        memcpy((char *)dst + at, &value, MIN(sizeof(value), size_bytes - at));
        last = value;
    }
    return true;
}

/* The finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): spreads every bit over all. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

static void seed_from_clock(void *dst, size_t size_bytes)
{
    uint64_t state = mix(firmware_unix_time() ^ (uint64_t)(uintptr_t)firmware_table);

    for (size_t at = 0; at < size_bytes; at += sizeof(state)) {
        for (unsigned i = 0; i < 8; i++) {
            (void)firmware_boot->Stall(1);
            state = mix(state + cpu_tsc());
        }
        memcpy((char *)dst + at, &state, MIN(sizeof(state), size_bytes - at));
    }
}

enum seed_source seed_fill(void *dst, size_t size_bytes)
{
    if (seed_from_firmware(dst, size_bytes)) {
        return SEED_FIRMWARE;
    }
    if (seed_from_cpu(dst, size_bytes)) {
        return SEED_CPU;
    }
    seed_from_clock(dst, size_bytes);
    return SEED_CLOCK;
}

const char *seed_source_text(enum seed_source source)
{
    static const char *const names[] = {"the firmware", "RDRAND", "the clock"};

    return names[source];
}
