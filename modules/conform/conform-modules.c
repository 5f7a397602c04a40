// SPDX-License-Identifier: GPL-2.0
/* What a module can learn of itself and of others while its init runs, and of references. */
//#With: chain-base.ko
//#Conforms: try_module_get module_put __module_get module_refcount __symbol_get __symbol_put
//#Conforms: symbol_put_addr
//#Verdict: clean
//#May: self-module-get
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/string.h>
#include "check.h"

extern int chain_base_add(int n);

static int check_self(void)
{
	struct module *me = THIS_MODULE;

	CHECK(!strcmp(me->name, KBUILD_MODNAME) && me->state == MODULE_STATE_COMING);
	CHECK(module_refcount(me) == 1);
	CHECK(try_module_get(me) && module_refcount(me) == 2);
	__module_get(me);
	CHECK(module_refcount(me) == 3);
	module_put(me);
	module_put(me);
	CHECK(module_refcount(me) == 1);
	CHECK(try_module_get(NULL));
	module_put(NULL);
	return 0;
}

static int check_symbols(void)
{
	int (*add)(int) = symbol_get(chain_base_add);

	CHECK(add);
	CHECK(add(3) == add(0));
	CHECK(add(-3) == 0);
	symbol_put(chain_base_add);
	CHECK(symbol_get(chain_base_add) == add);
	symbol_put_addr(add);
	CHECK(!__symbol_get("there_is_no_symbol_of_this_name"));
	return 0;
}

CHECKS(check_self, check_symbols);
