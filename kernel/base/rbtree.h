/*
 * Red-black tree, intrusive, with optional augmentation (a value per node computed from its subtree).
 *
 * The caller descends from root->node, finds the link to hang the new node on, and calls rb_insert; so the comparison
 * is inlined at the caller. An augmented tree passes a callback that recomputes one node from its two children.
 * No locks, no allocation. Source: Guibas and Sedgewick 1978; Cormen et al., Introduction to Algorithms, chapter 13.
 */
#pragma once

#include "kernel/base/types.h"

struct rb_node {
    uintptr_t parent_color; /* parent pointer | 1 when black */
    struct rb_node *left;
    struct rb_node *right;
};

struct rb_root {
    struct rb_node *node; /* NULL: empty */
};

/* Recompute the augmented value of `node` from itself and its children. Returns whether it changed. */
typedef bool rb_update_fn(struct rb_node *node);

#define rb_entry(node, type, member) container_of(node, type, member)

/* Hang `node` on `*link` (a child link of `parent`, or &root->node with parent NULL) and rebalance. */
void rb_insert(struct rb_root *root, struct rb_node *node, struct rb_node *parent,
               struct rb_node **link);
void rb_remove(struct rb_root *root, struct rb_node *node);

/* The same for an empty tree. */
static inline void rb_insert_first(struct rb_root *root, struct rb_node *node)
{
    *node = (struct rb_node){.parent_color = 1};
    root->node = node;
}

/* The same, keeping the augmented values of all touched nodes and their ancestors right. */
void rb_insert_augmented(struct rb_root *root, struct rb_node *node, struct rb_node *parent,
                         struct rb_node **link, rb_update_fn *update);
void rb_remove_augmented(struct rb_root *root, struct rb_node *node, rb_update_fn *update);
/* After a change of node's own key-independent data: recompute it and its ancestors until nothing changes. */
void rb_propagate(struct rb_node *node, rb_update_fn *update);

struct rb_node *rb_first(const struct rb_root *root);
struct rb_node *rb_last(const struct rb_root *root);
struct rb_node *rb_next(const struct rb_node *node);
struct rb_node *rb_prev(const struct rb_node *node);
/* Put `new` in the place of `old`, which has an equal key. */
void rb_replace(struct rb_root *root, struct rb_node *old, struct rb_node *new);

static inline struct rb_node *rb_parent(const struct rb_node *node)
{
    return (struct rb_node *)(node->parent_color & ~(uintptr_t)1);
}
