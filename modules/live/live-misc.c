// SPDX-License-Identifier: GPL-2.0
/* A misc device that can be opened and mapped, and pins its module as long as it is. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>

static unsigned long page;

static int live_mmap(struct file *file, struct vm_area_struct *vma)
{
	return vm_insert_page(vma, vma->vm_start, virt_to_page((void *)page));
}

static const struct file_operations live_fops = {
	.owner = THIS_MODULE,
	.mmap = live_mmap,
};

static struct miscdevice live_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "live_misc",
	.fops = &live_fops,
};

static int __init live_misc_init(void)
{
	int err;

	page = get_zeroed_page(GFP_KERNEL);
	if (!page)
		return -ENOMEM;
	err = misc_register(&live_misc);
	if (err)
		free_page(page);
	return err;
}

static void __exit live_misc_exit(void)
{
	misc_deregister(&live_misc);
	free_page(page);
}

module_init(live_misc_init);
module_exit(live_misc_exit);
MODULE_LICENSE("GPL");
