/*
 * Fuzz target: the header of swap space. The first eight bytes give the size of the device, the rest is laid over a valid header.
 */
#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/vm/swap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool promise)
{
    if (!promise) {
        __builtin_trap();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint32_t page[PAGE_SIZE / 4];
    uint64_t device_bytes = 0;
    struct swap_header header;

    if (size < sizeof(device_bytes) || size - sizeof(device_bytes) > PAGE_SIZE - 1024) {
        return 0;
    }
    memcpy(&device_bytes, data, sizeof(device_bytes));
    data += sizeof(device_bytes);
    size -= sizeof(device_bytes);
    memset(page, 0, sizeof(page));
    memcpy((uint8_t *)page + PAGE_SIZE - 10, "SWAPSPACE2", 10);
    page[256] = 1;
    memcpy(page + 256, data, size);
    int err = swap_header_parse(page, device_bytes, &header);
    require(err == 0 || err == -EINVAL);
    if (err == 0) {
        require(header.nslots > 1 && header.nslots <= SWAP_SLOTS_MAX);
        require(header.nslots <= device_bytes / PAGE_SIZE);
        require(strnlen(header.label, sizeof(header.label)) < sizeof(header.label));
        for (uint32_t i = 0; i < header.nbad; i++) {
            require(swap_header_bad(&header, i) > 0);
        }
    }
    return 0;
}
