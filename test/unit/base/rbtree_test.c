#define TEST_SUITE "base"
#include "test/unit/test.h"

#include "kernel/base/rbtree.h"
#include "test/unit/base/random.h"

#define NKEYS 200

struct item {
    struct rb_node node;
    unsigned key;
    unsigned weight;
    unsigned max; /* largest weight in the subtree */
    bool in_tree;
};

#define ITEM(n) rb_entry(n, struct item, node)

static struct item items[NKEYS];
static struct rb_root root;

static bool update_max(struct rb_node *node)
{
    struct item *item = ITEM(node);
    unsigned max = item->weight;

    if (node->left != NULL) {
        max = MAX(max, ITEM(node->left)->max);
    }
    if (node->right != NULL) {
        max = MAX(max, ITEM(node->right)->max);
    }
    bool changed = max != item->max;
    item->max = max;
    return changed;
}

static void add(struct item *item, rb_update_fn *update)
{
    struct rb_node **link = &root.node, *parent = NULL;

    while (*link != NULL) {
        parent = *link;
        link = item->key < ITEM(parent)->key ? &parent->left : &parent->right;
    }
    if (update != NULL) {
        rb_insert_augmented(&root, &item->node, parent, link, update);
    } else {
        rb_insert(&root, &item->node, parent, link);
    }
    item->in_tree = true;
}

/* Check the subtree's shape; returns its height in black nodes. */
static unsigned check_subtree(const struct rb_node *node, const struct rb_node *parent,
                              bool augmented)
{
    unsigned left, right, max;

    if (node == NULL) {
        return 1;
    }
    EXPECT(rb_parent(node) == parent);
    bool black = (node->parent_color & 1) != 0;
    if (!black) {
        EXPECT(parent != NULL && (parent->parent_color & 1) != 0);
    }
    left = check_subtree(node->left, node, augmented);
    right = check_subtree(node->right, node, augmented);
    EXPECT_EQ(left, right);
    if (augmented) {
        max = ITEM(node)->weight;
        max = node->left != NULL ? MAX(max, ITEM(node->left)->max) : max;
        max = node->right != NULL ? MAX(max, ITEM(node->right)->max) : max;
        EXPECT_EQ(ITEM(node)->max, max);
    }
    return left + black;
}

/* The tree holds exactly the items marked so, in order, both ways. */
static void check_tree(bool augmented)
{
    struct rb_node *node = rb_first(&root), *before = NULL;

    (void)check_subtree(root.node, NULL, augmented);
    for (unsigned i = 0; i < NKEYS; i++) {
        if (items[i].in_tree) {
            EXPECT(node == &items[i].node);
            EXPECT(rb_prev(node) == before);
            before = node;
            node = rb_next(node);
        }
    }
    EXPECT(node == NULL);
    EXPECT(rb_last(&root) == before);
}

static void reset(void)
{
    root.node = NULL;
    for (unsigned i = 0; i < NKEYS; i++) {
        items[i] = (struct item){.key = i};
    }
}

static void random_operations(uint64_t seed, unsigned n, bool augmented)
{
    reset();
    for (unsigned i = 0; i < n; i++) {
        struct item *item = &items[test_random(&seed) % NKEYS];
        rb_update_fn *update = augmented ? update_max : NULL;
        if (!item->in_tree) {
            item->weight = (unsigned)test_random(&seed) % 1000;
            add(item, update);
        } else {
            if (augmented) {
                rb_remove_augmented(&root, &item->node, update);
            } else {
                rb_remove(&root, &item->node);
            }
            item->in_tree = false;
        }
        check_tree(augmented);
    }
}

TEST(rbtree, stays_sorted_and_balanced_under_random_operations)
{
    random_operations(1, 4000, false);
}

TEST(rbtree, keeps_augmented_values_right_under_random_operations)
{
    random_operations(2, 4000, true);
}

TEST(rbtree, stays_balanced_when_filled_and_emptied_in_order)
{
    reset();
    for (unsigned i = 0; i < NKEYS; i++) {
        add(&items[i], NULL);
        check_tree(false);
    }
    for (unsigned i = 0; i < NKEYS; i++) {
        rb_remove(&root, &items[i].node);
        items[i].in_tree = false;
        check_tree(false);
    }
    EXPECT(root.node == NULL);
}

TEST(rbtree, propagates_a_changed_value_to_the_root)
{
    reset();
    for (unsigned i = 0; i < NKEYS; i++) {
        add(&items[i], update_max);
    }
    items[77].weight = 5000;
    rb_propagate(&items[77].node, update_max);
    EXPECT_EQ(ITEM(root.node)->max, 5000);
    check_tree(true);
}

TEST(rbtree, replaces_a_node_by_one_of_equal_key)
{
    struct item other = {.key = 50};

    reset();
    for (unsigned i = 0; i < NKEYS; i++) {
        add(&items[i], NULL);
    }
    rb_replace(&root, &items[50].node, &other.node);
    EXPECT(rb_next(&items[49].node) == &other.node);
    EXPECT(rb_prev(&items[51].node) == &other.node);
    EXPECT(rb_next(&other.node) == &items[51].node);
    rb_replace(&root, &other.node, &items[50].node);
    check_tree(false);
}

TEST(rbtree, has_no_first_or_last_when_empty)
{
    struct rb_root empty = {NULL};

    EXPECT(rb_first(&empty) == NULL);
    EXPECT(rb_last(&empty) == NULL);
}
