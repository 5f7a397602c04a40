// SPDX-License-Identifier: GPL-2.0
/* A misc device with read and write, taken down in reverse order: correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
//#Numbers: 128 -> 200
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#define ROOM 128

static char *store;
static size_t used;
static DEFINE_MUTEX(store_lock);

static ssize_t jar_read(struct file *file, char __user *buf, size_t len, loff_t *pos)
{
	ssize_t ret;

	mutex_lock(&store_lock);
	ret = simple_read_from_buffer(buf, len, pos, store, used);
	mutex_unlock(&store_lock);
	return ret;
}

static ssize_t jar_write(struct file *file, const char __user *buf, size_t len, loff_t *pos)
{
	ssize_t ret;

	mutex_lock(&store_lock);
	ret = simple_write_to_buffer(store, ROOM, pos, buf, len);
	if (ret > 0)
		used = *pos;
	mutex_unlock(&store_lock);
	return ret;
}

static const struct file_operations jar_fops = {
	.owner = THIS_MODULE,
	.read = jar_read,
	.write = jar_write,
	.llseek = default_llseek,
};

static struct miscdevice jar = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "lkm-jar",
	.fops = &jar_fops,
	.mode = 0600,
};

static int __init misc_ok_init(void)
{
	int ret;

	store = kzalloc(ROOM, GFP_KERNEL);
	if (!store)
		return -ENOMEM;
	ret = misc_register(&jar);
	if (ret)
		kfree(store);
	return ret;
}

static void __exit misc_ok_exit(void)
{
	misc_deregister(&jar);
	kfree(store);
}

module_init(misc_ok_init);
module_exit(misc_ok_exit);
MODULE_LICENSE("GPL");
