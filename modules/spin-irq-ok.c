// SPDX-License-Identifier: GPL-2.0
/* One lock shared by a high-resolution timer, a tasklet and a process, each taking it as it must: correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/spinlock.h>

static DEFINE_SPINLOCK(state_lock);
static unsigned int fired, drained;
static struct hrtimer source;

static void drain(struct tasklet_struct *t)
{
	unsigned long flags;

	spin_lock_irqsave(&state_lock, flags);
	drained = fired;
	spin_unlock_irqrestore(&state_lock, flags);
}

static DECLARE_TASKLET(drainer, drain);

static enum hrtimer_restart fire(struct hrtimer *timer)
{
	spin_lock(&state_lock);
	fired++;
	spin_unlock(&state_lock);
	tasklet_schedule(&drainer);
	hrtimer_forward_now(timer, ms_to_ktime(40));
	return HRTIMER_RESTART;
}

static int __init spin_irq_ok_init(void)
{
	hrtimer_init(&source, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
	source.function = fire;
	hrtimer_start(&source, ms_to_ktime(40), HRTIMER_MODE_REL);
	spin_lock_irq(&state_lock);
	drained = 0;
	spin_unlock_irq(&state_lock);
	return 0;
}

static void __exit spin_irq_ok_exit(void)
{
	hrtimer_cancel(&source);
	tasklet_kill(&drainer);
	pr_info("%u of %u\n", drained, fired);
}

module_init(spin_irq_ok_init);
module_exit(spin_irq_ok_exit);
MODULE_LICENSE("GPL");
