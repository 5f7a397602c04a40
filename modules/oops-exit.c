// SPDX-License-Identifier: GPL-2.0
/* Exit reads through a pointer that was cleared: the module stays Unloading for ever. */
//#Verdict: findings
//#Expect: oops exit at oops_exit_exit
//#Expect: wedged-module
//#Result: load=0 init=0 exit=fault
//#Real: unsafe
#include <linux/module.h>
#include <linux/slab.h>

struct ring {
	unsigned int head;
	unsigned int tail;
};

static struct ring *ring;

static int __init oops_exit_init(void)
{
	ring = kzalloc(sizeof(*ring), GFP_KERNEL);
	return ring ? 0 : -ENOMEM;
}

static void __exit oops_exit_exit(void)
{
	kfree(ring);
	ring = NULL;
	pr_info("tail %u\n", READ_ONCE(ring->tail));
}

module_init(oops_exit_init);
module_exit(oops_exit_exit);
MODULE_LICENSE("GPL");
