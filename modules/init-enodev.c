// SPDX-License-Identifier: GPL-2.0
/* No hardware, so init gives back what it took and says -ENODEV: correct. */
//#Verdict: clean
//#Result: load=-19 init=-19 exit=not-run
//#Real: load=-19 silent
#include <linux/module.h>
#include <linux/slab.h>

static int __init init_enodev_init(void)
{
	void *probe = kzalloc(256, GFP_KERNEL);

	if (!probe)
		return -ENOMEM;
	kfree(probe);
	return -ENODEV;
}

static void __exit init_enodev_exit(void)
{
}

module_init(init_enodev_init);
module_exit(init_enodev_exit);
MODULE_LICENSE("GPL");
