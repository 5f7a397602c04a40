// SPDX-License-Identifier: GPL-2.0
/* String and memory functions, edge cases first. Lengths are hidden from the compiler. */
//#Conforms: strlen strnlen strcmp strncmp strncpy strscpy strlcat strchr strrchr strnchr
//#Conforms: strchrnul strstr strnstr strspn strcspn strpbrk strsep skip_spaces strim memcmp
//#Conforms: memcpy memmove memchr memchr_inv memscan strcasecmp strncasecmp sysfs_streq
//#Conforms: match_string __sysfs_match_string strreplace hex_to_bin hex2bin bin2hex
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/kernel.h>
#include <linux/string.h>
#include <linux/string_helpers.h>
#include "check.h"

/* What the compiler cannot know. */
#define HIDE(x) ({ typeof(x) hidden_ = (x); OPTIMIZER_HIDE_VAR(hidden_); hidden_; })

static int sign(int n)
{
	return (n > 0) - (n < 0);
}

static int check_compare(void)
{
	const char *a = HIDE((const char *)"alpha"), *b = HIDE((const char *)"alphabet");

	CHECK(strlen(a) == 5 && strnlen(a, HIDE(3)) == 3 && strnlen(a, HIDE(9)) == 5);
	CHECK(sign(strcmp(a, b)) == -1 && sign(strcmp(b, a)) == 1 && !strcmp(a, a));
	CHECK(!strncmp(a, b, HIDE(5)) && sign(strncmp(a, b, HIDE(6))) == -1);
	CHECK(!strncmp(a, b, HIDE(0)));
	CHECK(sign(strcmp(HIDE((const char *)"\xff"), HIDE((const char *)"a"))) == 1);
	CHECK(!strcasecmp(HIDE((const char *)"MiXeD"), HIDE((const char *)"mIxEd")));
	CHECK(!strncasecmp(HIDE((const char *)"MiX1"), HIDE((const char *)"mIx2"), HIDE(3)));
	CHECK(memcmp(a, b, HIDE(5)) == 0 && memcmp(a, b, HIDE(6)) != 0);
	CHECK(sysfs_streq(HIDE((const char *)"on\n"), HIDE((const char *)"on")));
	CHECK(!sysfs_streq(HIDE((const char *)"on\n\n"), HIDE((const char *)"on")));
	return 0;
}

static int check_search(void)
{
	const char *s = HIDE((const char *)"one two three two");
	static const char *const words[] = { "zero", "one", "two", NULL };

	CHECK(strchr(s, HIDE('t')) == s + 4 && !strchr(s, HIDE('z')) && strchr(s, HIDE(0)) == s + 17);
	CHECK(strrchr(s, HIDE('t')) == s + 14 && strchrnul(s, HIDE('z')) == s + 17);
	CHECK(strnchr(s, HIDE(4), 't') == NULL && strnchr(s, HIDE(5), 't') == s + 4);
	CHECK(strstr(s, HIDE((const char *)"two")) == s + 4 && strstr(s, HIDE((const char *)"")) == s);
	CHECK(!strstr(s, HIDE((const char *)"twos")));
	CHECK(!strnstr(s, "two", HIDE(6)) && strnstr(s, "two", HIDE(7)) == s + 4);
	CHECK(strspn(s, "noe") == 3 && strcspn(s, "wt") == 4);
	CHECK(strpbrk(s, "xyw") == s + 5 && !strpbrk(s, "xyz"));
	CHECK(memchr(s, HIDE('w'), HIDE(5)) == NULL && memchr(s, HIDE('w'), HIDE(6)) == s + 5);
	CHECK(memscan((void *)s, HIDE('q'), HIDE(17)) == s + 17);
	CHECK(memchr_inv(HIDE((const char *)"aaaaaaaaaaaaaaaaaaaab"), 'a', HIDE(21)) != NULL);
	CHECK(memchr_inv(HIDE((const char *)"aaaaaaaaaaaaaaaaaaaab"), 'a', HIDE(20)) == NULL);
	CHECK(match_string(words, -1, "two") == 2 && match_string(words, 2, "two") == -EINVAL);
	CHECK(sysfs_match_string(words, "one\n") == 1);
	return 0;
}

static int check_copy(void)
{
	char buf[16], *rest, *text;

	memset(buf, 'x', sizeof(buf));
	CHECK(strscpy(buf, HIDE((const char *)"abc"), HIDE(4)) == 3 && !strcmp(buf, "abc") && buf[4] == 'x');
	CHECK(strscpy(buf, HIDE((const char *)"abcd"), HIDE(4)) == -E2BIG && !strcmp(buf, "abc"));
	CHECK(strscpy(buf, HIDE((const char *)"a"), HIDE(0)) == -E2BIG);
	CHECK(strlcpy(buf, HIDE((const char *)"too long"), HIDE(4)) == 8 && !strcmp(buf, "too"));
	memset(buf, 'x', sizeof(buf));
	strncpy(buf, HIDE((const char *)"ab"), HIDE(5));
	CHECK(!memcmp(buf, "ab\0\0\0x", 6));
	strcpy(buf, HIDE((const char *)"ab"));
	strcat(buf, HIDE((const char *)"cd"));
	strncat(buf, HIDE((const char *)"efgh"), HIDE(2));
	CHECK(!strcmp(buf, "abcdef"));
	CHECK(strlcat(buf, HIDE((const char *)"1234"), HIDE(9)) == 10 && !strcmp(buf, "abcdef12"));
	memmove(buf + 2, buf, HIDE(6));
	CHECK(!memcmp(buf, "ababcdef", 8));
	memmove(buf, buf + 2, HIDE(6));
	CHECK(!memcmp(buf, "abcdefef", 8));
	strcpy(buf, HIDE((const char *)"a,b,,c"));
	rest = buf;
	CHECK(!strcmp(strsep(&rest, ","), "a") && !strcmp(strsep(&rest, ","), "b"));
	CHECK(!strcmp(strsep(&rest, ","), "") && !strcmp(strsep(&rest, ","), "c"));
	CHECK(!rest && !strsep(&rest, ","));
	strcpy(buf, HIDE((const char *)" \t in it \n"));
	text = skip_spaces(buf);
	CHECK(text == buf + 3);
	CHECK(!strcmp(strim(buf), "in it"));
	strcpy(buf, HIDE((const char *)"a-b-c"));
	strreplace(buf, '-', '_');
	CHECK(!strcmp(buf, "a_b_c"));
	return 0;
}

static int check_hex(void)
{
	static const u8 bytes[] = { 0x00, 0x7f, 0xa5 };
	char text[8] = "";
	u8 back[3];

	CHECK(hex_to_bin('0') == 0 && hex_to_bin('f') == 15 && hex_to_bin('F') == 15);
	CHECK(hex_to_bin('g') < 0 && hex_to_bin(' ') < 0);
	CHECK(bin2hex(text, bytes, HIDE(3)) == text + 6);
	CHECK(!memcmp(text, "007fa5", 6));
	CHECK(!hex2bin(back, "007FA5", HIDE(3)) && !memcmp(back, bytes, 3));
	CHECK(hex2bin(back, "00x1", HIDE(2)) == -EINVAL);
	return 0;
}

CHECKS(check_compare, check_search, check_copy, check_hex);
