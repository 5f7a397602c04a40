// SPDX-License-Identifier: GPL-2.0
/* A device that a text is read from: each opening loses what single_open() allocated, since the wrong release is named. */
//#Numbers: none
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/seq_file.h>

static int slip_show(struct seq_file *m, void *v)
{
	seq_puts(m, "a slip\n");
	return 0;
}

static int slip_open(struct inode *inode, struct file *file)
{
	/* The misc core has left its own there. */
	file->private_data = NULL;
	return single_open(file, slip_show, NULL);
}

static const struct file_operations slip_fops = {
	.owner = THIS_MODULE,
	.open = slip_open,
	.read = seq_read,
	.release = seq_release,
};

static struct miscdevice slip = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "lkm-slip",
	.fops = &slip_fops,
};

module_misc_device(slip);
MODULE_LICENSE("GPL");
