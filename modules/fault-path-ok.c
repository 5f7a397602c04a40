// SPDX-License-Identifier: GPL-2.0
/* Eight acquisitions of different kinds, each with its way out, also out of a loop: correct whatever fails. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/proc_fs.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#define PARTS 4

static const struct file_operations none = { .owner = THIS_MODULE };
static struct miscdevice door = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "fault-path-ok",
	.fops = &none,
};
static void *parts[PARTS];
static struct kmem_cache *cells;
static void *cell;
static struct workqueue_struct *staff;
static struct platform_device *house;
static struct task_struct *guard;
static struct proc_dir_entry *plate;

static int watch(void *data)
{
	while (!kthread_should_stop())
		schedule_timeout_interruptible(HZ);
	return 0;
}

static int __init fault_path_ok_init(void)
{
	int err = -ENOMEM, i;

	for (i = 0; i < PARTS; i++) {
		parts[i] = kzalloc(64 << i, GFP_KERNEL);
		if (!parts[i])
			goto free_parts;
	}
	cells = kmem_cache_create("fault-path-ok", 48, 0, 0, NULL);
	if (!cells)
		goto free_parts;
	cell = kmem_cache_alloc(cells, GFP_KERNEL);
	if (!cell)
		goto destroy_cache;
	staff = alloc_workqueue("fault-path-ok", 0, 0);
	if (!staff)
		goto free_cell;
	plate = proc_mkdir("fault-path-ok", NULL);
	if (!plate)
		goto dismiss;
	house = platform_device_alloc("fault-path-ok", PLATFORM_DEVID_NONE);
	if (!house)
		goto remove_plate;
	err = platform_device_add(house);
	if (err) {
		platform_device_put(house);
		goto remove_plate;
	}
	err = misc_register(&door);
	if (err)
		goto unregister;
	guard = kthread_run(watch, NULL, "fault-path-ok");
	if (IS_ERR(guard)) {
		err = PTR_ERR(guard);
		goto deregister;
	}
	return 0;
deregister:
	misc_deregister(&door);
unregister:
	platform_device_unregister(house);
remove_plate:
	proc_remove(plate);
dismiss:
	destroy_workqueue(staff);
free_cell:
	kmem_cache_free(cells, cell);
destroy_cache:
	kmem_cache_destroy(cells);
free_parts:
	for (i = 0; i < PARTS; i++)
		kfree(parts[i]);
	return err;
}

static void __exit fault_path_ok_exit(void)
{
	int i;

	kthread_stop(guard);
	misc_deregister(&door);
	platform_device_unregister(house);
	proc_remove(plate);
	destroy_workqueue(staff);
	kmem_cache_free(cells, cell);
	kmem_cache_destroy(cells);
	for (i = 0; i < PARTS; i++)
		kfree(parts[i]);
}

module_init(fault_path_ok_init);
module_exit(fault_path_ok_exit);
MODULE_LICENSE("GPL");
