// SPDX-License-Identifier: GPL-2.0
/* A thread reads a table that was freed with the init section. */
//#Verdict: findings
//#Expect: init-section-use use
//#May: oops
//#May: kthread-stop-after-exit
//#Result: load=0 init=0
//#Real: unsafe
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>

static int gains[8] __initdata = { 1, 2, 4, 8, 16, 32, 64, 128 };
static int *table;
static struct task_struct *mixer;

static int mix(void *data)
{
	int n = 0;

	while (!kthread_should_stop()) {
		msleep_interruptible(1000);
		pr_debug("gain %d\n", READ_ONCE(table[n++ & 7]));
		barrier();
		WRITE_ONCE(n, n + table[n & 7]);
	}
	return n;
}

static int __init init_data_late_init(void)
{
	table = gains;
	mixer = kthread_run(mix, NULL, "mixer");
	return PTR_ERR_OR_ZERO(mixer);
}

static void __exit init_data_late_exit(void)
{
	kthread_stop(mixer);
}

module_init(init_data_late_init);
module_exit(init_data_late_exit);
MODULE_LICENSE("GPL");
