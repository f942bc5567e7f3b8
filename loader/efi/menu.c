/*
 * The boot menu, drawn on the firmware's text screen (and so on its serial console, if it has one):
 *
 *     row 0   title
 *     row 2.. one row per entry, the chosen one inverted
 *     below   the chosen entry's kernel and parameters; the row where parameters are edited
 *     last    help
 */
#include "loader/efi/menu.h"

#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "loader/core/lineedit.h"
#include "loader/efi/console.h"

#define NORMAL   (EFI_LIGHTGRAY | EFI_BACKGROUND_BLACK)
#define INVERTED (EFI_BLACK | EFI_BACKGROUND_LIGHTGRAY)
#define TITLE    (EFI_WHITE | EFI_BACKGROUND_BLACK)

#define CHAR_CTRL_U 0x15

#define FIRST_ENTRY_ROW 2
#define MAX_COLUMNS     160

struct menu {
    struct bootconf *conf;
    unsigned chosen;
    unsigned columns; /* in use: MAX_COLUMNS + 1 of a wider screen */
};

/*
 * Text at the left, the rest of the row blank; the last column stays free, because writing there
 * may scroll.
 */
static void put_row(const struct menu *menu, unsigned row, unsigned attribute, const char *text)
{
    char line[MAX_COLUMNS + 1];
    unsigned width = menu->columns - 1;

    (void)ksnprintf(line, sizeof(line), "%-*.*s", (int)width, (int)width, text);
    console_put(0, row, attribute, line);
}

static void draw(const struct menu *menu)
{
    const struct bootconf_entry *entry = &menu->conf->entries[menu->chosen];
    unsigned row = FIRST_ENTRY_ROW + menu->conf->nentries + 1;
    char line[MAX_COLUMNS + 1];

    put_row(menu, 0, TITLE, " Linnet");
    for (unsigned i = 0; i < menu->conf->nentries; i++) {
        (void)ksnprintf(line, sizeof(line), " %c %s", i == menu->chosen ? '>' : ' ',
                        menu->conf->entries[i].name);
        put_row(menu, FIRST_ENTRY_ROW + i, i == menu->chosen ? INVERTED : NORMAL, line);
    }
    (void)ksnprintf(line, sizeof(line), " kernel      %s", entry->kernel);
    put_row(menu, row++, NORMAL, line);
    (void)ksnprintf(line, sizeof(line), " initramfs   %s",
                    entry->initramfs[0] == '\0' ? "(none)" : entry->initramfs);
    put_row(menu, row++, NORMAL, line);
    (void)ksnprintf(line, sizeof(line), " parameters  %s", entry->parameters);
    put_row(menu, row++, NORMAL, line);
    put_row(menu, row + 1, NORMAL,
            " Up Down: choose   Enter: boot   e: edit parameters   Esc: back to the firmware");
}

static unsigned edit_key(const EFI_INPUT_KEY *key)
{
    switch (key->ScanCode) {
    case SCAN_LEFT:
        return LINEEDIT_LEFT;
    case SCAN_RIGHT:
        return LINEEDIT_RIGHT;
    case SCAN_HOME:
        return LINEEDIT_HOME;
    case SCAN_END:
        return LINEEDIT_END;
    case SCAN_DELETE:
        return LINEEDIT_DELETE;
    default:
        break;
    }
    if (key->UnicodeChar == CHAR_BACKSPACE || key->UnicodeChar == 0x7f) {
        return LINEEDIT_BACKSPACE;
    }
    return key->UnicodeChar == CHAR_CTRL_U ? LINEEDIT_ERASE_ALL : key->UnicodeChar;
}

/* Edit the chosen entry's parameters. True: Enter, boot it; false: Esc, everything as before. */
static bool edit(const struct menu *menu)
{
    static char text[BOOTCONF_PARAMETERS_SIZE];
    struct bootconf_entry *entry = &menu->conf->entries[menu->chosen];
    unsigned row = FIRST_ENTRY_ROW + menu->conf->nentries + 3;
    unsigned left = 13, width = menu->columns - 1 - left;
    struct lineedit line;
    EFI_INPUT_KEY key = {0};

    (void)str_copy(text, entry->parameters, sizeof(text));
    lineedit_init(&line, text, sizeof(text));
    put_row(menu, row + 2, NORMAL,
            " Enter: boot with these parameters   Ctrl-U: erase all   Esc: forget the changes");
    do {
        size_t first = lineedit_window(&line, width);
        char shown[MAX_COLUMNS + 32];

        (void)ksnprintf(shown, sizeof(shown), " parameters  %.*s", (int)width, text + first);
        put_row(menu, row, TITLE, shown);
        console_show_cursor(left + (unsigned)(line.cursor - first), row, true);
        if (!console_key(CONSOLE_FOREVER, &key)) {
            break;
        }
        if (key.UnicodeChar == CHAR_CARRIAGE_RETURN) {
            (void)str_copy(entry->parameters, text, sizeof(entry->parameters));
            console_show_cursor(0, row, false);
            return true;
        }
        (void)lineedit_key(&line, edit_key(&key));
    } while (key.ScanCode != SCAN_ESC);
    console_show_cursor(0, row, false);
    return false;
}

/* The menu itself. True: boot menu->chosen. */
static bool run(struct menu *menu)
{
    unsigned nentries = menu->conf->nentries;
    EFI_INPUT_KEY key;

    console_clear();
    for (;;) {
        draw(menu);
        if (!console_key(CONSOLE_FOREVER, &key)) {
            return true; /* no keyboard after all */
        }
        if (key.ScanCode == SCAN_UP) {
            menu->chosen = menu->chosen == 0 ? nentries - 1 : menu->chosen - 1;
        } else if (key.ScanCode == SCAN_DOWN) {
            menu->chosen = menu->chosen + 1 == nentries ? 0 : menu->chosen + 1;
        } else if (key.ScanCode == SCAN_ESC) {
            return false;
        } else if (key.UnicodeChar == CHAR_CARRIAGE_RETURN) {
            return true;
        } else if ((key.UnicodeChar == 'e' || key.UnicodeChar == 'E') && edit(menu)) {
            return true;
        }
    }
}

/* Wait for a key that calls the menu. True: one came. */
static bool key_called(const struct bootconf *conf)
{
    EFI_INPUT_KEY key;

    if (conf->nentries == 1 || conf->timeout_s == 0) {
        return console_key(0, &key);
    }
    for (unsigned left = conf->timeout_s; left > 0; left--) {
        console_print("\rlinnet: \"%s\" starts in %u s, a key shows the menu ",
                      conf->entries[conf->default_entry].name, left);
        if (console_key(1000, &key)) {
            console_print("\n");
            return true;
        }
    }
    console_print("\n");
    return false;
}

bool menu_choose(struct bootconf *conf, struct bootconf_entry **ret_entry)
{
    struct menu menu = {.conf = conf, .chosen = conf->default_entry};
    bool boot = true;
    unsigned rows;

    if (key_called(conf)) {
        console_size(&menu.columns, &rows);
        menu.columns = MIN(menu.columns, MAX_COLUMNS + 1u);
        boot = run(&menu);
        console_clear();
    }
    *ret_entry = &conf->entries[menu.chosen];
    return boot;
}
