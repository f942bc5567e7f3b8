/*
 * Fuzz target: a sender's control messages. Each item lies inside the buffer, none overlaps another, and the walk ends.
 */
#include "kernel/net/socket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool promise)
{
    if (!promise) {
        __builtin_trap();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct message_control control = {.in = data, .left = size};
    const uint8_t *free_from = data;
    struct control_item item;
    uint8_t sum = 0;
    int more;

    while ((more = control_next(&control, &item)) > 0) {
        require(item.data >= free_from + sizeof(struct cmsghdr));
        require(item.data <= data + size && item.len <= (size_t)(data + size - item.data));
        require(control.in >= item.data + item.len && control.in + control.left == data + size);
        for (size_t i = 0; i < item.len; i++) {
            sum = (uint8_t)(sum + item.data[i]);
        }
        free_from = item.data + item.len;
    }
    require(more == 0 || more == -EINVAL);
    __asm__ volatile("" : : "r"(sum));
    return 0;
}
