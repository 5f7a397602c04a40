// SPDX-License-Identifier: GPL-2.0
/* Init fails at the step that a parameter names, and undoes exactly what it did: correct. */
//#Args: fail_at=3
//#Verdict: clean
//#Result: load=-5 init=-5 exit=not-run
//#Real: load=-5 silent
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/timer.h>

static int fail_at;
module_param(fail_at, int, 0444);

static const struct file_operations step_fops = {
	.owner = THIS_MODULE,
};

static struct miscdevice step_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "lkm-step",
	.fops = &step_fops,
};

static void step_fn(struct timer_list *t)
{
}

static DEFINE_TIMER(step_timer, step_fn);
static struct dentry *step_dir;
static void *step_memory;

static int __init init_fail_ok_init(void)
{
	int ret = -EIO;

	step_memory = kzalloc(512, GFP_KERNEL);
	if (!step_memory)
		return -ENOMEM;
	if (fail_at == 1)
		goto free;
	step_dir = debugfs_create_dir("lkm-step", NULL);
	mod_timer(&step_timer, jiffies + HZ);
	if (fail_at == 2)
		goto stop;
	ret = misc_register(&step_device);
	if (ret)
		goto stop;
	if (fail_at != 3)
		return 0;
	ret = -EIO;
	misc_deregister(&step_device);
stop:
	del_timer_sync(&step_timer);
	debugfs_remove(step_dir);
free:
	kfree(step_memory);
	return ret;
}

static void __exit init_fail_ok_exit(void)
{
	misc_deregister(&step_device);
	del_timer_sync(&step_timer);
	debugfs_remove(step_dir);
	kfree(step_memory);
}

module_init(init_fail_ok_init);
module_exit(init_fail_ok_exit);
MODULE_LICENSE("GPL");
