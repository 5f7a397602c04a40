// SPDX-License-Identifier: GPL-2.0
/* Reference counts, kobjects, ksets. */
//#Conforms: kobject_init kobject_add kobject_init_and_add kobject_put kobject_get kobject_del
//#Conforms: kobject_rename kobject_create_and_add kset_create_and_add kset_unregister
//#Conforms: kset_find_obj refcount_dec_and_mutex_lock
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/kobject.h>
#include <linux/kref.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/string.h>
#include "check.h"

static int released;

static void release_ref(struct kref *ref)
{
	released++;
}

static int check_kref(void)
{
	struct kref ref;
	refcount_t count = REFCOUNT_INIT(2);
	DEFINE_MUTEX(lock);

	kref_init(&ref);
	CHECK(kref_read(&ref) == 1);
	kref_get(&ref);
	CHECK(!kref_put(&ref, release_ref) && released == 0);
	CHECK(kref_put(&ref, release_ref) == 1 && released == 1);
	CHECK(!kref_get_unless_zero(&ref));
	CHECK(!refcount_dec_and_mutex_lock(&count, &lock) && !mutex_is_locked(&lock));
	CHECK(refcount_dec_and_mutex_lock(&count, &lock) && mutex_is_locked(&lock));
	mutex_unlock(&lock);
	return 0;
}

static void release_thing(struct kobject *kobj)
{
	released++;
	kfree(kobj);
}

static const struct kobj_type thing_type = {
	.release = release_thing,
	.sysfs_ops = &kobj_sysfs_ops,
};

static int check_kobject(void)
{
	struct kset *set = kset_create_and_add("lkm-conform-set", NULL, kernel_kobj);
	struct kobject *a = kzalloc(sizeof(*a), GFP_KERNEL), *b = kzalloc(sizeof(*b), GFP_KERNEL);
	struct kobject *found, *plain;

	CHECK(set && a && b);
	released = 0;
	kobject_init(a, &thing_type);
	a->kset = set;
	CHECK(!kobject_add(a, NULL, "thing-%d", 1));
	CHECK(!strcmp(kobject_name(a), "thing-1") && a->parent == &set->kobj);
	CHECK(a->state_initialized && a->state_in_sysfs);
	CHECK(!kobject_init_and_add(b, &thing_type, a, "child"));
	found = kset_find_obj(set, "thing-1");
	CHECK(found == a && !kset_find_obj(set, "thing-2"));
	CHECK(kref_read(&a->kref) == 3);
	kobject_put(found);
	CHECK(!kobject_rename(a, "thing-2") && !strcmp(kobject_name(a), "thing-2"));
	kobject_put(b);
	CHECK(released == 1 && kref_read(&a->kref) == 1);
	CHECK(kobject_get(a) == a);
	kobject_put(a);
	kobject_del(a);
	CHECK(!a->state_in_sysfs && released == 1);
	kobject_put(a);
	CHECK(released == 2);
	kset_unregister(set);
	plain = kobject_create_and_add("lkm-conform-plain", kernel_kobj);
	CHECK(plain && kobject_get(NULL) == NULL);
	kobject_put(plain);
	kobject_put(NULL);
	return 0;
}

CHECKS(check_kref, check_kobject);
