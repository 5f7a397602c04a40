// SPDX-License-Identifier: GPL-2.0
/* Exit waits for a thread's completion, and the thread has still to return: what it returns to may have gone. */
//#Verdict: findings
//#Expect: left-running "last-words"
//#Result: load=0 init=0 exit=done
//#Real: unsafe
#include <linux/completion.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>

static DECLARE_COMPLETION(leave);
static DECLARE_COMPLETION(left);
static int result;

static int speak(void *data)
{
	wait_for_completion(&leave);
	complete(&left);
	return result;
}

static int __init thread_complete_init(void)
{
	return PTR_ERR_OR_ZERO(kthread_run(speak, NULL, "last-words"));
}

static void __exit thread_complete_exit(void)
{
	complete(&leave);
	wait_for_completion(&left);
}

module_init(thread_complete_init);
module_exit(thread_complete_exit);
MODULE_LICENSE("GPL");
