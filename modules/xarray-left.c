// SPDX-License-Identifier: GPL-2.0
/* Exit erases some of an array's entries, and what the array keeps the others in is lost. */
//#Verdict: findings
//#Expect: memory-leak after-exit "xarray"
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/xarray.h>

static DEFINE_XARRAY(seats);
static DEFINE_XARRAY(rooms);

static int __init xarray_left_init(void)
{
	unsigned long n;
	int err = 0;

	for (n = 0; n < 200 && !err; n += 9)
		err = xa_err(xa_store(&seats, n, xa_mk_value(n), GFP_KERNEL));
	if (!err)
		err = xa_err(xa_store(&rooms, 70, xa_mk_value(1), GFP_KERNEL));
	if (err) {
		xa_destroy(&seats);
		xa_destroy(&rooms);
	}
	return err;
}

static void __exit xarray_left_exit(void)
{
	unsigned long n;

	for (n = 0; n < 100; n += 9)
		xa_erase(&seats, n);
	/* The last entry takes the rest with it. */
	xa_erase(&rooms, 70);
}

module_init(xarray_left_init);
module_exit(xarray_left_exit);
MODULE_LICENSE("GPL");
