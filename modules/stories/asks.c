// SPDX-License-Identifier: GPL-2.0
/*
 * request_module() from as many threads as wanted, each telling what it was answered.
 *
 * name=NAME   what is asked for
 * threads=N   how many ask at a time
 * nowait=1    without waiting for the answer
 * times=N     how often each asks
 */
//#Args: name=lkm-nobody-has-this threads=2
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/completion.h>
#include <linux/err.h>
#include <linux/kmod.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched/task.h>
#include <linux/slab.h>

static char *name = "lkm-asked";
module_param(name, charp, 0444);
static unsigned int threads = 1;
module_param(threads, uint, 0444);
static bool nowait;
module_param(nowait, bool, 0444);
static unsigned int times = 1;
module_param(times, uint, 0444);

static DECLARE_COMPLETION(go);
static DECLARE_COMPLETION(answered);

static int ask(void *data)
{
	unsigned int n;
	int ret = 0;

	wait_for_completion(&go);
	for (n = 0; n < times; n++)
		ret = nowait ? request_module_nowait("%s", name) : request_module("%s", name);
	pr_info("asks: thread %ld was answered %d\n", (long)data, ret);
	complete(&answered);
	return ret;
}

static int __init asks_init(void)
{
	struct task_struct **asking;
	unsigned int n, made = 0;
	int ret, worst = 0;

	asking = kcalloc(threads, sizeof(*asking), GFP_KERNEL);
	if (!asking)
		return -ENOMEM;
	for (n = 0; n < threads; n++) {
		asking[n] = kthread_create(ask, (void *)(long)n, "asks/%u", n);
		if (IS_ERR(asking[n]))
			break;
		get_task_struct(asking[n]);
		wake_up_process(asking[n]);
		made++;
	}
	complete_all(&go);
	for (n = 0; n < made; n++)
		wait_for_completion(&answered);
	for (n = 0; n < made; n++) {
		ret = kthread_stop(asking[n]);
		if (ret)
			worst = ret;
		put_task_struct(asking[n]);
	}
	kfree(asking);
	pr_info("asks: %u threads, result %d\n", made, worst);
	return 0;
}

static void __exit asks_exit(void)
{
}

module_init(asks_init);
module_exit(asks_exit);
MODULE_LICENSE("GPL");
