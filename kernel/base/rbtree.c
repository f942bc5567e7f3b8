/*
 * Red-black tree. Guibas and Sedgewick 1978; Cormen et al., Introduction to Algorithms, chapter 13.
 *
 * Invariants: a red node has no red child; every path from the root to a missing child passes the same number of black
 * nodes; the root is black. NULL children count as black.
 *
 * The plain and the augmented variants share one body: it is inlined with a constant `update` (NULL for plain trees), so the
 * plain ones pay nothing. In an augmented tree every rotation recomputes the two nodes that it turned, the lower one first;
 * the value of the whole subtree is the same before and after.
 */
#include "kernel/base/rbtree.h"

#define RB_BLACK 1ul

static inline bool is_black(const struct rb_node *node)
{
    return node == NULL || (node->parent_color & RB_BLACK) != 0;
}

static inline bool is_red(const struct rb_node *node)
{
    return node != NULL && (node->parent_color & RB_BLACK) == 0;
}

static inline void set_parent(struct rb_node *node, struct rb_node *parent)
{
    node->parent_color = (uintptr_t)parent | (node->parent_color & RB_BLACK);
}

static inline void set_black(struct rb_node *node)
{
    node->parent_color |= RB_BLACK;
}

static inline void set_red(struct rb_node *node)
{
    node->parent_color &= ~RB_BLACK;
}

/* Let whatever pointed at `old` (its parent's child link, or the root) point at `new`. */
static inline void replace_child(struct rb_root *root, struct rb_node *parent, struct rb_node *old,
                                 struct rb_node *new)
{
    if (parent == NULL) {
        root->node = new;
    } else if (parent->left == old) {
        parent->left = new;
    } else {
        parent->right = new;
    }
}

/* Turn `node` down to the left: its right child takes its place. Colours stay with the nodes. */
static inline void rotate_left(struct rb_root *root, struct rb_node *node, rb_update_fn *update)
{
    struct rb_node *up = node->right, *parent = rb_parent(node);

    node->right = up->left;
    if (up->left != NULL) {
        set_parent(up->left, node);
    }
    up->left = node;
    set_parent(up, parent);
    set_parent(node, up);
    replace_child(root, parent, node, up);
    if (update != NULL) {
        (void)update(node);
        (void)update(up);
    }
}

static inline void rotate_right(struct rb_root *root, struct rb_node *node, rb_update_fn *update)
{
    struct rb_node *up = node->left, *parent = rb_parent(node);

    node->left = up->right;
    if (up->right != NULL) {
        set_parent(up->right, node);
    }
    up->right = node;
    set_parent(up, parent);
    set_parent(node, up);
    replace_child(root, parent, node, up);
    if (update != NULL) {
        (void)update(node);
        (void)update(up);
    }
}

void rb_propagate(struct rb_node *node, rb_update_fn *update)
{
    while (node != NULL && update(node)) {
        node = rb_parent(node);
    }
}

/* `node` is red and may have a red parent: push the conflict upwards or rotate it away. */
static __always_inline void insert_fixup(struct rb_root *root, struct rb_node *node,
                                         rb_update_fn *update)
{
    struct rb_node *parent;

    while ((parent = rb_parent(node)) != NULL && is_red(parent)) {
        /* The parent is red, so it is not the root and there is a grandparent. */
        struct rb_node *grandparent = rb_parent(parent);
        bool left = parent == grandparent->left;
        struct rb_node *uncle = left ? grandparent->right : grandparent->left;
        if (is_red(uncle)) {
            set_black(parent);
            set_black(uncle);
            set_red(grandparent);
            node = grandparent;
            continue;
        }
        if (left) {
            if (node == parent->right) {
                rotate_left(root, parent, update);
                parent = node;
            }
            set_black(parent);
            set_red(grandparent);
            rotate_right(root, grandparent, update);
        } else {
            if (node == parent->left) {
                rotate_right(root, parent, update);
                parent = node;
            }
            set_black(parent);
            set_red(grandparent);
            rotate_left(root, grandparent, update);
        }
        break;
    }
    set_black(root->node);
}

static __always_inline void link_node(struct rb_node *node, struct rb_node *parent,
                                      struct rb_node **link)
{
    node->parent_color = (uintptr_t)parent; /* red */
    node->left = NULL;
    node->right = NULL;
    *link = node;
}

void rb_insert(struct rb_root *root, struct rb_node *node, struct rb_node *parent,
               struct rb_node **link)
{
    link_node(node, parent, link);
    insert_fixup(root, node, NULL);
}

void rb_insert_augmented(struct rb_root *root, struct rb_node *node, struct rb_node *parent,
                         struct rb_node **link, rb_update_fn *update)
{
    link_node(node, parent, link);
    (void)update(node);
    rb_propagate(parent, update);
    insert_fixup(root, node, update);
}

/*
 * The subtree at `node` (a child of `parent`, perhaps NULL) is one black node short. Its sibling cannot be NULL, since the
 * other side has at least one black node more.
 */
