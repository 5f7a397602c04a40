// SPDX-License-Identifier: GPL-2.0
/*
 * A device whose system calls go wrong in ways that show when they return, or never do: ioctl 0 leaves a mutex
 * locked, ioctl 1 dies.
 */
//#Numbers: none
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>

static DEFINE_MUTEX(drawer);

static long desk_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	if (cmd)
		*(volatile int *)arg = 1;
	mutex_lock(&drawer);
	return 0;
}

static const struct file_operations desk_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = desk_ioctl,
};

static struct miscdevice desk = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "lkm-desk",
	.fops = &desk_fops,
};

module_misc_device(desk);
MODULE_LICENSE("GPL");
