/*
 * The PS/2 controller and the keyboard on it (IBM PS/2 Hardware Technical Reference, "Keyboard and Auxiliary Device
 * Controller"). The auxiliary port (mouse) stays disabled.
 *
 * Ports: 0x60 data, 0x64 status (read) and command (write). Status: 0 output full, 1 input full, 5 from the auxiliary port,
 * 6 time-out, 7 parity. Every wait is bounded: the controller or the keyboard may not be there, or be a poor imitation.
 *
 * The keyboard is asked for scan code set 2 with the controller's translation off; when the controller translates all the same,
 * set 1 is decoded. Commands after boot (the LEDs) go one byte at a time: the interrupt handler sends the next one when the
 * keyboard has acknowledged the last.
 *
 * Locks: kbd.lock (spin, irqsave) guards the ports and everything in kbd after boot. Events are passed on without it.
 */
#include "hal/acpi/acpi.h"
#include "hal/input/scancode.h"
#include "kernel/base/errno.h"
#include "kernel/core/log.h"
#include "kernel/dev/driver.h"
#include "kernel/dev/input.h"
#include "kernel/irq/irq.h"
#include "kernel/machine/clock.h"
#include "kernel/machine/io.h"
#include "kernel/mm/resource.h"
#include "kernel/sync/spinlock.h"

#define PORT_DATA    0x60
#define PORT_STATUS  0x64
#define PORT_COMMAND 0x64

#define STATUS_OUTPUT_FULL 0x01u
#define STATUS_INPUT_FULL  0x02u
#define STATUS_AUX         0x20u
#define STATUS_ERRORS      0xc0u
#define STATUS_ABSENT      0xffu

#define CONTROLLER_READ_CONFIG  0x20
#define CONTROLLER_WRITE_CONFIG 0x60
#define CONTROLLER_DISABLE_AUX  0xa7
#define CONTROLLER_SELF_TEST    0xaa
#define CONTROLLER_DISABLE_KBD  0xad
#define CONTROLLER_ENABLE_KBD   0xae
#define SELF_TEST_PASSED        0x55

#define CONFIG_KBD_IRQ   0x01u
#define CONFIG_AUX_IRQ   0x02u
#define CONFIG_KBD_OFF   0x10u
#define CONFIG_AUX_OFF   0x20u
#define CONFIG_TRANSLATE 0x40u

#define KBD_SET_LEDS    0xed
#define KBD_SCAN_SET    0xf0
#define KBD_ENABLE      0xf4
#define KBD_DISABLE     0xf5
#define KBD_ACK         0xfa
#define KBD_RESEND      0xfe
#define KBD_SELF_TESTED 0xaa
#define KBD_OVERRUN     0x00

#define WAIT_STEP_US  10u
#define WAIT_READY_US 20000u  /* for the controller */
#define WAIT_KBD_US   100000u /* for an answer from the keyboard; 20 ms by its specification */
#define KBD_IRQ       1u
#define MAX_BYTES     32u /* per interrupt */

/* An LED command on its way: the two bytes are acknowledged one after the other. */
enum led_state { LED_IDLE, LED_COMMAND_SENT, LED_MASK_SENT };

static struct {
    struct spinlock lock;
    struct scancode_decoder decoder;
    enum led_state led_state;
    uint8_t led_mask; /* in the keyboard's bits */
    bool led_pending; /* led_mask changed since it was sent */
    struct input_device device;
    struct irq_handler irq_handler;
} kbd = {.lock = SPINLOCK_INIT("i8042"), .device = {.name = "AT keyboard"}};

/* ---- talking to the controller ---- */

static bool wait_input_empty(void)
{
    for (unsigned us = 0; us < WAIT_READY_US; us += WAIT_STEP_US) {
        if (!(port_read8(PORT_STATUS) & STATUS_INPUT_FULL)) {
            return true;
        }
        clock_delay_us(WAIT_STEP_US);
    }
    return false;
}

static int read_answer(unsigned timeout_us)
{
    for (unsigned us = 0; us < timeout_us; us += WAIT_STEP_US) {
        uint8_t status = port_read8(PORT_STATUS);
        if (status & STATUS_OUTPUT_FULL) {
            uint8_t byte = port_read8(PORT_DATA);
            if (!(status & STATUS_AUX)) {
                return byte;
            }
        }
        clock_delay_us(WAIT_STEP_US);
    }
    return -ETIMEDOUT;
}

static int write_port(uint16_t port, uint8_t byte)
{
    if (!wait_input_empty()) {
        return -ETIMEDOUT;
    }
    port_write8(port, byte);
    return 0;
}