static __always_inline void remove_fixup(struct rb_root *root, struct rb_node *node,
                                         struct rb_node *parent, rb_update_fn *update)
{
    while (node != root->node && is_black(node)) {
        bool left = node == parent->left;
        struct rb_node *sibling = left ? parent->right : parent->left;
        struct rb_node *near, *far;
        if (is_red(sibling)) {
            set_black(sibling);
            set_red(parent);
            if (left) {
                rotate_left(root, parent, update);
                sibling = parent->right;
            } else {
                rotate_right(root, parent, update);
                sibling = parent->left;
            }
        }
        near = left ? sibling->left : sibling->right;
        far = left ? sibling->right : sibling->left;
        if (is_black(near) && is_black(far)) {
            set_red(sibling);
            node = parent;
            parent = rb_parent(node);
            continue;
        }
        if (is_black(far)) {
            set_black(near);
            set_red(sibling);
            if (left) {
                rotate_right(root, sibling, update);
            } else {
                rotate_left(root, sibling, update);
            }
            far = sibling;
            sibling = near;
        }
        sibling->parent_color =
            (sibling->parent_color & ~RB_BLACK) | (parent->parent_color & RB_BLACK);
        set_black(parent);
        set_black(far);
        if (left) {
            rotate_left(root, parent, update);
        } else {
            rotate_right(root, parent, update);
        }
        return;
    }
    if (node != NULL) {
        set_black(node);
    }
}

/*
 * Put the in-order successor of `node`, which has two children, in its place. *ret_child and *ret_parent say where a node
 * was taken out below; returns whether that one was black.
 */
static __always_inline bool replace_by_successor(struct rb_root *root, struct rb_node *node,
                                                 struct rb_node **ret_child,
                                                 struct rb_node **ret_parent)
{
    struct rb_node *successor = node->right, *parent, *child;
    bool was_black;

    while (successor->left != NULL) {
        successor = successor->left;
    }
    was_black = is_black(successor);
    parent = rb_parent(successor);
    child = successor->right;
    if (parent == node) {
        parent = successor;
    } else {
        parent->left = child;
        if (child != NULL) {
            set_parent(child, parent);
        }
        successor->right = node->right;
        set_parent(node->right, successor);
    }
    successor->left = node->left;
    set_parent(node->left, successor);
    successor->parent_color = node->parent_color;
    replace_child(root, rb_parent(node), node, successor);
    *ret_child = child;
    *ret_parent = parent;
    return was_black;
}

static __always_inline void remove_node(struct rb_root *root, struct rb_node *node,
                                        rb_update_fn *update)
{
    struct rb_node *child, *parent;
    bool was_black;

    if (node->left != NULL && node->right != NULL) {
        was_black = replace_by_successor(root, node, &child, &parent);
        if (update != NULL) {
            /* The successor carries the value of its old place: recompute it whatever happens below it. */
            struct rb_node *p = parent, *successor = rb_parent(node->left);
            for (; p != successor; p = rb_parent(p)) {
                (void)update(p);
            }
            (void)update(successor);
            rb_propagate(rb_parent(successor), update);
        }
    } else {
        child = node->left != NULL ? node->left : node->right;
        parent = rb_parent(node);
        was_black = is_black(node);
        if (child != NULL) {
            set_parent(child, parent);
        }
        replace_child(root, parent, node, child);
        if (update != NULL) {
            rb_propagate(parent, update);
        }
    }
    if (was_black) {
        remove_fixup(root, child, parent, update);
    }
}

void rb_remove(struct rb_root *root, struct rb_node *node)
{
    remove_node(root, node, NULL);
}

void rb_remove_augmented(struct rb_root *root, struct rb_node *node, rb_update_fn *update)
{
    remove_node(root, node, update);
}

struct rb_node *rb_first(const struct rb_root *root)
{
    struct rb_node *node = root->node;

    while (node != NULL && node->left != NULL) {
        node = node->left;
    }
    return node;
}

struct rb_node *rb_last(const struct rb_root *root)
{
    struct rb_node *node = root->node;

    while (node != NULL && node->right != NULL) {
        node = node->right;
    }
    return node;
}

struct rb_node *rb_next(const struct rb_node *node)
{
    struct rb_node *parent;

    if (node->right != NULL) {
        node = node->right;
        while (node->left != NULL) {
            node = node->left;
        }
        return (struct rb_node *)node;
    }
    while ((parent = rb_parent(node)) != NULL && node == parent->right) {
        node = parent;
    }
    return parent;
}

struct rb_node *rb_prev(const struct rb_node *node)
{
    struct rb_node *parent;

    if (node->left != NULL) {
        node = node->left;
        while (node->right != NULL) {
            node = node->right;
        }
        return (struct rb_node *)node;
    }
    while ((parent = rb_parent(node)) != NULL && node == parent->left) {
        node = parent;
    }
    return parent;
}

void rb_replace(struct rb_root *root, struct rb_node *old, struct rb_node *new)
{
    *new = *old;
    replace_child(root, rb_parent(old), old, new);
    if (new->left != NULL) {
        set_parent(new->left, new);
    }
    if (new->right != NULL) {
        set_parent(new->right, new);
    }
}
