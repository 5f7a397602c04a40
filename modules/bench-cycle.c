// SPDX-License-Identifier: GPL-2.0
/* What the benchmark loads and unloads: four allocations, a misc device and a thread. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>

#define PARTS 4

static const struct file_operations none = { .owner = THIS_MODULE };
static struct miscdevice door = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "bench-cycle",
	.fops = &none,
};
static void *parts[PARTS];
static struct task_struct *guard;

static int watch(void *data)
{
	while (!kthread_should_stop())
		schedule_timeout_interruptible(MAX_SCHEDULE_TIMEOUT);
	return 0;
}

static int __init bench_cycle_init(void)
{
	int err = -ENOMEM, i;

	for (i = 0; i < PARTS; i++) {
		parts[i] = kzalloc(64 << i, GFP_KERNEL);
		if (!parts[i])
			goto free;
	}
	err = misc_register(&door);
	if (err)
		goto free;
	guard = kthread_run(watch, NULL, "bench-cycle");
	if (IS_ERR(guard)) {
		err = PTR_ERR(guard);
		misc_deregister(&door);
		goto free;
	}
	return 0;
free:
	for (i = 0; i < PARTS; i++)
		kfree(parts[i]);
	return err;
}

static void __exit bench_cycle_exit(void)
{
	int i;

	kthread_stop(guard);
	misc_deregister(&door);
	for (i = 0; i < PARTS; i++)
		kfree(parts[i]);
}

module_init(bench_cycle_init);
module_exit(bench_cycle_exit);
MODULE_LICENSE("GPL");
