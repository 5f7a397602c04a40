// SPDX-License-Identifier: GPL-2.0
/* The interrupt handler is not freed. */
//#Verdict: findings
//#Expect: left-running "irq"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/interrupt.h>
#include <linux/module.h>

static int cookie;

static irqreturn_t handle(int irq, void *dev)
{
	return IRQ_NONE;
}

static int __init irq_left_init(void)
{
	return request_irq(5, handle, IRQF_SHARED, "lkm-irq", &cookie);
}

static void __exit irq_left_exit(void)
{
}

module_init(irq_left_init);
module_exit(irq_left_exit);
MODULE_LICENSE("GPL");
