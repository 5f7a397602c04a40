// SPDX-License-Identifier: GPL-2.0
/* A shared interrupt line requested and freed: correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/interrupt.h>
#include <linux/module.h>

static int cookie;

static irqreturn_t handle(int irq, void *dev)
{
	return IRQ_NONE;
}

static int __init irq_ok_init(void)
{
	return request_irq(7, handle, IRQF_SHARED, "lkm-irq-ok", &cookie);
}

static void __exit irq_ok_exit(void)
{
	free_irq(7, &cookie);
}

module_init(irq_ok_init);
module_exit(irq_ok_exit);
MODULE_LICENSE("GPL");
