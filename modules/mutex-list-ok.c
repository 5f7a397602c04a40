// SPDX-License-Identifier: GPL-2.0
/* The same list, each mutex given back before its room is freed. */
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
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

static void clean_up(void)
{
	struct room *room, *next;

	list_for_each_entry_safe(room, next, &rooms, list) {
		mutex_lock(&room->door);
		list_del(&room->list);
		mutex_unlock(&room->door);
		mutex_destroy(&room->door);
		kfree(room);
	}
}

static int __init mutex_list_ok_init(void)
{
	int n;

	for (n = 0; n < 2; n++) {
		struct room *room = kzalloc(sizeof(*room), GFP_KERNEL);

		if (!room) {
			clean_up();
			return -ENOMEM;
		}
		mutex_init(&room->door);
		list_add(&room->list, &rooms);
	}
	return 0;
}

static void __exit mutex_list_ok_exit(void)
{
	clean_up();
}

module_init(mutex_list_ok_init);
module_exit(mutex_list_ok_exit);
MODULE_LICENSE("GPL");
