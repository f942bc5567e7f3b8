/*
 * The header of swap space, as mkswap(8) writes it into the first page of an area (mkswap(8); mkswap.c and swapheader.h of util-linux
 * describe the layout). Numbers are in the byte order of the machine that wrote them.
 *
 *     0      boot loaders' own
 *     1024   version (1), last_page, nr_badpages: 32 bits each
 *     1036   UUID, 16 bytes;  1052  label, 16 bytes, padded with 0;  1068  117 unused words
 *     1536   nr_badpages numbers of pages that must not be used, 32 bits each
 *     4086   "SWAPSPACE2"
 */
#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/vm/swap.h"

#define SIGNATURE     "SWAPSPACE2"
#define SIGNATURE_LEN 10u

struct swap_header_v1 {
    uint8_t boot[1024];
    uint32_t version, last_page, nbad;
    uint8_t uuid[16];
    char label[16];
    uint32_t unused[117];
    uint32_t bad[(PAGE_SIZE - SIGNATURE_LEN - 1536) / sizeof(uint32_t)];
    char rest[2];
    char signature[SIGNATURE_LEN];
} __packed;

_Static_assert(offsetof(struct swap_header_v1, bad) == 1536, "as mkswap writes it");
_Static_assert(offsetof(struct swap_header_v1, signature) == PAGE_SIZE - SIGNATURE_LEN,
               "as mkswap writes it");

static uint32_t number(const struct swap_header *header, uint32_t value)
{
    return header->swapped ? __builtin_bswap32(value) : value;
}

uint64_t swap_header_bad(const struct swap_header *header, uint32_t index)
{
    return number(header, header->bad[index]);
}

int swap_header_parse(const void *page, uint64_t device_bytes, struct swap_header *ret_header)
{
    const struct swap_header_v1 *raw = page;
    struct swap_header header = {.swapped = raw->version == __builtin_bswap32(1)};

    if (memcmp(raw->signature, SIGNATURE, SIGNATURE_LEN) != 0 ||
        number(&header, raw->version) != 1) {
        return -EINVAL;
    }
    uint64_t last = number(&header, raw->last_page);
    header.nbad = number(&header, raw->nbad);
    if (last == 0 || header.nbad > ARRAY_SIZE(raw->bad)) {
        return -EINVAL;
    }
    header.bad = (const uint32_t *)((const uint8_t *)page + offsetof(struct swap_header_v1, bad));
    for (uint32_t i = 0; i < header.nbad; i++) {
        uint64_t bad = swap_header_bad(&header, i);
        if (bad == 0 || bad > last) {
            return -EINVAL;
        }
    }
    header.nslots = MIN(last + 1, SWAP_SLOTS_MAX);
    if (header.nslots > device_bytes >> PAGE_SHIFT) {
        return -EINVAL;
    }
    memcpy(header.uuid, raw->uuid, sizeof(header.uuid));
    memcpy(header.label, raw->label, sizeof(raw->label));
    *ret_header = header;
    return 0;
}
