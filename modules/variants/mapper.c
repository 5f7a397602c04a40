// SPDX-License-Identifier: GPL-2.0
/*
 * A misc device whose file can be mapped; what is wrong with it is chosen by `how`.
 *
 * how=fault    pages by the fault handler, an object for each mapping that close gives back: correct
 *     open     the same, and close forgets the object
 *     noget    the fault handler gives its page away without taking a reference
 *     number   a page by its frame number, which a write to the device frees while it is mapped
 *     nothing  mmap succeeds and puts nothing there
 *     null     the fault handler answers success without a page
 */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
//#Numbers: ROOM 2 -> ROOM 3, 32 -> 40, 8 -> 12, 7 -> 11
//#Fixed: 16 the bytes that a read gives: scripts show them all
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

static char *how = "fault";
module_param(how, charp, 0444);

#define ROOM 2

static struct page *pages[ROOM];
static unsigned long number;
static int live;

static bool is(const char *what)
{
	return !strcmp(how, what);
}

static void mapper_open(struct vm_area_struct *vma)
{
	vma->vm_private_data = kmalloc(32, GFP_KERNEL);
	pr_info("mapper: %d mapped\n", ++live);
}

static void mapper_close(struct vm_area_struct *vma)
{
	if (!is("open"))
		kfree(vma->vm_private_data);
	pr_info("mapper: %d mapped\n", --live);
}

static vm_fault_t mapper_fault(struct vm_fault *vmf)
{
	pr_info("mapper: fault at page %lu\n", vmf->pgoff);
	if (is("null"))
		return 0;
	if (vmf->pgoff >= ROOM)
		return VM_FAULT_SIGBUS;
	vmf->page = pages[vmf->pgoff];
	if (!is("noget"))
		get_page(vmf->page);
	return 0;
}

static const struct vm_operations_struct mapper_ops = {
	.open = mapper_open,
	.close = mapper_close,
	.fault = mapper_fault,
};

static int mapper_mmap(struct file *file, struct vm_area_struct *vma)
{
	if (is("nothing"))
		return 0;
	if (is("number"))
		return remap_pfn_range(vma, vma->vm_start, virt_to_phys((void *)number) >> PAGE_SHIFT,
				       PAGE_SIZE, vma->vm_page_prot);
	vma->vm_ops = &mapper_ops;
	mapper_open(vma);
	return 0;
}

static ssize_t mapper_read(struct file *file, char __user *buf, size_t len, loff_t *pos)
{
	return simple_read_from_buffer(buf, len, pos, page_address(pages[0]), 16);
}

static ssize_t mapper_write(struct file *file, const char __user *buf, size_t len, loff_t *pos)
{
	free_page(number);
	number = 0;
	return len;
}

/* Copies from the address that it is given: a mapping, perhaps. */
static long mapper_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	char text[8] = "";

	if (copy_from_user(text, (void __user *)arg, 7))
		return -EFAULT;
	pr_info("mapper: told %s\n", text);
	return 0;
}

static const struct file_operations mapper_fops = {
	.owner = THIS_MODULE,
	.mmap = mapper_mmap,
	.read = mapper_read,
	.write = mapper_write,
	.unlocked_ioctl = mapper_ioctl,
};

static struct miscdevice mapper_dev = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "lkm-mapper",
	.fops = &mapper_fops,
};

static void give_back(void)
{
	int n;

	for (n = 0; n < ROOM; n++)
		if (pages[n])
			__free_page(pages[n]);
	free_page(number);
}

static int __init mapper_init(void)
{
	int n, ret = -ENOMEM;

	number = get_zeroed_page(GFP_KERNEL);
	if (!number)
		goto out;
	for (n = 0; n < ROOM; n++) {
		pages[n] = alloc_page(GFP_KERNEL | __GFP_ZERO);
		if (!pages[n])
			goto out;
	}
	ret = misc_register(&mapper_dev);
	if (!ret)
		return 0;
out:
	give_back();
	return ret;
}

static void __exit mapper_exit(void)
{
	misc_deregister(&mapper_dev);
	give_back();
}

module_init(mapper_init);
module_exit(mapper_exit);
MODULE_DESCRIPTION("A misc device that can be mapped");
MODULE_LICENSE("GPL");
