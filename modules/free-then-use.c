// SPDX-License-Identifier: GPL-2.0
/* A timer callback writes into an object that the thread freed before. */
//#Verdict: findings
//#Expect: use-after-free use "tally"
//#May: oops
//#Result: load=0 init=0
//#Real: unsafe
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/timer.h>

struct account {
	unsigned long sum;
	unsigned long visits;
};

static struct account *account;
static struct task_struct *closer;

static void tally(struct timer_list *t)
{
	account->sum += 3;
	WRITE_ONCE(account->visits, account->visits + 1);
	mod_timer(t, jiffies + HZ);
}

static DEFINE_TIMER(tallier, tally);

static int close_account(void *data)
{
	msleep(3500);
	kfree(account);
	while (!kthread_should_stop())
		msleep_interruptible(1000);
	return 0;
}

static int __init free_then_use_init(void)
{
	account = kzalloc(sizeof(*account), GFP_KERNEL);
	if (!account)
		return -ENOMEM;
	closer = kthread_run(close_account, NULL, "closer");
	if (IS_ERR(closer)) {
		kfree(account);
		return PTR_ERR(closer);
	}
	mod_timer(&tallier, jiffies + HZ);
	return 0;
}

static void __exit free_then_use_exit(void)
{
	del_timer_sync(&tallier);
	kthread_stop(closer);
}

module_init(free_then_use_init);
module_exit(free_then_use_exit);
MODULE_LICENSE("GPL");