static void drain_output(void)
{
    for (unsigned i = 0; i < MAX_BYTES && (port_read8(PORT_STATUS) & STATUS_OUTPUT_FULL); i++) {
        (void)port_read8(PORT_DATA);
    }
}

/* A command that the controller answers with a byte. */
static int controller_ask(uint8_t command)
{
    int err = write_port(PORT_COMMAND, command);

    return err < 0 ? err : read_answer(WAIT_READY_US);
}

static int controller_set_config(uint8_t config)
{
    int err = write_port(PORT_COMMAND, CONTROLLER_WRITE_CONFIG);

    return err < 0 ? err : write_port(PORT_DATA, config);
}

/* A byte to the keyboard, which acknowledges it or wants it again. */
static int keyboard_send(uint8_t byte)
{
    for (unsigned tries = 0; tries < 3; tries++) {
        int err = write_port(PORT_DATA, byte);
        if (err < 0) {
            return err;
        }
        int answer = read_answer(WAIT_KBD_US);
        if (answer < 0 || answer == KBD_ACK) {
            return MIN(answer, 0);
        }
        if (answer != KBD_RESEND) {
            return -EIO;
        }
    }
    return -EIO;
}

/* ---- LEDs ---- */

/* Send the mask if it changed and nothing is under way. */
static void leds_kick_locked(void)
{
    if (kbd.led_pending && kbd.led_state == LED_IDLE && wait_input_empty()) {
        kbd.led_pending = false;
        kbd.led_state = LED_COMMAND_SENT;
        port_write8(PORT_DATA, KBD_SET_LEDS);
    }
}

/* The keyboard acknowledged, or refused. */
static void leds_answer_locked(uint8_t answer)
{
    if (answer == KBD_ACK && kbd.led_state == LED_COMMAND_SENT && wait_input_empty()) {
        kbd.led_state = LED_MASK_SENT;
        port_write8(PORT_DATA, kbd.led_mask);
        return;
    }
    kbd.led_state = LED_IDLE;
    leds_kick_locked();
}

static void keyboard_set_leds(unsigned mask)
{
    uint64_t flags = spin_lock_irqsave(&kbd.lock);

    /* evdev counts num, caps, scroll; the keyboard scroll, num, caps. */
    kbd.led_mask = (uint8_t)(((mask & BIT(LED_SCROLLL)) ? 1 : 0) |
                             ((mask & BIT(LED_NUML)) ? 2 : 0) | ((mask & BIT(LED_CAPSL)) ? 4 : 0));
    kbd.led_pending = true;
    leds_kick_locked();
    spin_unlock_irqrestore(&kbd.lock, flags);
}

/* ---- input ---- */

static void release_all(void)
{
    struct scancode_event event;
    bool held;

    do {
        uint64_t flags = spin_lock_irqsave(&kbd.lock);
        held = scancode_release_one(&kbd.decoder, &event);
        spin_unlock_irqrestore(&kbd.lock, flags);
        if (held) {
            input_event(&kbd.device, EV_KEY, event.code, event.value);
        }
    } while (held);
}

/* Bytes that are not scan codes. True: dealt with. *ret_lost: keys may be held that are not. */
static bool special_byte_locked(uint8_t byte, bool *ret_lost)
{
    switch (byte) {
    case KBD_ACK:
    case KBD_RESEND:
        if (kbd.led_state == LED_IDLE) {
            return !kbd.decoder.set1; /* in set 1 it could be a release */
        }
        leds_answer_locked(byte);
        return true;
    case KBD_OVERRUN:
        *ret_lost = true;
        return true;
    case KBD_SELF_TESTED: /* a keyboard was plugged in; in set 1 this is the release of left shift */
        if (kbd.decoder.set1) {
            return false;
        }
        scancode_init(&kbd.decoder, false);
        kbd.led_state = LED_IDLE;
        kbd.led_pending = true;
        leds_kick_locked();
        *ret_lost = true;
        return true;
    default:
        return false;
    }
}

/* One byte, if there is one. */
static bool keyboard_service(void)
{
    struct scancode_event events[2];
    unsigned nevents = 0;
    bool lost = false;

    uint64_t flags = spin_lock_irqsave(&kbd.lock);
    uint8_t status = port_read8(PORT_STATUS);
    if (!(status & STATUS_OUTPUT_FULL)) {
        spin_unlock_irqrestore(&kbd.lock, flags);
        return false;
    }
    uint8_t byte = port_read8(PORT_DATA);
    if (!(status & (STATUS_AUX | STATUS_ERRORS)) && !special_byte_locked(byte, &lost)) {
        nevents = scancode_decode(&kbd.decoder, byte, events);
    }
    spin_unlock_irqrestore(&kbd.lock, flags);
    if (lost) {
        release_all();
    }
    for (unsigned i = 0; i < nevents; i++) {
        input_event(&kbd.device, EV_KEY, events[i].code, events[i].value);
    }
    return true;
}

