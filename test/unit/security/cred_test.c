/* Credentials (kernel/security/cred.h): who looks at another thread's needs no reference. */
#define TEST_SUITE "security"
#include "kernel/security/cred.h"

#include "hal/host/host.h"
#include "test/unit/test.h"

TEST(cred, that_have_been_replaced_can_be_looked_at_until_the_section_ends)
{
    host_sched_init();
    struct thread *thread = current_thread();
    struct cred *former = thread->cred;

    thread->cred = cred_clone(&cred_init_user);
    EXPECT(thread->cred != NULL);
    thread->cred->euid = 7;
    rcu_read_lock();
    struct cred *seen = rcu_dereference(thread->cred), *new = cred_clone(seen);
    EXPECT(new != NULL);
    cred_commit(new); /* as the thread itself does at any time */
    EXPECT_EQ(seen->euid, 7);
    EXPECT(!refcount_get_unless_zero(&seen->refs)); /* try again */
    rcu_read_unlock();
    EXPECT_PTR_EQ(thread->cred, new);
    cred_put(new);
    thread->cred = former;
}
