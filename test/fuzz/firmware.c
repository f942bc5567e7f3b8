/*
 * Any bytes as what firmware and displays hand the loader: EDID, device paths, the memory map,
 * masks, and the command line. The first byte chooses.
 */
#include "kernel/base/string.h"
#include "loader/core/bootparam.h"
#include "loader/core/devpath.h"
#include "loader/core/edid.h"
#include "loader/core/gopmode.h"
#include "loader/core/memmap.h"

#define MAX_CLAIMS 128

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_map(const struct boot_mem *entries, size_t count)
{
    uint64_t end = 0;

    for (size_t i = 0; i < count; i++) {
        if (entries[i].length_bytes == 0 || entries[i].base % 4096 != 0 ||
            entries[i].length_bytes % 4096 != 0 || entries[i].base < end || entries[i].type == 0 ||
            entries[i].type >= BOOT_MEM_NTYPES ||
            (i > 0 && entries[i].base == end && entries[i].type == entries[i - 1].type)) {
            __builtin_trap();
        }
        end = entries[i].base + entries[i].length_bytes;
    }
}

static void feed_memory_map(const uint8_t *data, size_t size)
{
    static struct memmap_event events[MEMMAP_EVENTS(MAX_CLAIMS)];
    static struct boot_mem entries[MEMMAP_EVENTS(MAX_CLAIMS)];
    size_t descriptor_size = size == 0 ? 40 : data[0];
    struct memmap map;
    size_t count;

    memmap_init(&map, events, ARRAY_SIZE(events));
    if (size > 0 && descriptor_size != 0) {
        data++;
        size = (size - 1) / descriptor_size * descriptor_size;
        (void)memmap_add_efi(&map, data, size, descriptor_size);
    }
    if (memmap_resolve(&map, entries, ARRAY_SIZE(entries), &count) == 0) {
        check_map(entries, count);
    }
}

static void feed_text(const uint8_t *data, size_t size)
{
    static char line[512];
    char value[16];
    uint32_t width, height;

    size = MIN(size, sizeof(line) - 1);
    memcpy(line, data, size);
    line[size] = '\0';
    if (bootparam_find(line, "video", value, sizeof(value)) &&
        gopmode_parse(value, &width, &height) && (width == 0 || height == 0)) {
        __builtin_trap();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t width, height, mask = 0;
    uint8_t shift, bits;

    if (size == 0) {
        return 0;
    }
    data++;
    size--;
    switch (data[-1] % 5) {
    case 0:
        if (edid_preferred_mode(data, size, &width, &height) && (width == 0 || height == 0)) {
            __builtin_trap();
        }
        break;
    case 1:
        (void)devpath_has_uart(data, size);
        break;
    case 2:
        feed_memory_map(data, size);
        break;
    case 3:
        memcpy(&mask, data, MIN(size, sizeof(mask)));
        if (gopmode_channel(mask, &shift, &bits) && ((1ull << bits) - 1) << shift != mask) {
            __builtin_trap();
        }
        break;
    default:
        feed_text(data, size);
        break;
    }
    return 0;
}
