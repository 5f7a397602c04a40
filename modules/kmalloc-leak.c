// SPDX-License-Identifier: GPL-2.0
/* Two of three allocations are freed. */
//#Verdict: findings
//#Expect: memory-leak at kmalloc_leak_init
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/slab.h>

static void *parts[3];

static int __init kmalloc_leak_init(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		parts[i] = kmalloc(100 << i, GFP_KERNEL);
		if (!parts[i])
			goto undo;
	}
	return 0;
undo:
	while (i--)
		kfree(parts[i]);
	return -ENOMEM;
}

static void __exit kmalloc_leak_exit(void)
{
	int i;

	for (i = 1; i < ARRAY_SIZE(parts); i++)
		kfree(parts[i]);
}

module_init(kmalloc_leak_init);
module_exit(kmalloc_leak_exit);
MODULE_LICENSE("GPL");
