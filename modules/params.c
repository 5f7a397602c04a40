// SPDX-License-Identifier: GPL-2.0
/* A parameter of every type, echoed: correct. */
//#Args: a_byte=255 a_short=-3 a_ushort=0x10 an_int=-010 a_uint=7 a_long=-9 a_ulong=0xffffffffff a_ullong=18446744073709551615 a_hex=0xbeef a_bool=on an_invbool=n a_charp="two words" a_string=tiny an_array=1,2,3
//#Numbers: 8 -> 12, 4 -> 6, 5 -> 9
//#Fixed: 2 the place of the last that is printed
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/module.h>
#include <linux/moduleparam.h>

static unsigned char a_byte;
module_param(a_byte, byte, 0444);
static short a_short;
module_param(a_short, short, 0444);
static unsigned short a_ushort;
module_param(a_ushort, ushort, 0444);
static int an_int;
module_param(an_int, int, 0644);
static unsigned int a_uint;
module_param(a_uint, uint, 0444);
static long a_long;
module_param(a_long, long, 0444);
static unsigned long a_ulong;
module_param(a_ulong, ulong, 0444);
static unsigned long long a_ullong;
module_param(a_ullong, ullong, 0444);
static unsigned int a_hex;
module_param(a_hex, hexint, 0444);
static bool a_bool;
module_param(a_bool, bool, 0644);
static bool an_invbool;
module_param(an_invbool, invbool, 0444);
static char *a_charp = "default";
module_param(a_charp, charp, 0444);
static char a_string[8];
module_param_string(a_string, a_string, sizeof(a_string), 0444);
static int an_array[4];
static int an_array_len;
module_param_array(an_array, int, &an_array_len, 0444);
static int hidden = 5;
module_param(hidden, int, 0);
MODULE_PARM_DESC(hidden, "not in sysfs");

static int __init params_init(void)
{
	pr_info("%u %d %u %d %u\n", a_byte, a_short, a_ushort, an_int, a_uint);
	pr_info("%ld %lu %llu %x %d %d\n", a_long, a_ulong, a_ullong, a_hex, a_bool, an_invbool);
	pr_info("[%s] [%s] %d: %d %d %d\n", a_charp, a_string, an_array_len,
		an_array[0], an_array[1], an_array[2]);
	return 0;
}

static void __exit params_exit(void)
{
}

module_init(params_init);
module_exit(params_exit);
MODULE_LICENSE("GPL");
