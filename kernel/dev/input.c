/*
 * Input events: a hub between drivers (keyboards, mice) and listeners. Both lists grow and never shrink, so events walk them with the lock
 * held only to read the heads in a settled state; a listener's event function runs under it, in whatever context the driver calls from.
 */
#include "kernel/dev/input.h"

#include "kernel/sync/spinlock.h"

static struct spinlock input_lock = SPINLOCK_INIT("input");
static struct list_node devices = LIST_INIT(devices);
static struct list_node listeners = LIST_INIT(listeners);

void (*input_set_leds)(unsigned led_mask);

void input_device_register(struct input_device *device)
{
    uint64_t flags = spin_lock_irqsave(&input_lock);

    list_push_back(&devices, &device->node);
    spin_unlock_irqrestore(&input_lock, flags);
}

void input_listener_register(struct input_listener *listener)
{
    uint64_t flags = spin_lock_irqsave(&input_lock);

    list_push_back(&listeners, &listener->node);
    spin_unlock_irqrestore(&input_lock, flags);
}

void input_event(struct input_device *device, unsigned type, unsigned code, int value)
{
    struct input_listener *listener;
    uint64_t flags = spin_lock_irqsave(&input_lock);

    list_for_each (listener, &listeners, node) {
        listener->event(listener, device, type, code, value);
    }
    spin_unlock_irqrestore(&input_lock, flags);
}
