// SPDX-License-Identifier: GPL-2.0
/* Where adding an object failed it is freed by hand: its name is lost, which only its last put frees. */
//#Verdict: findings
//#Expect: memory-leak init "the name of an object"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/slab.h>

struct shelf {
	struct kobject kobj;
	int books;
};

static struct shelf *shelf;

static void shelf_release(struct kobject *kobj)
{
	kfree(container_of(kobj, struct shelf, kobj));
}

static struct kobj_type shelf_type = {
	.release = shelf_release,
	.sysfs_ops = &kobj_sysfs_ops,
};

static int __init kobject_freed_init(void)
{
	int err;

	shelf = kzalloc(sizeof(*shelf), GFP_KERNEL);
	if (!shelf)
		return -ENOMEM;
	err = kobject_init_and_add(&shelf->kobj, &shelf_type, kernel_kobj, "lkm-shelf");
	if (err)
		kfree(shelf);
	return err;
}

static void __exit kobject_freed_exit(void)
{
	kobject_put(&shelf->kobj);
}

module_init(kobject_freed_init);
module_exit(kobject_freed_exit);
MODULE_LICENSE("GPL");
