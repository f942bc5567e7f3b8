/*
 * Names of local sockets (unix(7), "Address format"), and the table in which every socket stands.
 *
 * A path names an inode, and the inode a socket: the table finds it by the inode, whatever the node is called by then. An abstract name
 * (first byte NUL) is bytes of any kind, and each type of socket has its own set of them. Sockets without a name stand in the table as
 * well, for /proc/net/unix.
 *
 * Locks: read_lock of the socket makes binding one thing; each bucket has a spin lock of its own.
 */
#include "kernel/base/hash.h"
#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/core/random.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/net/unix/table.h"

struct unix_bucket unix_table[UNIX_BUCKETS];
static uint64_t name_key[2] __ro_after_init; /* users choose the names */

/* ---- addresses ---- */

void unix_address_put(struct unix_address *address)
{
    if (address != NULL && refcount_put(&address->refs)) {
        kfree(address);
    }
}

/* A copy of a user's address of `len` bytes, the family with it. NULL: no memory. */
static struct unix_address *address_create(const char *path, unsigned len)
{
    struct unix_address *address = kzalloc(sizeof(*address));

    if (address != NULL) {
        refcount_init(&address->refs, 1);
        address->family = AF_UNIX;
        address->len = len;
        memcpy(address->path, path, len - UNIX_PATH_OFFSET);
    }
    return address;
}

static int address_check(const struct sockaddr *address, unsigned len)
{
    if (len <= UNIX_PATH_OFFSET || len > UNIX_PATH_OFFSET + UNIX_NAME_MAX ||
        address->sa_family != AF_UNIX) {
        return -EINVAL;
    }
    return 0;
}

/* The text of a path: it may lack its NUL. `text` has room for UNIX_NAME_MAX + 1. Returns its length. */
static unsigned address_text(const struct sockaddr *address, unsigned len, char *text)
{
    memcpy(text, address->sa_data, len - UNIX_PATH_OFFSET);
    text[len - UNIX_PATH_OFFSET] = '\0';
    return (unsigned)strlen(text);
}

void unix_tell_name(struct message *message, const struct socket *sender)
{
    const struct unix_address *address = NULL;

    if (sender != NULL) {
        address = atomic_load_acquire(&unix_of(sender)->address);
    }
    if (message->name != NULL && address != NULL) {
        memcpy(message->name, &address->family, sizeof(address->family));
        memcpy((uint8_t *)message->name + UNIX_PATH_OFFSET, address->path,
               address->len - UNIX_PATH_OFFSET);
        message->name_len = address->len;
    }
}

int unix_name(struct socket *socket, bool peer, struct __kernel_sockaddr_storage *ret_name)
{
    struct unix_socket *of = unix_of(socket);
    struct message message = {.name = ret_name, .name_len = UNIX_PATH_OFFSET};

    if (peer) {
        unix_lock(of);
        of = unix_get(of->peer);
        unix_unlock(unix_of(socket));
        if (of == NULL) {
            return -ENOTCONN;
        }
    }
    memset(ret_name, 0, sizeof(*ret_name));
    ret_name->ss_family = AF_UNIX;
    unix_tell_name(&message, &of->socket);
    if (peer) {
        unix_put(of);
    }
    return (int)message.name_len;
}

/* ---- the table ---- */

void unix_table_init(void)
{
    random_bytes(name_key, sizeof(name_key));
    for (unsigned i = 0; i < UNIX_BUCKETS; i++) {
        spin_init(&unix_table[i].lock, "local sockets");
        list_init(&unix_table[i].sockets);
    }
}

uint64_t unix_show_id(const struct unix_socket *socket)
{
    return hash_sip(name_key, &socket, sizeof(socket));
}

static uint32_t bucket_of_pointer(const void *pointer)
{
    return (uint32_t)(hash_u64((uintptr_t)pointer) >> 32) % UNIX_BUCKETS;
}

