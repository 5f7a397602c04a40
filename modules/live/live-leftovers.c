// SPDX-License-Identifier: GPL-2.0
/* Faults in init after it has registered a notifier, a device and a timer. */
//#Verdict: findings
//#Expect: oops init at live_leftovers_init
//#May: wedged-module
//#May: left-registered
//#May: left-running
//#Result: load=null init=null exit=not-run
//#Real: unsafe
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/timer.h>

static int left_event(struct notifier_block *nb, unsigned long event, void *data)
{
	return NOTIFY_OK;
}
static struct notifier_block left_nb = { .notifier_call = left_event };

static const struct file_operations left_fops = { .owner = THIS_MODULE };
static struct miscdevice left_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "live_leftovers",
	.fops = &left_fops,
};

static void left_tick(struct timer_list *unused)
{
}
static DEFINE_TIMER(left_timer, left_tick);

static int __init live_leftovers_init(void)
{
	int err = register_netdevice_notifier(&left_nb);

	if (err)
		return err;
	err = misc_register(&left_misc);
	if (err)
		return err;
	mod_timer(&left_timer, jiffies + 3600 * HZ);
	*(volatile int *)16 = 1;
	return 0;
}

static void __exit live_leftovers_exit(void)
{
	del_timer_sync(&left_timer);
	misc_deregister(&left_misc);
	unregister_netdevice_notifier(&left_nb);
}

module_init(live_leftovers_init);
module_exit(live_leftovers_exit);
MODULE_LICENSE("GPL");
