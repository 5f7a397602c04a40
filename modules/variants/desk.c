// SPDX-License-Identifier: GPL-2.0
/*
 * A device whose system calls go wrong in ways that show when they return, or never do: ioctl 0 leaves a mutex
 * locked, ioctl 1 dies; each opening of the note loses what single_open() allocated.
 */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>

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

static int note_show(struct seq_file *m, void *v)
{
	seq_puts(m, "a note\n");
	return 0;
}

static int note_open(struct inode *inode, struct file *file)
{
	/* The misc core has left its own there. */
	file->private_data = NULL;
	return single_open(file, note_show, NULL);
}

static const struct file_operations note_fops = {
	.owner = THIS_MODULE,
	.open = note_open,
	.read = seq_read,
	.release = seq_release,
};

static struct miscdevice note = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "lkm-note",
	.fops = &note_fops,
};

static int __init desk_init(void)
{
	int err = misc_register(&desk);

	if (err)
		return err;
	err = misc_register(&note);
	if (err)
		misc_deregister(&desk);
	return err;
}

static void __exit desk_exit(void)
{
	misc_deregister(&note);
	misc_deregister(&desk);
}

module_init(desk_init);
module_exit(desk_exit);
MODULE_LICENSE("GPL");
