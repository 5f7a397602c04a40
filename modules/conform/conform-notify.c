// SPDX-License-Identifier: GPL-2.0
/* The four kinds of notifier chains. */
//#Conforms: blocking_notifier_chain_register blocking_notifier_chain_unregister
//#Conforms: blocking_notifier_call_chain atomic_notifier_chain_register
//#Conforms: atomic_notifier_chain_unregister atomic_notifier_call_chain
//#Conforms: raw_notifier_chain_register raw_notifier_chain_unregister raw_notifier_call_chain
//#Conforms: register_module_notifier unregister_module_notifier register_reboot_notifier
//#Conforms: unregister_reboot_notifier register_netdevice_notifier
//#Conforms: unregister_netdevice_notifier
//#May: release-unheld
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0
#include <linux/netdevice.h>
#include <linux/notifier.h>
#include <linux/reboot.h>
#include "check.h"

static int order[8], calls, answer[3];
static unsigned long seen;

static int call(int who, unsigned long event)
{
	order[calls++ & 7] = who;
	seen = event;
	return answer[who];
}

static int first(struct notifier_block *nb, unsigned long event, void *data)
{
	return call(0, event);
}

static int second(struct notifier_block *nb, unsigned long event, void *data)
{
	return call(1, event);
}

static int third(struct notifier_block *nb, unsigned long event, void *data)
{
	return call(2, event);
}

static struct notifier_block one = { .notifier_call = first, .priority = 5 };
static struct notifier_block two = { .notifier_call = second };
static struct notifier_block three = { .notifier_call = third, .priority = -5 };

static BLOCKING_NOTIFIER_HEAD(blocking);
static ATOMIC_NOTIFIER_HEAD(atomic);
static RAW_NOTIFIER_HEAD(raw);

static int check_blocking(void)
{
	CHECK(!blocking_notifier_chain_register(&blocking, &two));
	CHECK(!blocking_notifier_chain_register(&blocking, &three));
	CHECK(!blocking_notifier_chain_register(&blocking, &one));
	answer[2] = NOTIFY_OK;
	CHECK(blocking_notifier_call_chain(&blocking, 9, NULL) == NOTIFY_OK);
	CHECK(calls == 3 && seen == 9 && order[0] == 0 && order[1] == 1 && order[2] == 2);
	answer[1] = notifier_from_errno(-EBUSY);
	CHECK(notifier_to_errno(blocking_notifier_call_chain(&blocking, 4, NULL)) == -EBUSY);
	CHECK(calls == 5 && order[4] == 1);
	answer[1] = NOTIFY_DONE;
	CHECK(!blocking_notifier_chain_unregister(&blocking, &two));
	CHECK(blocking_notifier_chain_unregister(&blocking, &two) == -ENOENT);
	calls = 0;
	blocking_notifier_call_chain(&blocking, 1, NULL);
	CHECK(calls == 2);
	blocking_notifier_chain_unregister(&blocking, &one);
	blocking_notifier_chain_unregister(&blocking, &three);
	CHECK(blocking_notifier_call_chain(&blocking, 1, NULL) == NOTIFY_DONE && calls == 2);
	return 0;
}

static int check_others(void)
{
	calls = 0;
	CHECK(!atomic_notifier_chain_register(&atomic, &one));
	CHECK(!raw_notifier_chain_register(&raw, &two));
	answer[0] = NOTIFY_STOP;
	CHECK(atomic_notifier_call_chain(&atomic, 3, NULL) == NOTIFY_STOP && calls == 1);
	CHECK(raw_notifier_call_chain(&raw, 3, NULL) == NOTIFY_DONE && calls == 2);
	CHECK(!atomic_notifier_chain_unregister(&atomic, &one));
	CHECK(!raw_notifier_chain_unregister(&raw, &two));
	CHECK(raw_notifier_chain_unregister(&raw, &two) == -ENOENT);
	answer[0] = NOTIFY_DONE;
	return 0;
}

static int check_kernel_chains(void)
{
	CHECK(!register_module_notifier(&one) && !unregister_module_notifier(&one));
	CHECK(unregister_module_notifier(&one) == -ENOENT);
	CHECK(!register_reboot_notifier(&two) && !unregister_reboot_notifier(&two));
	calls = 0;
	CHECK(!register_netdevice_notifier(&three));
	/* The loopback device is there already and is told of. */
	CHECK(calls >= 1);
	CHECK(!unregister_netdevice_notifier(&three));
	return 0;
}

CHECKS(check_blocking, check_others, check_kernel_chains);
