// SPDX-License-Identifier: GPL-2.0
/* A reboot notifier stays: nothing shows before the machine is switched off. */
//#Verdict: findings
//#Expect: left-registered "notifier"
//#Result: load=0 init=0 exit=done
//#Real: unsafe
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/reboot.h>

static int on_reboot(struct notifier_block *nb, unsigned long code, void *unused)
{
	pr_info("down with code %lu\n", code);
	return NOTIFY_DONE;
}

static struct notifier_block reboot_watch = { .notifier_call = on_reboot, .priority = 1 };

static int __init reboot_notifier_left_init(void)
{
	return register_reboot_notifier(&reboot_watch);
}

static void __exit reboot_notifier_left_exit(void)
{
}

module_init(reboot_notifier_left_init);
module_exit(reboot_notifier_left_exit);
MODULE_LICENSE("GPL");
