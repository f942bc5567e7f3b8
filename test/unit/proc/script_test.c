/* The "#!" line (kernel/proc/script.h). */
#define TEST_SUITE "proc"
#include "kernel/proc/script.h"

#include "kernel/base/errno.h"
#include "test/unit/test.h"

static char line[SCRIPT_LINE_MAX + 1];
static const char *interpreter, *arg;

static int parse(const char *text)
{
    return script_parse(text, strlen(text), line, &interpreter, &arg);
}

TEST(script, interpreter_alone)
{
    EXPECT_EQ(parse("#!/bin/sh\necho\n"), 0);
    EXPECT_STR_EQ(interpreter, "/bin/sh");
    EXPECT(arg == NULL);
}

TEST(script, the_rest_of_the_line_is_one_argument)
{
    EXPECT_EQ(parse("#! \t/usr/bin/env  -S  a b \t\nrest"), 0);
    EXPECT_STR_EQ(interpreter, "/usr/bin/env");
    EXPECT_STR_EQ(arg, "-S  a b");
}

TEST(script, the_end_of_the_file_ends_the_line)
{
    EXPECT_EQ(parse("#!/x"), 0);
    EXPECT_STR_EQ(interpreter, "/x");
    EXPECT(arg == NULL);
}

TEST(script, what_is_no_script)
{
    EXPECT_EQ(parse(""), -ENOEXEC);
    EXPECT_EQ(parse("#!"), -ENOEXEC);
    EXPECT_EQ(parse("#!\n"), -ENOEXEC);
    EXPECT_EQ(parse("#!   \t \n/bin/sh"), -ENOEXEC);
    EXPECT_EQ(parse("#/bin/sh"), -ENOEXEC);
}

TEST(script, a_long_line_is_cut_but_not_in_the_interpreters_name)
{
    char text[600];

    memset(text, 'x', sizeof(text));
    memcpy(text, "#!/", 3);
    EXPECT_EQ(script_parse(text, sizeof(text), line, &interpreter, &arg), -ENOEXEC);
    text[20] = ' ';
    EXPECT_EQ(script_parse(text, sizeof(text), line, &interpreter, &arg), 0);
    EXPECT_EQ(strlen(interpreter), 18);
    EXPECT_EQ(strlen(arg), SCRIPT_LINE_MAX - 21);
}
