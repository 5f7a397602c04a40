// SPDX-License-Identifier: GPL-2.0
/* The driver is unregistered, its device is not. */
//#Verdict: findings
//#Expect: left-registered "platform"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/err.h>
#include <linux/module.h>
#include <linux/platform_device.h>

static struct platform_device *board;

static struct platform_driver board_driver = {
	.driver = { .name = "lkm-board" },
};

static int __init platform_left_init(void)
{
	int ret;

	board = platform_device_register_simple("lkm-board", -1, NULL, 0);
	if (IS_ERR(board))
		return PTR_ERR(board);
	ret = platform_driver_register(&board_driver);
	if (ret)
		platform_device_unregister(board);
	return ret;
}

static void __exit platform_left_exit(void)
{
	platform_driver_unregister(&board_driver);
}

module_init(platform_left_init);
module_exit(platform_left_exit);
MODULE_LICENSE("GPL");
