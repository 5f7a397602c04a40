// SPDX-License-Identifier: GPL-2.0
/* Bitmaps: set, clear, find, combine, print, parse. */
//#Conforms: __bitmap_set __bitmap_clear __bitmap_and __bitmap_or __bitmap_xor __bitmap_andnot
//#Conforms: __bitmap_equal __bitmap_weight __bitmap_subset __bitmap_intersects
//#Conforms: __bitmap_shift_left __bitmap_shift_right _find_first_bit _find_next_bit
//#Conforms: _find_first_zero_bit _find_next_zero_bit _find_last_bit
//#Conforms: bitmap_find_next_zero_area_off bitmap_parselist bitmap_zalloc bitmap_free
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/bitmap.h>
#include <linux/string.h>
#include "check.h"

#define BITS 200

static volatile unsigned int bits = BITS;

static int check_ranges(void)
{
	unsigned long *map = bitmap_zalloc(bits, GFP_KERNEL);

	CHECK(map && bitmap_empty(map, bits));
	bitmap_set(map, 60, bits - 130);
	CHECK(bitmap_weight(map, bits) == 70);
	CHECK(find_first_bit(map, bits) == 60 && find_last_bit(map, bits) == 129);
	CHECK(find_next_zero_bit(map, bits, 60) == 130 && find_next_bit(map, bits, 130) == BITS);
	bitmap_clear(map, 64, bits - 136);
	CHECK(bitmap_weight(map, bits) == 6 && find_next_bit(map, bits, 64) == 128);
	CHECK(find_first_zero_bit(map, bits) == 0);
	CHECK(bitmap_find_next_zero_area(map, bits, 0, 61, 0) == 64);
	CHECK(bitmap_find_next_zero_area(map, bits, 0, 10, 15) == 0);
	bitmap_fill(map, bits);
	CHECK(bitmap_full(map, bits) && bitmap_weight(map, bits) == BITS);
	__clear_bit(77, map);
	CHECK(find_next_zero_bit(map, bits, 3) == 77 && !test_bit(77, map));
	CHECK(!test_and_set_bit(77, map) && test_and_clear_bit(76, map));
	bitmap_free(map);
	return 0;
}

static int check_sets(void)
{
	DECLARE_BITMAP(a, BITS);
	DECLARE_BITMAP(b, BITS);
	DECLARE_BITMAP(c, BITS);

	CHECK(!bitmap_parselist("1-5,100,190-199", a, bits));
	CHECK(bitmap_weight(a, bits) == 16);
	CHECK(!bitmap_parselist("0-199:2/4", b, bits));
	CHECK(bitmap_weight(b, bits) == 100 && test_bit(5, b) && !test_bit(6, b));
	CHECK(bitmap_parselist("300", c, bits) == -ERANGE && bitmap_parselist("5-3", c, bits) == -EINVAL);
	CHECK(bitmap_and(c, a, b, bits) && bitmap_weight(c, bits) == 8);
	CHECK(bitmap_subset(c, a, bits) && !bitmap_subset(a, b, bits));
	CHECK(bitmap_intersects(a, b, bits));
	bitmap_or(c, a, b, bits);
	CHECK(bitmap_weight(c, bits) == 108);
	bitmap_xor(c, a, b, bits);
	CHECK(bitmap_weight(c, bits) == 100);
	CHECK(bitmap_andnot(c, a, b, bits) && bitmap_weight(c, bits) == 8);
	bitmap_copy(c, a, bits);
	CHECK(bitmap_equal(a, c, bits) && !bitmap_equal(a, b, bits));
	bitmap_shift_left(c, a, 70, bits);
	CHECK(test_bit(71, c) && test_bit(170, c) && bitmap_weight(c, bits) == 6);
	bitmap_shift_right(c, c, 70, bits);
	CHECK(test_bit(1, c) && test_bit(100, c) && bitmap_weight(c, bits) == 6);
	return 0;
}

CHECKS(check_ranges, check_sets);
