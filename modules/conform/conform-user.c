// SPDX-License-Identifier: GPL-2.0
/* User memory of the loading process, and files that kernel code opens and reads. */
//#Conforms: vm_mmap vm_munmap _copy_from_user _copy_to_user strncpy_from_user strnlen_user
//#Conforms: check_zeroed_user memdup_user memdup_user_nul strndup_user
//#Conforms: copy_from_kernel_nofault simple_read_from_buffer simple_write_to_buffer
//#Conforms: filp_open filp_close kernel_read proc_create_single_data remove_proc_entry
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include "check.h"

/* Two pages, and behind them one where nothing is. */
static char __user *map(void)
{
	unsigned long user = vm_mmap(NULL, 0, 3 * PAGE_SIZE, PROT_READ | PROT_WRITE,
				     MAP_ANONYMOUS | MAP_PRIVATE, 0);

	if (!IS_ERR_VALUE(user))
		vm_munmap(user + 2 * PAGE_SIZE, PAGE_SIZE);
	return (char __user *)user;
}

static int check_copies(void)
{
	char __user *user = map();
	char word[8], *dup;

	CHECK(!IS_ERR_VALUE((unsigned long)user));
	CHECK(!copy_to_user(user, "abcdefg", 8));
	CHECK(!copy_from_user(word, user, 8) && !memcmp(word, "abcdefg", 8));
	/* The range ends behind two pages: what is left over is told, and zeroed in the kernel's copy. */
	CHECK(copy_to_user(user + 2 * PAGE_SIZE, word, 8) == 8);
	memset(word, 'x', 8);
	CHECK(copy_from_user(word, user + 2 * PAGE_SIZE, 8) == 8 && !word[0] && !word[7]);
	CHECK(strncpy_from_user(word, user, 8) == 7 && !strcmp(word, "abcdefg"));
	CHECK(strncpy_from_user(word, user, 3) == 3 && !memcmp(word, "abc", 3));
	CHECK(strncpy_from_user(word, user + 2 * PAGE_SIZE, 3) == -EFAULT);
	CHECK(strnlen_user(user, 100) == 8 && strnlen_user(user, 3) > 3);
	CHECK(strnlen_user(user + 2 * PAGE_SIZE, 3) == 0);
	dup = memdup_user(user, 4);
	CHECK(!IS_ERR(dup) && !memcmp(dup, "abcd", 4));
	kfree(dup);
	dup = memdup_user_nul(user, 4);
	CHECK(!IS_ERR(dup) && !strcmp(dup, "abcd"));
	kfree(dup);
	dup = strndup_user(user, 100);
	CHECK(!IS_ERR(dup) && !strcmp(dup, "abcdefg"));
	kfree(dup);
	CHECK(strndup_user(user, 4) == ERR_PTR(-EINVAL));
	CHECK(memdup_user(user + 2 * PAGE_SIZE, 4) == ERR_PTR(-EFAULT));
	CHECK(check_zeroed_user(user, 8) == 0);
	CHECK(!clear_user(user, 8) && check_zeroed_user(user, 8) == 1);
	CHECK(check_zeroed_user(user + 2 * PAGE_SIZE, 8) == -EFAULT);
	CHECK(!vm_munmap((unsigned long)user, 2 * PAGE_SIZE));
	CHECK(copy_from_user(word, user, 8) == 8);
	return 0;
}

static int check_kernel(void)
{
	char from[4] = "abc", to[4];

	CHECK(!copy_from_kernel_nofault(to, from, 4) && !memcmp(to, from, 4));
	CHECK(copy_from_kernel_nofault(to, NULL, 4) < 0);
	return 0;
}

static int check_buffers(void)
{
	char __user *user = map();
	char text[8] = "abcdef", back[4];
	loff_t pos = 4;

	CHECK(!IS_ERR_VALUE((unsigned long)user));
	CHECK(simple_read_from_buffer(user, 8, &pos, text, 6) == 2 && pos == 6);
	CHECK(!copy_from_user(back, user, 2) && !memcmp(back, "ef", 2));
	CHECK(simple_read_from_buffer(user, 8, &pos, text, 6) == 0);
	pos = -1;
	CHECK(simple_read_from_buffer(user, 8, &pos, text, 6) == -EINVAL);
	pos = 1;
	CHECK(simple_write_to_buffer(text, 8, &pos, user, 2) == 2 && pos == 3);
	CHECK(!memcmp(text, "aefdef", 6));
	pos = 0;
	CHECK(simple_read_from_buffer(user + 2 * PAGE_SIZE, 4, &pos, text, 6) == -EFAULT && pos == 0);
	CHECK(!vm_munmap((unsigned long)user, 2 * PAGE_SIZE));
	return 0;
}

static int opens;

static int show(struct seq_file *m, void *v)
{
	opens++;
	seq_printf(m, "%d of %s\n", opens, (char *)m->private);
	return 0;
}

static int check_file(void)
{
	struct proc_dir_entry *entry = proc_create_single_data("lkm-conform-user", 0444, NULL, show, "us");
	struct file *file;
	char text[16];
	loff_t pos = 0;

	CHECK(entry);
	file = filp_open("/proc/lkm-conform-user", O_RDONLY, 0);
	CHECK(!IS_ERR(file) && file_count(file) == 1);
	CHECK(kernel_read(file, text, sizeof(text), &pos) == 8 && pos == 8);
	CHECK(!memcmp(text, "1 of us\n", 8) && opens == 1);
	CHECK(kernel_read(file, text, sizeof(text), &pos) == 0);
	CHECK(!filp_close(file, NULL));
	remove_proc_entry("lkm-conform-user", NULL);
	CHECK(filp_open("/proc/lkm-conform-user", O_RDONLY, 0) == ERR_PTR(-ENOENT));
	return 0;
}

CHECKS(check_copies, check_kernel, check_buffers, check_file);