/* What a key does may be long: a switch of screens, a line's echo. So the byte waits in the controller for the thread. */
static enum irq_result keyboard_interrupt(struct irq_handler *handler)
{
    (void)handler;
    return port_read8(PORT_STATUS) & STATUS_OUTPUT_FULL ? IRQ_WAKE_THREAD : IRQ_NONE;
}

static void keyboard_thread(struct irq_handler *handler)
{
    (void)handler;
    for (unsigned nbytes = 0; nbytes < MAX_BYTES && keyboard_service(); nbytes++) {
    }
}

/* ---- finding it ---- */

/* Controller ready, both ports off, translation off. Returns whether it translates all the same, or an error. */
static int controller_init(void)
{
    if (write_port(PORT_COMMAND, CONTROLLER_DISABLE_KBD) < 0 ||
        write_port(PORT_COMMAND, CONTROLLER_DISABLE_AUX) < 0) {
        return -ENODEV;
    }
    drain_output();
    int config = controller_ask(CONTROLLER_READ_CONFIG);
    if (config < 0) {
        return -ENODEV;
    }
    int result = controller_ask(CONTROLLER_SELF_TEST);
    if (result != SELF_TEST_PASSED) {
        log_warn("i8042: self-test: %#x", (unsigned)result);
        return -EIO;
    }
    /* The self-test may have put the configuration back, so it is written after it. */
    uint8_t wanted = (uint8_t)config;
    wanted &= (uint8_t) ~(CONFIG_KBD_IRQ | CONFIG_AUX_IRQ | CONFIG_TRANSLATE | CONFIG_KBD_OFF);
    wanted |= CONFIG_AUX_OFF;
    if (controller_set_config(wanted) < 0) {
        return -EIO;
    }
    config = controller_ask(CONTROLLER_READ_CONFIG);
    return config < 0 ? -EIO : (config & CONFIG_TRANSLATE) != 0;
}

static int keyboard_init(void)
{
    int err = write_port(PORT_COMMAND, CONTROLLER_ENABLE_KBD);

    if (err == 0) {
        err = keyboard_send(KBD_DISABLE);
    }
    if (err == 0) {
        err = keyboard_send(KBD_SCAN_SET);
    }
    if (err == 0) {
        err = keyboard_send(2);
    }
    return err == 0 ? keyboard_send(KBD_ENABLE) : err;
}

static struct resource port_resources[] = {
    {.start = PORT_DATA, .last = PORT_DATA, .name = "keyboard"},
    {.start = PORT_STATUS, .last = PORT_STATUS, .name = "keyboard"},
};

static int i8042_probe(const struct boot_handoff *handoff)
{
    const struct acpi_fadt *fadt = acpi_fadt();

    (void)handoff;
    if ((fadt != NULL && (fadt->flags & ACPI_FADT_HW_REDUCED) &&
         !(fadt->boot_arch_flags & ACPI_BOOT_8042)) ||
        port_read8(PORT_STATUS) == STATUS_ABSENT) {
        return -ENODEV;
    }
    int translates = controller_init();
    if (translates < 0) {
        return translates;
    }
    int err = keyboard_init();
    if (err < 0) {
        log_notice("i8042: no keyboard answers");
        drain_output();
    }
    scancode_init(&kbd.decoder, translates);
    kbd.irq_handler = (struct irq_handler){
        .fn = keyboard_interrupt, .thread_fn = keyboard_thread, .name = "i8042"};
    err = irq_attach(KBD_IRQ, IRQ_FLAG_ISA, &kbd.irq_handler);
    if (err < 0) {
        return err;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(port_resources); i++) {
        (void)resource_add(&resource_ports, &port_resources[i]);
    }
    input_device_register(&kbd.device);
    uint64_t flags = spin_lock_irqsave(&kbd.lock);
    err = controller_set_config(CONFIG_KBD_IRQ | CONFIG_AUX_OFF |
                                (translates ? CONFIG_TRANSLATE : 0));
    spin_unlock_irqrestore(&kbd.lock, flags);
    if (err < 0) {
        return err;
    }
    while (keyboard_service()) { /* what came before interrupts were on raises none */
    }
    input_set_leds = keyboard_set_leds;
    log_info("i8042: keyboard on irq %u, scan code set %u", KBD_IRQ, translates ? 1 : 2);
    return 0;
}

DRIVER(i8042) = {.name = "i8042", .stage = DRIVER_STAGE_DEVICE, .probe = i8042_probe};
