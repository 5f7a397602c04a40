// SPDX-License-Identifier: GPL-2.0
/* Reference counts on all CPUs, from the first reference to the last, and back to life. */
//#Conforms: percpu_ref_init percpu_ref_exit percpu_ref_kill_and_confirm percpu_ref_is_zero
//#Conforms: percpu_ref_reinit percpu_ref_resurrect percpu_ref_switch_to_atomic_sync
//#Conforms: percpu_ref_switch_to_percpu
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/percpu-refcount.h>
#include "check.h"

static struct percpu_ref ref;
static DECLARE_COMPLETION(confirmed);
static int released;

static void release(struct percpu_ref *r)
{
	if (r == &ref)
		released++;
}

static void confirm(struct percpu_ref *r)
{
	complete(&confirmed);
}

static int check_life(void)
{
	CHECK(!percpu_ref_init(&ref, release, PERCPU_REF_ALLOW_REINIT, GFP_KERNEL));
	CHECK(!percpu_ref_is_zero(&ref) && !percpu_ref_is_dying(&ref));
	percpu_ref_get(&ref);
	CHECK(percpu_ref_tryget_live(&ref));
	percpu_ref_put(&ref);
	percpu_ref_kill_and_confirm(&ref, confirm);
	CHECK(percpu_ref_is_dying(&ref) && released == 0);
	wait_for_completion(&confirmed);
	msleep(20);
	/* One reference is left; no live one can be had, but one by who has one. */
	CHECK(released == 0 && !percpu_ref_is_zero(&ref) && !percpu_ref_tryget_live(&ref));
	CHECK(percpu_ref_tryget(&ref));
	percpu_ref_put(&ref);
	CHECK(released == 0);
	percpu_ref_put(&ref);
	CHECK(released == 1 && percpu_ref_is_zero(&ref) && !percpu_ref_tryget(&ref));
	return 0;
}

static int check_again(void)
{
	percpu_ref_reinit(&ref);
	CHECK(!percpu_ref_is_zero(&ref) && !percpu_ref_is_dying(&ref) && percpu_ref_tryget_live(&ref));
	percpu_ref_switch_to_atomic_sync(&ref);
	percpu_ref_put(&ref);
	percpu_ref_switch_to_percpu(&ref);
	percpu_ref_get(&ref);
	percpu_ref_kill(&ref);
	msleep(50);
	percpu_ref_resurrect(&ref);
	CHECK(!percpu_ref_is_dying(&ref) && percpu_ref_tryget_live(&ref) && released == 1);
	percpu_ref_put_many(&ref, 2);
	percpu_ref_kill(&ref);
	msleep(50);
	CHECK(released == 2 && percpu_ref_is_zero(&ref));
	percpu_ref_exit(&ref);
	CHECK(percpu_ref_is_zero(&ref));
	CHECK(!percpu_ref_init(&ref, release, PERCPU_REF_INIT_DEAD, GFP_KERNEL));
	CHECK(percpu_ref_is_zero(&ref) && percpu_ref_is_dying(&ref) && !percpu_ref_tryget(&ref));
	percpu_ref_exit(&ref);
	return 0;
}

CHECKS(check_life, check_again);
