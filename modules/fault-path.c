// SPDX-License-Identifier: GPL-2.0
/* The way out behind the third acquisition forgets the second: seen only when the third fails. */
//#Verdict: findings
//#Expect: left-registered init at fault_path_init "made to fail"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

static const struct file_operations none = { .owner = THIS_MODULE };
static struct miscdevice door = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "fault-path",
	.fops = &none,
};
static void *room;
static struct workqueue_struct *staff;

static int __init fault_path_init(void)
{
	int err = -ENOMEM;

	room = kzalloc(200, GFP_KERNEL);
	if (!room)
		return -ENOMEM;
	err = misc_register(&door);
	if (err)
		goto free;
	staff = alloc_workqueue("fault-path", 0, 0);
	if (!staff) {
		err = -ENOMEM;
		goto free;
	}
	return 0;
free:
	kfree(room);
	return err;
}

static void __exit fault_path_exit(void)
{
	destroy_workqueue(staff);
	misc_deregister(&door);
	kfree(room);
}

module_init(fault_path_init);
module_exit(fault_path_exit);
MODULE_LICENSE("GPL");
