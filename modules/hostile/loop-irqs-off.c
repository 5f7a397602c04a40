// SPDX-License-Identifier: GPL-2.0
/* Exit takes a lock with interrupts off and then computes for ever, without a call. */
//#Hostile: told
//#Real: unsafe
#include <linux/module.h>
#include <linux/spinlock.h>

static DEFINE_SPINLOCK(lock);
static unsigned long sum;

static int __init loop_irqs_off_init(void)
{
	return 0;
}

static void __exit loop_irqs_off_exit(void)
{
	unsigned long flags;

	spin_lock_irqsave(&lock, flags);
	for (;;)
		WRITE_ONCE(sum, READ_ONCE(sum) * 5 + 1);
}

module_init(loop_irqs_off_init);
module_exit(loop_irqs_off_exit);
MODULE_LICENSE("GPL");
