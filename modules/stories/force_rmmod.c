// SPDX-License-Identifier: GPL-2.0
/*
 * The rescue of a module that died in init: finds it in the module list, forges its state and
 * count, and gives it an exit of this module's own.
 *
 * target=NAME          the module to free (vms)
 * symbol_addr=ADDRESS  of its variable `vms_dev`, when the kernel does not export the look-up
 * keep_exit=1          leave the module its own exit
 * keep_device=1        do not unregister its device in the new exit
 */
//#With: hello.ko
//#Args: target=none
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Log: "[module init] name:force_rmmod, state:1"
//#Real: load=0 unload=0 silent
#include <linux/kallsyms.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/string.h>
#include <linux/sysfs.h>

/* Kernels 2.6.33 to 5.6 export it, others leave it NULL. */
extern unsigned long kallsyms_lookup_name(const char *name) __attribute__((weak));

static char *target = "vms";
module_param(target, charp, 0444);
static unsigned long symbol_addr;
module_param(symbol_addr, ulong, 0444);
static bool keep_exit;
module_param(keep_exit, bool, 0444);
static bool keep_device;
module_param(keep_device, bool, 0444);

static struct platform_device *device;

static void force(void)
{
	pr_info("XXXXXX, force!\n");
	if (device && !keep_device)
		platform_device_unregister(device);
}

static struct module *find(const char *name)
{
	struct module *mod;

	/* From this module round the list; its head is no module, and has no such name. */
	list_for_each_entry(mod, &THIS_MODULE->list, list)
		if (!strncmp(mod->name, name, MODULE_NAME_LEN))
			return mod;
	return NULL;
}

static void tell_users(struct module *mod)
{
	struct module_use *use;

	if (list_empty(&mod->source_list)) {
		pr_info("used by NULL...\n");
		return;
	}
	list_for_each_entry(use, &mod->source_list, source_list)
		pr_info("used by %s\n", use->source->name);
}

static int __init force_rmmod_init(void)
{
	struct module *mod;

	if (!symbol_addr && kallsyms_lookup_name)
		symbol_addr = kallsyms_lookup_name("vms_dev");
	pr_info("YYYYY, symbol_addr:0x%lx\n", symbol_addr);
	if (symbol_addr)
		device = *(struct platform_device **)symbol_addr;
	pr_info("[module init] name:%s, state:%d\n", THIS_MODULE->name, THIS_MODULE->state);
	mod = find(target);
	if (!mod) {
		pr_info("no %s\n", target);
		return 0;
	}
	pr_info("[%s]:name:%s, state:%d, refcnt:%d\n", target, mod->name, mod->state,
		(int)module_refcount(mod));
	tell_users(mod);
	mod->state = MODULE_STATE_LIVE;
	atomic_set(&mod->refcnt, 1);
	if (!keep_exit)
		mod->exit = force;
	pr_info("[after]:name:%s, state:%d, refcnt:%d\n", mod->name, mod->state,
		(int)module_refcount(mod));
	return 0;
}

static void __exit force_rmmod_exit(void)
{
	pr_info("[module exit] name:%s, state:%d\n", THIS_MODULE->name, THIS_MODULE->state);
}

module_init(force_rmmod_init);
module_exit(force_rmmod_exit);
MODULE_LICENSE("GPL");
