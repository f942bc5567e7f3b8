/*
 * Any bytes as settings and as typed input, with reads of changing sizes between: the ring's counters stay in order, what is said to be
 * readable can be read, and output processing never writes more than its room.
 */
#include "kernel/dev/ldisc.h"

#include "kernel/base/string.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ldisc ld;

static void read_some(size_t want)
{
    uint8_t buf[64];
    size_t consume, n;
    bool end;

    if (!ldisc_readable(&ld, 1)) {
        return;
    }
    n = ldisc_peek(&ld, buf, want < sizeof(buf) ? want : sizeof(buf), want, &consume, &end);
    if (n > sizeof(buf) || n > want || consume > ldisc_used(&ld) || consume < n ||
        (consume == 0 && want > 0)) {
        __builtin_trap();
    }
    ldisc_consume(&ld, consume);
}

static void check(void)
{
    if (ldisc_used(&ld) > LDISC_SIZE || ldisc_available(&ld) > ldisc_used(&ld) ||
        ((ld.termios.c_lflag & ICANON) != 0 &&
         (ld.canon_head - ld.tail > LDISC_SIZE || ld.head - ld.canon_head > LDISC_SIZE))) {
        __builtin_trap();
    }
}

static void produce(const uint8_t *data, size_t size, size_t room)
{
    uint8_t out[64];
    size_t used, n;

    room = room < sizeof(out) ? room : sizeof(out);
    n = ldisc_output(&ld, data, size, out, room, &used);
    if (n > room || used > size || ldisc_echo_output(&ld, out, room) > room) {
        __builtin_trap();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ktermios termios;
    struct ldisc_events events = {0};

    memset(&termios, 0, sizeof(termios));
    ldisc_init(&ld, &termios);
    while (size > 0) {
        uint8_t op = data[0];
        size_t len = size - 1 < (op >> 3) ? size - 1 : op >> 3;
        data++;
        size--;
        switch (op & 7) {
        case 0:
            memcpy(&termios, data, len);
            ldisc_set_termios(&ld, &termios);
            break;
        case 1:
            read_some(op >> 3);
            continue;
        case 2:
            produce(data, len, op >> 2);
            break;
        case 3:
            ldisc_receive_error(&ld, op, (op >> 3) % 3, &events);
            continue;
        default:
            for (unsigned i = 0; i < (op & 1 ? 1u : 40u); i++) {
                (void)ldisc_receive(&ld, data, len, &events);
            }
            break;
        }
        check();
        data += len;
        size -= len;
    }
    return 0;
}
