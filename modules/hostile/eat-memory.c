// SPDX-License-Identifier: GPL-2.0
/* Allocates and touches memory without end, and threads with it. */
//#Hostile: told
//#Real: unsafe
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

static int idle(void *data)
{
	while (!kthread_should_stop())
		schedule_timeout_interruptible(HZ);
	return 0;
}

static int __init eat_memory_init(void)
{
	unsigned long got = 0;

	for (;;) {
		void *p = vmalloc(16 << 20);

		if (!p)
			break;
		memset(p, 0xee, 16 << 20);
		got += 16;
		kthread_run(idle, NULL, "eater/%lu", got);
	}
	pr_info("ate %lu MiB\n", got);
	return -ENOMEM;
}

static void __exit eat_memory_exit(void)
{
}

module_init(eat_memory_init);
module_exit(eat_memory_exit);
MODULE_LICENSE("GPL");
