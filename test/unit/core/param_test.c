#define TEST_SUITE "core"
#include "test/unit/test.h"

#include "kernel/core/param.h"

TEST(param, a_list_has_whole_words)
{
    EXPECT(param_list_has("heap,redzone", "heap"));
    EXPECT(param_list_has("heap,redzone", "redzone"));
    EXPECT(param_list_has("redzone", "redzone"));
    EXPECT(param_list_has("all", "whatever"));
    EXPECT(!param_list_has("heap,redzone", "red"));
    EXPECT(!param_list_has("heap,redzone", "zone"));
    EXPECT(!param_list_has("", "heap"));
    EXPECT(!param_list_has("allheap", "heap"));
}
