// SPDX-License-Identifier: GPL-2.0
/* The chains on which the stock kernel calls those who want to know: on, off, and off when not on. */
//#Conforms: register_pm_notifier unregister_pm_notifier register_inetaddr_notifier
//#Conforms: unregister_inetaddr_notifier register_inet6addr_notifier unregister_inet6addr_notifier
//#Conforms: register_netevent_notifier unregister_netevent_notifier register_switchdev_notifier
//#Conforms: unregister_switchdev_notifier register_switchdev_blocking_notifier
//#Conforms: unregister_switchdev_blocking_notifier register_keyboard_notifier
//#Conforms: unregister_keyboard_notifier register_vt_notifier unregister_vt_notifier
//#Conforms: register_restart_handler unregister_restart_handler crypto_register_notifier
//#Conforms: crypto_unregister_notifier register_oom_notifier unregister_oom_notifier
//#Conforms: register_die_notifier unregister_die_notifier fb_register_client fb_unregister_client
//#Conforms: netlink_register_notifier netlink_unregister_notifier register_blocking_lsm_notifier
//#Conforms: unregister_blocking_lsm_notifier cpufreq_register_notifier cpufreq_unregister_notifier
//#Conforms: srcu_init_notifier_head srcu_notifier_chain_register srcu_notifier_chain_unregister
//#Conforms: srcu_notifier_call_chain blocking_notifier_call_chain_robust
//#Conforms: raw_notifier_call_chain_robust atomic_notifier_chain_register_unique_prio
//#Conforms: blocking_notifier_chain_register_unique_prio
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <crypto/algapi.h>
#include <linux/cpufreq.h>
#include <linux/fb.h>
#include <linux/inetdevice.h>
#include <linux/kdebug.h>
#include <linux/keyboard.h>
#include <linux/netlink.h>
#include <linux/notifier.h>
#include <linux/oom.h>
#include <linux/reboot.h>
#include <linux/security.h>
#include <linux/srcu.h>
#include <linux/suspend.h>
#include <linux/vt_kern.h>
#include <net/addrconf.h>
#include <net/netevent.h>
#include <net/switchdev.h>
#include "check.h"

static char heard[16];
static int count, refuse = -1;

static int hear(struct notifier_block *nb, unsigned long action, void *data)
{
	if (count < 15)
		heard[count++] = action * 16 + nb->priority;
	return nb->priority == refuse ? notifier_from_errno(-EPERM) : NOTIFY_OK;
}

static struct notifier_block one = { .notifier_call = hear, .priority = 1 };
static struct notifier_block two = { .notifier_call = hear, .priority = 2 };
static struct notifier_block again = { .notifier_call = hear, .priority = 2 };

/* Never called: what it would be told is not known here. */
static int deaf(struct notifier_block *nb, unsigned long action, void *data)
{
	return NOTIFY_DONE;
}

#define PAIR(on, off)						\
	do {							\
		static struct notifier_block nb = { .notifier_call = deaf };	\
								\
		CHECK(!on(&nb));				\
		CHECK(off(&nb) == 0);				\
		CHECK(off(&nb) == -ENOENT);			\
	} while (0)

static int check_pairs(void)
{
	PAIR(register_pm_notifier, unregister_pm_notifier);
	PAIR(register_inetaddr_notifier, unregister_inetaddr_notifier);
	PAIR(register_inet6addr_notifier, unregister_inet6addr_notifier);
	PAIR(register_netevent_notifier, unregister_netevent_notifier);
	PAIR(register_switchdev_notifier, unregister_switchdev_notifier);
	PAIR(register_switchdev_blocking_notifier, unregister_switchdev_blocking_notifier);
	PAIR(register_keyboard_notifier, unregister_keyboard_notifier);
	PAIR(register_vt_notifier, unregister_vt_notifier);
	PAIR(register_restart_handler, unregister_restart_handler);
	PAIR(crypto_register_notifier, crypto_unregister_notifier);
	PAIR(register_oom_notifier, unregister_oom_notifier);
	PAIR(register_die_notifier, unregister_die_notifier);
	PAIR(fb_register_client, fb_unregister_client);
	PAIR(netlink_register_notifier, netlink_unregister_notifier);
	PAIR(register_blocking_lsm_notifier, unregister_blocking_lsm_notifier);
	return 0;
}

