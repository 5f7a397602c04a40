// SPDX-License-Identifier: GPL-2.0
/* Init returns with the spin lock held on one path: preemption stays off. */
//#Args: fast=1
//#Verdict: findings
//#Expect: context-imbalance init
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 log "preemption imbalance"
#include <linux/module.h>
#include <linux/spinlock.h>

static bool fast;
module_param(fast, bool, 0444);
static DEFINE_SPINLOCK(setup_lock);
static int ready;

static int __init spin_held_init(void)
{
	spin_lock(&setup_lock);
	ready = 1;
	if (fast)
		return 0;
	ready = 2;
	spin_unlock(&setup_lock);
	return 0;
}

static void __exit spin_held_exit(void)
{
}

module_init(spin_held_init);
module_exit(spin_held_exit);
MODULE_LICENSE("GPL");
