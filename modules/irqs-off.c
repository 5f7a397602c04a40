// SPDX-License-Identifier: GPL-2.0
/* Init returns with interrupts disabled. */
//#Verdict: findings
//#Expect: context-imbalance init
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 log "disabled interrupts"
#include <linux/irqflags.h>
#include <linux/module.h>

static int calibrated;

static int __init irqs_off_init(void)
{
	local_irq_disable();
	calibrated = 1;
	return 0;
}

static void __exit irqs_off_exit(void)
{
}

module_init(irqs_off_init);
module_exit(irqs_off_exit);
MODULE_LICENSE("GPL");
