/*
 * Circular doubly linked list. A head and its nodes are the same struct; an empty head points at itself.
 * No locks: the owner of the head says what protects it.
 */
#pragma once

#include "kernel/base/types.h"

struct list_node {
    struct list_node *next;
    struct list_node *prev;
};

#define LIST_INIT(name)                                                                            \
    {                                                                                              \
        &(name), &(name)                                                                           \
    }

static inline void list_init(struct list_node *head)
{
    head->next = head;
    head->prev = head;
}

static inline bool list_empty(const struct list_node *head)
{
    return head->next == head;
}

static inline void list_insert_between_(struct list_node *node, struct list_node *prev,
                                        struct list_node *next)
{
    node->prev = prev;
    node->next = next;
    prev->next = node;
    next->prev = node;
}

static inline void list_push_front(struct list_node *head, struct list_node *node)
{
    list_insert_between_(node, head, head->next);
}

static inline void list_push_back(struct list_node *head, struct list_node *node)
{
    list_insert_between_(node, head->prev, head);
}

/* Insert `node` in front of `pos`. */
static inline void list_insert_before(struct list_node *pos, struct list_node *node)
{
    list_insert_between_(node, pos->prev, pos);
}

/* Take the node out and leave it empty, so that list_empty(node) tells whether it is on a list. */
static inline void list_remove(struct list_node *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

static inline struct list_node *list_first(const struct list_node *head)
{
    return list_empty(head) ? NULL : head->next;
}

static inline struct list_node *list_last(const struct list_node *head)
{
    return list_empty(head) ? NULL : head->prev;
}

static inline struct list_node *list_pop_front(struct list_node *head)
{
    struct list_node *node = list_first(head);
    if (node != NULL) {
        list_remove(node);
    }
    return node;
}

/* Move all nodes of `from` to the end of `to`; `from` is empty afterwards. */
static inline void list_splice_back(struct list_node *to, struct list_node *from)
{
    if (!list_empty(from)) {
        from->next->prev = to->prev;
        to->prev->next = from->next;
        from->prev->next = to;
        to->prev = from->prev;
        list_init(from);
    }
}

#define list_entry(node, type, member)       container_of(node, type, member)
#define list_first_entry(head, type, member) list_entry((head)->next, type, member)

/* The end of a walk: what a head lies in is no entry, and is not touched as one. */
#define list_at_end(pos, head, member)                                                             \
    ((uintptr_t)(pos) + offsetof(__typeof__(*(pos)), member) == (uintptr_t)(head))

/* Walk entries; the _safe form allows the current entry to be removed. */
#define list_for_each(pos, head, member)                                                           \
    for (pos = list_first_entry(head, __typeof__(*pos), member); !list_at_end(pos, head, member);  \
         pos = list_entry(pos->member.next, __typeof__(*pos), member))
#define list_for_each_safe(pos, tmp, head, member)                                                 \
    for (pos = list_first_entry(head, __typeof__(*pos), member);                                   \
         !list_at_end(pos, head, member) &&                                                        \
         (tmp = list_entry(pos->member.next, __typeof__(*tmp), member), true);                     \
         pos = tmp)
