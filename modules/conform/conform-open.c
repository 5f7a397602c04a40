// SPDX-License-Identifier: GPL-2.0
/*
 * What an open device file holds: a character device whose cdev and operations both name the module takes two
 * references, a misc device one; a refused open none. The release comes when the loading process goes back to
 * user mode, so that the last word is exit's.
 */
//#Conforms: filp_open filp_close misc_register misc_deregister __register_chrdev
//#Conforms: __unregister_chrdev device_create device_destroy __class_create class_destroy
//#Conforms: module_refcount
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/device.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kdev_t.h>
#include <linux/miscdevice.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include "check.h"

static int opened, released, refuse;

static int node_open(struct inode *inode, struct file *file)
{
	if (refuse)
		return -EPERM;
	opened++;
	return file_inode(file) == inode ? 0 : -ENXIO;
}

static int node_release(struct inode *inode, struct file *file)
{
	released++;
	return 0;
}

static const struct file_operations node_fops = {
	.owner = THIS_MODULE,
	.open = node_open,
	.release = node_release,
	.llseek = no_llseek,
};

static struct miscdevice box = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "lkm-conform-box",
	.fops = &node_fops,
};

static int misc_open_close(void)
{
	int before = module_refcount(THIS_MODULE);
	struct file *file = filp_open("/dev/lkm-conform-box", O_RDONLY, 0);

	CHECK(!IS_ERR(file) && opened == 1);
	CHECK(module_refcount(THIS_MODULE) == before + 1);
	CHECK(file->private_data == &box && file->f_op == &node_fops);
	CHECK(vfs_llseek(file, 0, SEEK_SET) == -ESPIPE);
	get_file(file);
	fput(file);
	CHECK(!filp_close(file, NULL) && !released);
	refuse = 1;
	CHECK(filp_open("/dev/lkm-conform-box", O_RDONLY, 0) == ERR_PTR(-EPERM));
	refuse = 0;
	CHECK(opened == 1 && module_refcount(THIS_MODULE) >= before);
	return 0;
}

static int chrdev_open_close(int major)
{
	int before = module_refcount(THIS_MODULE);
	struct file *file = filp_open("/dev/lkm-conform-node", O_RDONLY, 0);

	CHECK(!IS_ERR(file) && opened == 2);
	/* cdev owner and f_op owner; what the misc file held may still be there. */
	CHECK(module_refcount(THIS_MODULE) == before + 2);
	CHECK(imajor(file_inode(file)) == major && S_ISCHR(file_inode(file)->i_mode));
	CHECK(!filp_close(file, NULL) && !released);
	return 0;
}

static int check_open(void)
{
	struct file *null = filp_open("/dev/null", O_RDONLY, 0);
	struct class *class;
	int major, ret;

	/* No devtmpfs is mounted: there are no nodes to open. */
	if (IS_ERR(null))
		return 0;
	filp_close(null, NULL);
	CHECK(!misc_register(&box));
	ret = misc_open_close();
	misc_deregister(&box);
	if (ret)
		return ret;
	major = register_chrdev(0, "lkm-conform-node", &node_fops);
	CHECK(major > 0);
	class = class_create(THIS_MODULE, "lkm-conform-open");
	CHECK(!IS_ERR(class));
	CHECK(!IS_ERR(device_create(class, NULL, MKDEV(major, 2), NULL, "lkm-conform-node")));
	ret = chrdev_open_close(major);
	device_destroy(class, MKDEV(major, 2));
	class_destroy(class);
	unregister_chrdev(major, "lkm-conform-node");
	return ret;
}

CHECKS(check_open);
