// SPDX-License-Identifier: GPL-2.0
/* The log, device messages, rate limits, formats packed for later, and drivers bound by other ways. */
//#Conforms: _printk vprintk _dev_info _dev_warn _dev_err _dev_notice dev_driver_string
//#Conforms: vsprintf vscnprintf vbin_printf bstr_printf ___ratelimit printk_timed_ratelimit
//#Conforms: print_hex_dump __platform_create_bundle __platform_driver_probe
//#Conforms: __platform_register_drivers platform_unregister_drivers platform_add_devices
//#Conforms: platform_device_register platform_device_add_resources platform_device_del
//#Conforms: platform_get_irq_byname platform_get_irq_optional devm_kmemdup devm_krealloc
//#Conforms: __root_device_register root_device_unregister
//#Log: "lkm-conform-said: 7 seven"
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/device.h>
#include <linux/err.h>
#include <linux/ioport.h>
#include <linux/platform_device.h>
#include <linux/printk.h>
#include <linux/ratelimit.h>
#include <linux/slab.h>
#include <linux/string.h>
#include "check.h"

static int vlog(const char *fmt, ...)
{
	va_list args;
	int ret;

	va_start(args, fmt);
	ret = vprintk(fmt, args);
	va_end(args);
	return ret;
}

static int vtext(char *buf, const char *fmt, ...)
{
	va_list args;
	int ret;

	va_start(args, fmt);
	ret = vsprintf(buf, fmt, args);
	va_end(args);
	return ret;
}

static int vshort(char *buf, size_t size, const char *fmt, ...)
{
	va_list args;
	int ret;

	va_start(args, fmt);
	ret = vscnprintf(buf, size, fmt, args);
	va_end(args);
	return ret;
}

static int pack(u32 *words, size_t size, const char *fmt, ...)
{
	va_list args;
	int ret;

	va_start(args, fmt);
	ret = vbin_printf(words, size, fmt, args);
	va_end(args);
	return ret;
}

static int check_log(void)
{
	static const char bytes[] = "0123456789abcdef0123";
	char buf[64];
	u32 words[32];

	/* What was stored: without level and newline. */
	CHECK(printk(KERN_INFO "lkm-conform-said: %d %s\n", 7, "seven") == 25);
	CHECK(vlog(KERN_INFO "%s\n", "abc") == 3);
	print_hex_dump(KERN_INFO, "lkm-conform: ", DUMP_PREFIX_OFFSET, 16, 1, bytes, 20, true);
	CHECK(vtext(buf, "%5.2s|%-4d|%#x", "abc", 7, 255) == 15 && !strcmp(buf, "   ab|7   |0xff"));
	CHECK(vshort(buf, 4, "%s", "abcdef") == 3 && !strcmp(buf, "abc") && vshort(buf, 9, "%d", -5) == 2);
	CHECK(pack(words, ARRAY_SIZE(words), "%d %s %llu %c", -3, "text", 1ULL << 40, 'x') > 0);
	CHECK(bstr_printf(buf, sizeof(buf), "%d %s %llu %c", words) == 23);
	CHECK(!strcmp(buf, "-3 text 1099511627776 x"));
	return 0;
}

static int check_limits(void)
{
	DEFINE_RATELIMIT_STATE(limit, 5 * HZ, 3);
	unsigned long last = 0;
	int n, passed = 0;

	ratelimit_set_flags(&limit, RATELIMIT_MSG_ON_RELEASE);
	for (n = 0; n < 10; n++)
		passed += __ratelimit(&limit);
	CHECK(passed == 3 && limit.missed == 7);
	limit.missed = 0;
	CHECK(printk_timed_ratelimit(&last, 10000) && !printk_timed_ratelimit(&last, 10000));
	return 0;
}

static int probes;

static int probe(struct platform_device *pdev)
{
	static const char text[] = "keep";
	char *copy = devm_kmemdup(&pdev->dev, text, sizeof(text), GFP_KERNEL);

	probes++;
	if (!copy || strcmp(copy, text))
		return -EINVAL;
	copy = devm_krealloc(&pdev->dev, copy, 100, GFP_KERNEL);
	if (!copy || strcmp(copy, text))
		return -EINVAL;
	if (strcmp(dev_driver_string(&pdev->dev), pdev->dev.driver->name))
		return -EINVAL;
	return 0;
}

static struct platform_driver bundle = { .driver = { .name = "lkm-conform-bundle" } };
static struct platform_driver none = { .driver = { .name = "lkm-conform-none" } };
static struct platform_driver first = { .probe = probe, .driver = { .name = "lkm-conform-first" } };
static struct platform_driver second = { .probe = probe, .driver = { .name = "lkm-conform-second" } };
static struct platform_driver *const both[] = { &first, &second };

static void released(struct device *dev)
{
}

static struct platform_device plain = {
	.name = "lkm-conform-first", .id = PLATFORM_DEVID_NONE, .dev.release = released,
};
static struct platform_device more[2] = {
	{ .name = "lkm-conform-second", .id = 0, .dev.release = released },
	{ .name = "lkm-conform-second", .id = 1, .dev.release = released },
};
static struct platform_device *all[] = { &more[0], &more[1] };

static int check_platform(void)
{
	struct resource res[] = { DEFINE_RES_IRQ_NAMED(11, "tick"), DEFINE_RES_MEM(0xfe000000, 16) };
	struct platform_device *pdev;

	pdev = platform_create_bundle(&bundle, probe, res, 2, "data", 5);
	CHECK(!IS_ERR(pdev) && probes == 1 && pdev->dev.driver == &bundle.driver);
	CHECK(platform_get_irq_byname(pdev, "tick") == 11 && platform_get_irq_optional(pdev, 0) == 11);
	CHECK(platform_get_irq_optional(pdev, 1) == -ENXIO);
	CHECK(!strcmp(dev_get_platdata(&pdev->dev), "data"));
	platform_device_unregister(pdev);
	platform_driver_unregister(&bundle);
	CHECK(platform_driver_probe(&none, probe) == -ENODEV && probes == 1);
	CHECK(!platform_register_drivers(both, 2) && !platform_device_register(&plain) && probes == 2);
	CHECK(!platform_add_devices(all, 2) && probes == 4);
	platform_device_unregister(&more[1]);
	platform_device_unregister(&more[0]);
	platform_device_unregister(&plain);
	platform_unregister_drivers(both, 2);
	pdev = platform_device_alloc("lkm-conform-alloc", 3);
	CHECK(pdev && !platform_device_add_resources(pdev, res, 2) && pdev->num_resources == 2);
	CHECK(!platform_device_add(pdev) && pdev->resource[1].start == 0xfe000000);
	platform_device_del(pdev);
	platform_device_put(pdev);
	return 0;
}

static int check_device(void)
{
	struct device *dev = root_device_register("lkm-conform-root");

	CHECK(!IS_ERR(dev) && !strcmp(dev_driver_string(dev), ""));
	dev_info(dev, "one\n");
	dev_notice(dev, "two\n");
	dev_warn(dev, "three\n");
	dev_err(dev, "four\n");
	root_device_unregister(dev);
	return 0;
}

CHECKS(check_log, check_limits, check_platform, check_device);
