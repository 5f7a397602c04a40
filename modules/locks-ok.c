// SPDX-License-Identifier: GPL-2.0
/* Every kind of lock, nested in one order by two threads and a timer: correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/semaphore.h>
#include <linux/spinlock.h>
#include <linux/timer.h>

static DEFINE_MUTEX(outer);
static DECLARE_RWSEM(middle);
static DEFINE_SEMAPHORE(gate);
static DEFINE_SPINLOCK(inner);
static DEFINE_RWLOCK(table);
static int shared;
static struct task_struct *threads[2];

static int work(void *data)
{
	while (!kthread_should_stop()) {
		if (mutex_lock_interruptible(&outer))
			continue;
		down_write(&middle);
		spin_lock_bh(&inner);
		shared++;
		spin_unlock_bh(&inner);
		downgrade_write(&middle);
		up_read(&middle);
		mutex_unlock(&outer);
		if (!down_trylock(&gate))
			up(&gate);
		read_lock_bh(&table);
		read_unlock_bh(&table);
		schedule_timeout_interruptible(HZ / 20);
	}
	return 0;
}

static void tick(struct timer_list *t)
{
	spin_lock(&inner);
	shared--;
	spin_unlock(&inner);
	if (write_trylock(&table))
		write_unlock(&table);
	mod_timer(t, jiffies + HZ / 10);
}

static DEFINE_TIMER(ticker, tick);

static int __init locks_ok_init(void)
{
	unsigned long flags;
	int n;

	spin_lock_irqsave(&inner, flags);
	shared = 100;
	spin_unlock_irqrestore(&inner, flags);
	for (n = 0; n < 2; n++) {
		threads[n] = kthread_run(work, NULL, "locker/%d", n);
		if (IS_ERR(threads[n])) {
			int ret = PTR_ERR(threads[n]);

			while (n--)
				kthread_stop(threads[n]);
			return ret;
		}
	}
	mod_timer(&ticker, jiffies + HZ / 10);
	return 0;
}

static void __exit locks_ok_exit(void)
{
	del_timer_sync(&ticker);
	kthread_stop(threads[0]);
	kthread_stop(threads[1]);
}

module_init(locks_ok_init);
module_exit(locks_ok_exit);
MODULE_LICENSE("GPL");