static uint32_t bucket_of_name(const char *path, unsigned len, int type)
{
    return (uint32_t)(hash_sip(name_key, path, len - UNIX_PATH_OFFSET) + (unsigned)type) %
           UNIX_BUCKETS;
}

static void table_insert(struct unix_socket *socket, uint32_t number)
{
    struct unix_bucket *bucket = &unix_table[number];

    spin_lock(&bucket->lock);
    socket->bucket = number;
    list_push_back(&bucket->sockets, &socket->listed);
    spin_unlock(&bucket->lock);
}

void unix_table_add(struct unix_socket *socket)
{
    table_insert(socket, bucket_of_pointer(socket));
}

void unix_table_remove(struct unix_socket *socket)
{
    struct unix_bucket *bucket = &unix_table[socket->bucket];

    spin_lock(&bucket->lock);
    list_remove(&socket->listed);
    spin_unlock(&bucket->lock);
}

/* The socket with an abstract name, borrowed; the bucket's lock held. */
static struct unix_socket *find_abstract(struct unix_bucket *bucket, const char *path, unsigned len,
                                         int type)
{
    struct unix_socket *socket;

    list_for_each (socket, &bucket->sockets, listed) {
        const struct unix_address *address = socket->address;
        if (socket->named && address->len == len && socket_type(&socket->socket) == type &&
            memcmp(address->path, path, len - UNIX_PATH_OFFSET) == 0) {
            return socket;
        }
    }
    return NULL;
}

/* A socket that is still alive: dying ones cannot be referenced. */
static struct unix_socket *get_alive(struct unix_socket *socket)
{
    return socket != NULL && refcount_get_unless_zero(&socket->socket.refs) ? socket : NULL;
}

static struct unix_socket *find_by_inode(const struct inode *inode)
{
    struct unix_bucket *bucket = &unix_table[bucket_of_pointer(inode)];
    struct unix_socket *socket, *found = NULL;

    spin_lock(&bucket->lock);
    list_for_each (socket, &bucket->sockets, listed) {
        if (socket->named && socket->path.dentry != NULL && socket->path.dentry->inode == inode) {
            found = get_alive(socket);
            break;
        }
    }
    spin_unlock(&bucket->lock);
    return found;
}

static int find_path(const char *name, int type, struct unix_socket **ret)
{
    struct path path;
    int err = path_lookup(AT_FDCWD, name, LOOKUP_FOLLOW, &path);

    if (err < 0) {
        return err;
    }
    struct inode *inode = path.dentry->inode;
    struct unix_socket *found = NULL;
    err = inode_permission(inode, MAY_WRITE);
    if (err == 0) {
        found = S_ISSOCK(inode->mode) ? find_by_inode(inode) : NULL;
        err = found == NULL ? -ECONNREFUSED : 0;
    }
    if (err == 0 && socket_type(&found->socket) != type) {
        unix_put(found);
        err = -EPROTOTYPE;
    }
    if (err == 0) {
        inode_touch(inode, ATTR_ATIME);
        *ret = found;
    }
    path_put(&path);
    return err;
}

int unix_find(const struct sockaddr *address, unsigned len, int type, struct unix_socket **ret)
{
    char text[UNIX_NAME_MAX + 1];
    int err = address_check(address, len);

    if (err < 0) {
        return err;
    }
    if (address->sa_data[0] != '\0') {
        (void)address_text(address, len, text);
        return find_path(text, type, ret);
    }
    struct unix_bucket *bucket = &unix_table[bucket_of_name(address->sa_data, len, type)];
    spin_lock(&bucket->lock);
    struct unix_socket *found = get_alive(find_abstract(bucket, address->sa_data, len, type));
    spin_unlock(&bucket->lock);
    if (found == NULL) {
        return -ECONNREFUSED;
    }
    *ret = found;
    return 0;
}

/* ---- binding ---- */

