/*
 * Packets: allocation, filling, taking apart.
 */
#include "kernel/net/packet.h"

#include "kernel/mm/frame.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/net/socket.h"
#include "kernel/vm/oom.h"

struct packet *packet_alloc(uint32_t linear, uint32_t nfragments)
{
    size_t header = sizeof(struct packet) + nfragments * sizeof(struct packet_fragment);
    struct packet *packet = kmalloc(header + linear);

    if (unlikely(packet == NULL)) {
        return NULL;
    }
    packet->data = (uint8_t *)packet + header;
    packet->linear = 0;
    packet->len = 0;
    packet->room = (uint16_t)linear;
    packet->peeked = false;
    packet->nfragments = 0;
    packet->fragment = 0;
    refcount_init(&packet->refs, 1);
    packet->charge = 0;
    packet->sender = NULL;
    packet->time = 0;
    packet->destroy = NULL;
    return packet;
}

static struct page *packet_page_get(void)
{
    struct page *page;

    do {
        page = frame_alloc(0, FRAME_RECLAIM, PAGE_KERNEL);
    } while (unlikely(page == NULL) && vm_out_of_memory());
    return page;
}

static int packet_fill_linear(struct packet *packet, struct iov_iter *from, uint32_t len)
{
    size_t got = iov_copy_from(from, packet_append(packet, len), len);

    if (unlikely(got < len)) {
        iov_revert(from, got);
        return -EFAULT;
    }
    return 0;
}

static int packet_fill_pages(struct packet *packet, struct iov_iter *from, uint32_t len)
{
    while (packet->len < len) {
        uint32_t want = MIN(len - packet->len, (uint32_t)PAGE_SIZE);
        struct page *page = packet_page_get();
        if (unlikely(page == NULL)) {
            iov_revert(from, packet->len);
            return -ENOMEM;
        }
        packet->fragments[packet->nfragments++] = (struct packet_fragment){page, 0, want};
        size_t got = iov_copy_from(from, page_to_virt(page), want);
        if (unlikely(got < want)) {
            iov_revert(from, packet->len + got);
            return -EFAULT;
        }
        packet->len += want;
    }
    return 0;
}

int packet_from_iov(struct iov_iter *from, uint32_t len, struct packet **ret_packet)
{
    bool small = likely(len <= PACKET_LINEAR_MAX);
    struct packet *packet = small ? packet_alloc(len, 0)
                                  : packet_alloc(0, (uint32_t)((len + PAGE_SIZE - 1) / PAGE_SIZE));

    if (unlikely(packet == NULL)) {
        return -ENOMEM;
    }
    int err = small ? packet_fill_linear(packet, from, len) : packet_fill_pages(packet, from, len);
    if (unlikely(err < 0)) {
        packet_put(packet);
        return err;
    }
    *ret_packet = packet;
    return 0;
}

void packet_put(struct packet *packet)
{
    if (packet == NULL || !refcount_put(&packet->refs)) {
        return;
    }
    if (unlikely(packet->destroy != NULL)) {
        packet->destroy(packet);
    }
    for (unsigned i = 0; i < packet->nfragments; i++) {
        page_put(packet->fragments[i].page);
    }
    if (likely(packet->sender != NULL)) {
        socket_uncharge(packet->sender, packet->charge);
    }
    kfree(packet);
}

void packet_pull(struct packet *packet, uint32_t len)
{
    uint32_t here = MIN(len, packet->linear);

    packet->data += here;
    packet->linear -= here;
    packet->len -= len;
    len -= here;
    while (len > 0) {
        struct packet_fragment *fragment = &packet->fragments[packet->fragment];
        here = MIN(len, fragment->len);
        fragment->offset += here;
        fragment->len -= here;
        len -= here;
        if (fragment->len == 0) {
            packet->fragment++;
        }
    }
}

size_t packet_copy_to(const struct packet *packet, uint32_t offset, struct iov_iter *to, size_t len)
{
    size_t done = 0;

    len = MIN(len, (size_t)(packet->len - offset));
    if (likely(offset < packet->linear)) {
        size_t here = MIN(len, (size_t)(packet->linear - offset));
        done = iov_copy_to(to, packet->data + offset, here);
        if (done == len || done < here) {
            return done;
        }
        offset = 0;
    } else {
        offset -= packet->linear;
    }
    for (unsigned i = packet->fragment; done < len; i++) {
        const struct packet_fragment *fragment = &packet->fragments[i];
        if (offset >= fragment->len) {
            offset -= fragment->len;
            continue;
        }
        size_t here = MIN(len - done, (size_t)(fragment->len - offset));
        const uint8_t *bytes = page_to_virt(fragment->page);
        size_t got = iov_copy_to(to, bytes + fragment->offset + offset, here);
        done += got;
        if (got < here) {
            break;
        }
        offset = 0;
    }
    return done;
}
