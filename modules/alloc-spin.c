// SPDX-License-Identifier: GPL-2.0
/* A GFP_KERNEL allocation with interrupts off: works until memory is short. */
//#Verdict: findings
//#Expect: sleep-in-atomic init at alloc_spin_init
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

static DEFINE_SPINLOCK(pool_lock);
static void *pool;

static int __init alloc_spin_init(void)
{
	unsigned long flags;

	spin_lock_irqsave(&pool_lock, flags);
	pool = kmalloc(1024, GFP_KERNEL);
	spin_unlock_irqrestore(&pool_lock, flags);
	return pool ? 0 : -ENOMEM;
}

static void __exit alloc_spin_exit(void)
{
	kfree(pool);
}

module_init(alloc_spin_init);
module_exit(alloc_spin_exit);
MODULE_LICENSE("GPL");
