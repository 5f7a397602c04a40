// SPDX-License-Identifier: GPL-2.0
/* A vmalloc area is replaced by a bigger one, and the old one is forgotten. */
//#Verdict: findings
//#Expect: memory-leak at vmalloc_leak_init
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

static char *frame;

static int __init vmalloc_leak_init(void)
{
	char *bigger;

	frame = vmalloc(20000);
	if (!frame)
		return -ENOMEM;
	memset(frame, 0x11, 20000);
	bigger = vzalloc(80000);
	if (!bigger) {
		vfree(frame);
		return -ENOMEM;
	}
	memcpy(bigger, frame, 20000);
	frame = bigger;
	return 0;
}

static void __exit vmalloc_leak_exit(void)
{
	vfree(frame);
}

module_init(vmalloc_leak_init);
module_exit(vmalloc_leak_exit);
MODULE_LICENSE("GPL");
