// SPDX-License-Identifier: GPL-2.0
/* A list of rooms is torn down by a thread that still stands in one of them: its mutex is freed while it holds it. */
//#Verdict: findings
//#Expect: mutex-misuse "freed-held"
//#May: use-after-free
//#Result: load=0 init=0 exit=done
//#Real: unsafe
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>

struct room {
	struct list_head list;
	struct mutex door;
};

static LIST_HEAD(rooms);
static struct task_struct *cleaner;

static int clean_up(void *data)
{
	struct room *room, *next;

	list_for_each_entry_safe(room, next, &rooms, list) {
		mutex_lock(&room->door);
		list_del(&room->list);
		kfree(room);
	}
	while (!kthread_should_stop())
		schedule_timeout_interruptible(HZ);
	return 0;
}

static int __init mutex_list_freed_init(void)
{
	int n;

	for (n = 0; n < 2; n++) {
		struct room *room = kzalloc(sizeof(*room), GFP_KERNEL);

		if (!room)
			break;
		mutex_init(&room->door);
		list_add(&room->list, &rooms);
	}
	cleaner = kthread_run(clean_up, NULL, "cleaner");
	if (IS_ERR(cleaner)) {
		struct room *room, *next;

		list_for_each_entry_safe(room, next, &rooms, list)
			kfree(room);
		return PTR_ERR(cleaner);
	}
	return 0;
}

static void __exit mutex_list_freed_exit(void)
{
	kthread_stop(cleaner);
}

module_init(mutex_list_freed_init);
module_exit(mutex_list_freed_exit);
MODULE_LICENSE("GPL");
