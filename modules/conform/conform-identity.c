// SPDX-License-Identifier: GPL-2.0
/* Who the running task is: its credentials, namespaces, limits, group and parent. */
//#Conforms: capable ns_capable
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/cred.h>
#include <linux/module.h>
#include <linux/nsproxy.h>
#include <linux/sched/signal.h>
#include <linux/uidgid.h>
#include <linux/user_namespace.h>
#include <net/net_namespace.h>
#include "check.h"

static int __init conform_identity_init(void)
{
	const struct cred *cred = current_cred();

	CHECK(uid_eq(current_uid(), GLOBAL_ROOT_UID));
	CHECK(gid_eq(current_gid(), GLOBAL_ROOT_GID));
	CHECK(uid_eq(current_euid(), cred->euid) && uid_eq(current_fsuid(), cred->fsuid));
	CHECK(__kuid_val(cred->suid) == 0 && __kgid_val(cred->sgid) == 0);
	CHECK(current_user_ns() == &init_user_ns && cred->user != NULL);
	CHECK(current_real_cred() == cred || uid_eq(current_real_cred()->uid, cred->uid));
	CHECK(capable(CAP_SYS_MODULE) && ns_capable(&init_user_ns, CAP_SYS_ADMIN));
	CHECK(cap_raised(cred->cap_effective, CAP_SYS_MODULE));
	CHECK(get_cred(cred) == cred);
	put_cred(cred);
	CHECK(current->nsproxy && current->nsproxy->net_ns == &init_net);
	CHECK(current->signal && rlimit(RLIMIT_NOFILE) > 0);
	CHECK(current->group_leader == current && thread_group_leader(current));
	CHECK(current->real_parent && current->real_parent != current);
	return 0;
}

static void __exit conform_identity_exit(void)
{
}

module_init(conform_identity_init);
module_exit(conform_identity_exit);
MODULE_LICENSE("GPL");
