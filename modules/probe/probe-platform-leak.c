// SPDX-License-Identifier: GPL-2.0
/* A platform driver whose remove forgets what its probe has allocated: seen only with a device. */
//#Options: --probe
//#Verdict: findings
//#Expect: memory-leak "cell_probe"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/slab.h>

static int cell_probe(struct platform_device *pdev)
{
	void *cell = kzalloc(96, GFP_KERNEL);

	if (!cell)
		return -ENOMEM;
	platform_set_drvdata(pdev, cell);
	return 0;
}

static struct platform_driver cell_driver = {
	.probe = cell_probe,
	.driver = { .name = "lkm-cell" },
};
module_platform_driver(cell_driver);
MODULE_DESCRIPTION("leaks one allocation for each device");
MODULE_LICENSE("GPL");
