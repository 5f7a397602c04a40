// SPDX-License-Identifier: GPL-2.0
/* A platform device and driver with probe, remove and managed memory: correct. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/device.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/platform_device.h>

static struct platform_device *unit;
static int probed;

static int unit_probe(struct platform_device *pdev)
{
	int *cell = devm_kzalloc(&pdev->dev, sizeof(*cell), GFP_KERNEL);

	if (!cell)
		return -ENOMEM;
	*cell = ++probed;
	platform_set_drvdata(pdev, cell);
	return 0;
}

static int unit_remove(struct platform_device *pdev)
{
	int *cell = platform_get_drvdata(pdev);

	probed -= *cell;
	return 0;
}

static struct platform_driver unit_driver = {
	.probe = unit_probe,
	.remove = unit_remove,
	.driver = { .name = "lkm-platform-unit" },
};

static int __init platform_ok_init(void)
{
	int ret = platform_driver_register(&unit_driver);

	if (ret)
		return ret;
	unit = platform_device_register_simple("lkm-platform-unit", 0, NULL, 0);
	if (IS_ERR(unit)) {
		platform_driver_unregister(&unit_driver);
		return PTR_ERR(unit);
	}
	return 0;
}

static void __exit platform_ok_exit(void)
{
	platform_device_unregister(unit);
	platform_driver_unregister(&unit_driver);
}

module_init(platform_ok_init);
module_exit(platform_ok_exit);
MODULE_LICENSE("GPL");
