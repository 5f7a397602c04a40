// SPDX-License-Identifier: GPL-2.0
/* A loop with <= writes one element past a heap array. */
//#Verdict: findings
//#Expect: out-of-bounds init "write_past_init"
//#May: oops
//#May: wedged-module
//#Real: unsafe
#include <linux/module.h>
#include <linux/slab.h>

static unsigned int entries = 32;
module_param(entries, uint, 0444);
static u64 *array;

static int __init write_past_init(void)
{
	unsigned int n;

	array = kmalloc_array(entries, sizeof(*array), GFP_KERNEL);
	if (!array)
		return -ENOMEM;
	for (n = 0; n <= entries; n++)
		WRITE_ONCE(array[n], n);
	return 0;
}

static void __exit write_past_exit(void)
{
	kfree(array);
}

module_init(write_past_init);
module_exit(write_past_exit);
MODULE_LICENSE("GPL");
