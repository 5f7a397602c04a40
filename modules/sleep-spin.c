// SPDX-License-Identifier: GPL-2.0
/* A sleep while a spin lock is held. */
//#Verdict: findings
//#Expect: sleep-in-atomic
//#Real: unsafe
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/spinlock.h>

static DEFINE_SPINLOCK(port_lock);
static struct task_struct *thread;

static noinline void settle(void)
{
	msleep(10);
}

static int program_port(void *data)
{
	while (!kthread_should_stop()) {
		spin_lock(&port_lock);
		settle();
		spin_unlock(&port_lock);
		schedule_timeout_interruptible(HZ);
	}
	return 0;
}

static int __init sleep_spin_init(void)
{
	thread = kthread_run(program_port, NULL, "port");
	return PTR_ERR_OR_ZERO(thread);
}

static void __exit sleep_spin_exit(void)
{
	kthread_stop(thread);
}

module_init(sleep_spin_init);
module_exit(sleep_spin_exit);
MODULE_LICENSE("GPL");