/* Publish an abstract name unless it is taken: -EADDRINUSE. read_lock held; the address is taken over on success. */
static int bind_abstract(struct unix_socket *socket, struct unix_address *address)
{
    int type = socket_type(&socket->socket);
    uint32_t number = bucket_of_name(address->path, address->len, type);
    struct unix_bucket *bucket = &unix_table[number];
    int err = 0;

    unix_table_remove(socket);
    spin_lock(&bucket->lock);
    if (find_abstract(bucket, address->path, address->len, type) != NULL) {
        err = -EADDRINUSE;
    } else {
        socket->bucket = number;
        socket->named = true;
        atomic_store_release(&socket->address, address);
        list_push_back(&bucket->sockets, &socket->listed);
    }
    spin_unlock(&bucket->lock);
    if (err < 0) {
        unix_table_add(socket);
    }
    return err;
}

/* As above, for a path. The node's permissions are the socket's own (fchmod(2) before bind), less the umask. */
static int bind_path(struct unix_socket *socket, struct unix_address *address)
{
    struct path path;
    uint32_t mode = 0777;

    unix_lock(socket);
    if (socket->socket.file != NULL) {
        mode = socket->socket.file->inode->mode & 0777;
    }
    unix_unlock(socket);
    int err = vfs_mksock(address->path, mode, &path);
    if (err < 0) {
        return err == -EEXIST ? -EADDRINUSE : err;
    }
    unix_table_remove(socket);
    socket->path = path;
    socket->named = true;
    atomic_store_release(&socket->address, address);
    table_insert(socket, bucket_of_pointer(path.dentry->inode));
    return 0;
}

/* Names of five hexadecimal digits, from a place that is another one each time. */
static int autobind_locked(struct unix_socket *socket)
{
    static uint32_t last; /* [a] */
    struct unix_address *address = address_create("\0      ", UNIX_PATH_OFFSET + 6);

    if (address == NULL) {
        return -ENOMEM;
    }
    for (uint32_t tries = 0; tries < 0x100000; tries++) {
        uint32_t number = (atomic_fetch_add_relaxed(&last, 1) + 1) & 0xfffff;
        (void)ksnprintf(address->path + 1, 6, "%05x", number);
        if (bind_abstract(socket, address) == 0) {
            return 0;
        }
    }
    unix_address_put(address);
    return -ENOSPC;
}

int unix_autobind(struct unix_socket *socket)
{
    int err = 0;

    if (atomic_load_acquire(&socket->address) != NULL) {
        return 0;
    }
    mutex_lock(&socket->read_lock);
    if (socket->address == NULL) {
        err = autobind_locked(socket);
    }
    mutex_unlock(&socket->read_lock);
    return err;
}

/* Nobody else binds it meanwhile. */
static int bind_locked(struct unix_socket *socket, const struct sockaddr *user, unsigned len)
{
    char text[UNIX_NAME_MAX + 1];
    bool is_path = user->sa_data[0] != '\0';
    struct unix_address *address;

    if (socket->address != NULL) {
        return -EINVAL;
    }
    if (is_path) {
        len = UNIX_PATH_OFFSET + address_text(user, len, text) + 1;
        address = address_create(text, len);
    } else {
        address = address_create(user->sa_data, len);
    }
    if (address == NULL) {
        return -ENOMEM;
    }
    int err = is_path ? bind_path(socket, address) : bind_abstract(socket, address);
    if (err < 0) {
        unix_address_put(address);
    }
    return err;
}

int unix_bind(struct socket *socket, const struct sockaddr *address, unsigned len)
{
    if (len == UNIX_PATH_OFFSET && address->sa_family == AF_UNIX) {
        return unix_autobind(unix_of(socket));
    }
    int err = address_check(address, len);
    if (err < 0) {
        return err;
    }
    mutex_lock(&unix_of(socket)->read_lock);
    err = bind_locked(unix_of(socket), address, len);
    mutex_unlock(&unix_of(socket)->read_lock);
    return err;
}