static int check_cpufreq(void)
{
	static struct notifier_block nb = { .notifier_call = deaf };

	CHECK(!cpufreq_register_notifier(&nb, CPUFREQ_POLICY_NOTIFIER));
	CHECK(!cpufreq_unregister_notifier(&nb, CPUFREQ_POLICY_NOTIFIER));
	CHECK(cpufreq_unregister_notifier(&nb, CPUFREQ_POLICY_NOTIFIER) == -ENOENT);
	return 0;
}

static int check_srcu(void)
{
	static struct srcu_notifier_head head;

	srcu_init_notifier_head(&head);
	CHECK(!srcu_notifier_chain_register(&head, &one) && !srcu_notifier_chain_register(&head, &two));
	CHECK(srcu_notifier_call_chain(&head, 3, NULL) == NOTIFY_OK);
	CHECK(count == 2 && heard[0] == 0x32 && heard[1] == 0x31);
	CHECK(!srcu_notifier_chain_unregister(&head, &one) && !srcu_notifier_chain_unregister(&head, &two));
	CHECK(srcu_notifier_chain_unregister(&head, &two) == -ENOENT);
	CHECK(srcu_notifier_call_chain(&head, 3, NULL) == NOTIFY_DONE && count == 2);
	srcu_cleanup_notifier_head(&head);
	return 0;
}

static int check_robust(void)
{
	static BLOCKING_NOTIFIER_HEAD(blocking);
	static RAW_NOTIFIER_HEAD(raw);
	static ATOMIC_NOTIFIER_HEAD(atomic);

	CHECK(!blocking_notifier_chain_register(&blocking, &one));
	CHECK(!blocking_notifier_chain_register_unique_prio(&blocking, &two));
	CHECK(blocking_notifier_chain_register_unique_prio(&blocking, &again) == -EBUSY);
	count = 0;
	CHECK(blocking_notifier_call_chain_robust(&blocking, 1, 2, NULL) == NOTIFY_OK && count == 2);
	/* The last refuses: who heard it before is told that it is off. */
	refuse = 1;
	count = 0;
	CHECK(notifier_to_errno(blocking_notifier_call_chain_robust(&blocking, 1, 2, NULL)) == -EPERM);
	CHECK(count == 3 && heard[0] == 0x12 && heard[1] == 0x11 && heard[2] == 0x22);
	CHECK(!blocking_notifier_chain_unregister(&blocking, &one));
	CHECK(!blocking_notifier_chain_unregister(&blocking, &two));
	CHECK(!raw_notifier_chain_register(&raw, &one) && !raw_notifier_chain_register(&raw, &two));
	count = 0;
	CHECK(notifier_to_errno(raw_notifier_call_chain_robust(&raw, 1, 2, NULL)) == -EPERM && count == 3);
	CHECK(!raw_notifier_chain_unregister(&raw, &one) && !raw_notifier_chain_unregister(&raw, &two));
	CHECK(!atomic_notifier_chain_register(&atomic, &two));
	CHECK(atomic_notifier_chain_register_unique_prio(&atomic, &again) == -EBUSY);
	CHECK(!atomic_notifier_chain_register_unique_prio(&atomic, &one));
	CHECK(!atomic_notifier_chain_unregister(&atomic, &one));
	CHECK(!atomic_notifier_chain_unregister(&atomic, &two));
	return 0;
}

CHECKS(check_pairs, check_cpufreq, check_srcu, check_robust);
