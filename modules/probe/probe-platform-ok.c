// SPDX-License-Identifier: GPL-2.0
/* A platform driver with memory, an interrupt and a timer, all given back by remove: correct. */
//#Options: --probe
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/err.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/mod_devicetable.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/timer.h>

struct unit {
	void __iomem *registers;
	struct timer_list tick;
	int irq;
};

static irqreturn_t unit_irq(int irq, void *data)
{
	return IRQ_HANDLED;
}

static void unit_tick(struct timer_list *t)
{
	mod_timer(t, jiffies + HZ);
}

static int unit_probe(struct platform_device *pdev)
{
	struct unit *unit = kzalloc(sizeof(*unit), GFP_KERNEL);
	int error;

	if (!unit)
		return -ENOMEM;
	unit->registers = devm_platform_ioremap_resource(pdev, 0);
	if (IS_ERR(unit->registers)) {
		error = PTR_ERR(unit->registers);
		goto free;
	}
	unit->irq = platform_get_irq(pdev, 0);
	if (unit->irq < 0) {
		error = unit->irq;
		goto free;
	}
	error = request_irq(unit->irq, unit_irq, 0, "lkm-unit", unit);
	if (error)
		goto free;
	writel(1, unit->registers + 0x10);
	if (readl(unit->registers + 0x10) != 1) {
		error = -EIO;
		goto irq;
	}
	timer_setup(&unit->tick, unit_tick, 0);
	mod_timer(&unit->tick, jiffies + HZ);
	platform_set_drvdata(pdev, unit);
	return 0;
irq:
	free_irq(unit->irq, unit);
free:
	kfree(unit);
	return error;
}

static int unit_remove(struct platform_device *pdev)
{
	struct unit *unit = platform_get_drvdata(pdev);

	free_irq(unit->irq, unit);
	del_timer_sync(&unit->tick);
	kfree(unit);
	return 0;
}

static const struct platform_device_id unit_ids[] = { { "lkm-unit-a" }, { "lkm-unit-b" }, { } };
MODULE_DEVICE_TABLE(platform, unit_ids);

static struct platform_driver unit_driver = {
	.probe = unit_probe,
	.remove = unit_remove,
	.id_table = unit_ids,
	.driver = { .name = "lkm-unit" },
};
module_platform_driver(unit_driver);
MODULE_DESCRIPTION("a driver that gives everything back");
MODULE_LICENSE("GPL");
