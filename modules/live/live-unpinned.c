// SPDX-License-Identifier: GPL-2.0
/* An interrupt, two timers and a notifier: none of them pins the module, all point into it. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/module.h>
#include <linux/reboot.h>
#include <linux/timer.h>

static int irq = 7;
module_param(irq, int, 0444);

static irqreturn_t live_unpinned_irq(int number, void *data)
{
	return IRQ_NONE;
}

static void live_unpinned_tick(struct timer_list *unused)
{
}
static DEFINE_TIMER(live_unpinned_timer, live_unpinned_tick);

static struct hrtimer live_unpinned_hrtimer;

static enum hrtimer_restart live_unpinned_alarm(struct hrtimer *unused)
{
	return HRTIMER_NORESTART;
}

static int live_unpinned_reboot(struct notifier_block *nb, unsigned long event, void *data)
{
	return NOTIFY_DONE;
}
static struct notifier_block live_unpinned_nb = { .notifier_call = live_unpinned_reboot };

static int __init live_unpinned_init(void)
{
	int err = request_irq(irq, live_unpinned_irq, IRQF_SHARED, "live_unpinned",
			      &live_unpinned_nb);

	if (err)
		return err;
	register_reboot_notifier(&live_unpinned_nb);
	hrtimer_init(&live_unpinned_hrtimer, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
	live_unpinned_hrtimer.function = live_unpinned_alarm;
	hrtimer_start(&live_unpinned_hrtimer, ktime_set(3600, 0), HRTIMER_MODE_REL);
	mod_timer(&live_unpinned_timer, jiffies + 3600 * HZ);
	return 0;
}

static void __exit live_unpinned_exit(void)
{
	hrtimer_cancel(&live_unpinned_hrtimer);
	del_timer_sync(&live_unpinned_timer);
	unregister_reboot_notifier(&live_unpinned_nb);
	free_irq(irq, &live_unpinned_nb);
}

module_init(live_unpinned_init);
module_exit(live_unpinned_exit);
MODULE_LICENSE("GPL");
