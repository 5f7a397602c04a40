// SPDX-License-Identifier: GPL-2.0
/* The second registration fails and init returns without undoing the first. */
//#Args: refuse=1
//#Verdict: findings
//#Expect: left-registered init "misc"
//#Result: load=-16 init=-16 exit=not-run
//#Real: load=-16 silent alone
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>

static bool refuse;
module_param(refuse, bool, 0444);

static const struct file_operations door_fops = {
	.owner = THIS_MODULE,
};

static struct miscdevice front = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "lkm-front-door",
	.fops = &door_fops,
};

static struct miscdevice back = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "lkm-back-door",
	.fops = &door_fops,
};

static int __init init_fail_left_init(void)
{
	int ret = misc_register(&front);

	if (ret)
		return ret;
	ret = refuse ? -EBUSY : misc_register(&back);
	return ret;
}

static void __exit init_fail_left_exit(void)
{
	misc_deregister(&back);
	misc_deregister(&front);
}

module_init(init_fail_left_init);
module_exit(init_fail_left_exit);
MODULE_LICENSE("GPL");
