// SPDX-License-Identifier: GPL-2.0
/* Init ends with a registration whose answer it returns: when that fails, what came before stays registered. */
//#Verdict: findings
//#Expect: left-registered init at init_tail_left_init "lkm-ticket"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/platform_device.h>

static const struct file_operations window_fops = { .owner = THIS_MODULE };

static struct miscdevice window = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "lkm-window",
	.fops = &window_fops,
};

static struct platform_driver ticket = {
	.driver = { .name = "lkm-ticket" },
};

static int __init init_tail_left_init(void)
{
	int ret = platform_driver_register(&ticket);

	if (ret)
		return ret;
	return misc_register(&window);
}

static void __exit init_tail_left_exit(void)
{
	misc_deregister(&window);
	platform_driver_unregister(&ticket);
}

module_init(init_tail_left_init);
module_exit(init_tail_left_exit);
MODULE_LICENSE("GPL");
