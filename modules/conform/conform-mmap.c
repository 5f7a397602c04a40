// SPDX-License-Identifier: GPL-2.0
/* What a driver puts into a mapping of its file, and what the process that loads this module sees of it. */
//#Conforms: vm_mmap vm_munmap vm_insert_page vm_insert_pages vm_map_pages vm_map_pages_zero
//#Conforms: vmf_insert_pfn remap_vmalloc_range vmalloc_user zap_vma_ptes vm_get_page_prot
//#Conforms: unmap_mapping_range remap_pfn_range vm_iomap_memory
//#Verdict: clean
//#Result: load=0 init=0 exit=done
//#Real: load=0 unload=0 silent
#include <linux/anon_inodes.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/pagemap.h>
#include <linux/uaccess.h>
#include <linux/version.h>
#include <linux/vmalloc.h>
#include "check.h"

#define PAGES 3

static struct page *pages[PAGES];
static void *area;
static int faults, opens, closes, writes;
static int (*filler)(struct vm_area_struct *vma);
static vm_fault_t (*answer)(struct vm_fault *vmf);

static vm_fault_t on_fault(struct vm_fault *vmf)
{
	faults++;
	return answer(vmf);
}

static vm_fault_t on_write(struct vm_fault *vmf)
{
	writes++;
	lock_page(vmf->page);
	return VM_FAULT_LOCKED;
}

static void on_open(struct vm_area_struct *vma)
{
	opens++;
}

static void on_close(struct vm_area_struct *vma)
{
	closes++;
}

static const struct vm_operations_struct ops = {
	.open = on_open,
	.close = on_close,
	.fault = on_fault,
};

static const struct vm_operations_struct notify_ops = {
	.open = on_open,
	.close = on_close,
	.fault = on_fault,
	.page_mkwrite = on_write,
};

static const struct vm_operations_struct plain_ops = {
	.close = on_close,
};

static int on_mmap(struct file *file, struct vm_area_struct *vma)
{
	vma->vm_ops = &ops;
	return filler ? filler(vma) : 0;
}

static const struct file_operations fops = {
	.owner = THIS_MODULE,
	.mmap = on_mmap,
};

/* The process: maps so many pages, reads and writes a byte of a page, unmaps. */
static struct file *file;
static unsigned long last;

static unsigned long map_as(int count, unsigned long prot, unsigned long flag, unsigned long offset)
{
	unsigned long at = vm_mmap(file, 0, count * PAGE_SIZE, prot, flag, offset << PAGE_SHIFT);

	if (!IS_ERR_VALUE(at))
		last = at;
	return at;
}

static unsigned long map(int count, unsigned long offset)
{
	faults = opens = closes = writes = 0;
	return map_as(count, PROT_READ | PROT_WRITE, MAP_SHARED, offset);
}

static int peek(unsigned long at)
{
	u8 byte;

	return copy_from_user(&byte, (void __user *)at, 1) ? -1 : byte;
}

static int poke(unsigned long at, u8 byte)
{
	return copy_to_user((void __user *)at, &byte, 1) ? -1 : 0;
}

static u8 *kernel(int n)
{
	return page_address(pages[n]);
}

static vm_fault_t give_page(struct vm_fault *vmf)
{
	if (vmf->pgoff >= PAGES)
		return VM_FAULT_SIGBUS;
	get_page(pages[vmf->pgoff]);
	vmf->page = pages[vmf->pgoff];
	return 0;
}

static int check_fault(void)
{
	unsigned long at;

	filler = NULL;
	answer = give_page;
	kernel(0)[5] = 17;
	at = map(4, 0);
	CHECK(!IS_ERR_VALUE(at) && PAGE_ALIGNED(at));
	CHECK(faults == 0 && opens == 0);
	CHECK(peek(at + 5) == 17 && faults == 1);
	CHECK(page_count(pages[0]) == 2 && page_mapcount(pages[0]) == 1);
	CHECK(poke(at + 6, 18) == 0 && kernel(0)[6] == 18 && faults == 1);
	CHECK(poke(at + 2 * PAGE_SIZE, 19) == 0 && kernel(2)[0] == 19 && faults == 2);
	/* A copy that cannot be may be tried again byte by byte. */
	CHECK(peek(at + 3 * PAGE_SIZE) == -1 && faults >= 3);
	faults = 3;
	CHECK(closes == 0);
	/* The middle goes: the mapping is split. */
	CHECK(vm_munmap(at + PAGE_SIZE, PAGE_SIZE) == 0);
	CHECK(opens == 2 && closes == 1);
	CHECK(peek(at + PAGE_SIZE) == -1);
	CHECK(peek(at + 6) == 18 && peek(at + 2 * PAGE_SIZE) == 19 && faults == 3);
	CHECK(vm_munmap(at, 4 * PAGE_SIZE) == 0);
	CHECK(closes == 3 && peek(at + 6) == -1);
	CHECK(page_count(pages[0]) == 1 && page_count(pages[2]) == 1);
	CHECK(page_mapcount(pages[0]) == 0);
	return 0;
}

/* Seen from an offset, and a file whose pages are taken away. */
static int check_offset(void)
{
	unsigned long at = map(2, 1);

	kernel(1)[0] = 31;
	CHECK(!IS_ERR_VALUE(at));
	CHECK(peek(at) == 31 && faults == 1);
	CHECK(peek(at + PAGE_SIZE) == 19 && faults == 2);
	unmap_mapping_range(file->f_mapping, PAGE_SIZE, PAGE_SIZE, 1);
	CHECK(page_count(pages[1]) == 1 && page_count(pages[2]) == 2);
	CHECK(peek(at) == 31 && faults == 3);
	CHECK(vm_munmap(at, 2 * PAGE_SIZE) == 0);
	return 0;
}

static int with_notify(struct vm_area_struct *vma)
{
	vma->vm_ops = &notify_ops;
	return 0;
}

static int check_mkwrite(void)
{
	unsigned long at;

	filler = with_notify;
	at = map(2, 0);
	CHECK(!IS_ERR_VALUE(at));
	CHECK(peek(at) >= 0 && faults == 1 && writes == 0);
	CHECK(poke(at, 1) == 0 && writes == 1);
	CHECK(poke(at, 2) == 0 && writes == 1 && kernel(0)[0] == 2);
	CHECK(poke(at + PAGE_SIZE, 3) == 0 && faults == 2 && writes == 2);
	CHECK(!PageLocked(pages[0]) && page_count(pages[0]) == 2);
	CHECK(vm_munmap(at, 2 * PAGE_SIZE) == 0);
	CHECK(page_count(pages[0]) == 1);
	return 0;
}

static int insert_two(struct vm_area_struct *vma)
{
	unsigned long at = vma->vm_start;

	CHECK(!(vma->vm_flags & VM_MIXEDMAP));
	CHECK(vm_insert_page(vma, at, pages[0]) == 0);
	CHECK(vma->vm_flags & VM_MIXEDMAP);
	CHECK(vm_insert_page(vma, at, pages[1]) == -EBUSY);
	CHECK(vm_insert_page(vma, vma->vm_end, pages[1]) == -EFAULT);
	CHECK(page_count(pages[0]) == 2);
	vma->vm_ops = &plain_ops;
	return vm_insert_page(vma, at + PAGE_SIZE, pages[1]);
}

static int insert_all(struct vm_area_struct *vma)
{
	unsigned long num = PAGES;

	int ret = vm_insert_pages(vma, vma->vm_start, pages, &num);

	vma->vm_ops = &plain_ops;
	CHECK(num == (ret ? PAGES : 0));
	return ret;
}

static int map_all(struct vm_area_struct *vma)
{
	vma->vm_ops = &plain_ops;
	return vm_map_pages(vma, pages, PAGES);
}

static int map_zero(struct vm_area_struct *vma)
{
	vma->vm_ops = &plain_ops;
	return vm_map_pages_zero(vma, pages, PAGES);
}

static int check_insert(void)
{
	unsigned long at;

	filler = insert_two;
	at = map(3, 0);
	CHECK(!IS_ERR_VALUE(at));
	kernel(1)[1] = 41;
	CHECK(peek(at + PAGE_SIZE + 1) == 41);
	CHECK(poke(at, 42) == 0 && kernel(0)[0] == 42);
	/* No fault handler: the third page is SIGBUS. */
	CHECK(peek(at + 2 * PAGE_SIZE) == -1);
	CHECK(vm_munmap(at, 3 * PAGE_SIZE) == 0 && closes == 1);
	CHECK(page_count(pages[0]) == 1 && page_count(pages[1]) == 1);

	filler = insert_all;
	CHECK(map(2, 0) == -EFAULT);
	CHECK(closes == 0 && page_count(pages[0]) == 1);
	at = map(3, 0);
	CHECK(!IS_ERR_VALUE(at) && peek(at) == 42);
	CHECK(vm_munmap(at, 3 * PAGE_SIZE) == 0);

	filler = map_all;
	CHECK(map(3, 1) == -ENXIO && map(1, 3) == -ENXIO);
	at = map(2, 1);
	CHECK(!IS_ERR_VALUE(at) && peek(at + 1) == 41);
	CHECK(vm_munmap(at, 2 * PAGE_SIZE) == 0);
	filler = map_zero;
	at = map(2, 1);
	CHECK(!IS_ERR_VALUE(at) && peek(at) == 42);
	CHECK(vm_munmap(at, 2 * PAGE_SIZE) == 0);
	CHECK(page_count(pages[0]) == 1);
	return 0;
}

static int numbers(struct vm_area_struct *vma)
{
	unsigned long pfn = page_to_pfn(pages[0]);

	CHECK(remap_pfn_range(vma, vma->vm_start, pfn, PAGE_SIZE, vma->vm_page_prot) == 0);
	CHECK((vma->vm_flags & (VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP)) ==
	      (VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP));
	return 0;
}

static vm_fault_t give_number(struct vm_fault *vmf)
{
	vm_fault_t ret = vmf_insert_pfn(vmf->vma, vmf->address, page_to_pfn(pages[vmf->pgoff]));

	if (vmf_insert_pfn(vmf->vma, vmf->vma->vm_end, page_to_pfn(pages[0])) != VM_FAULT_SIGBUS)
		return VM_FAULT_SIGSEGV;
	return ret;
}

static struct vm_area_struct *seen;

static int by_number(struct vm_area_struct *vma)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	vm_flags_set(vma, VM_PFNMAP | VM_IO);
#else
	vma->vm_flags |= VM_PFNMAP | VM_IO;
#endif
	seen = vma;
	return 0;
}

static int window(struct vm_area_struct *vma)
{
	vma->vm_ops = &plain_ops;
	return vm_iomap_memory(vma, page_to_phys(pages[0]), PAGE_SIZE);
}

static int check_numbers(void)
{
	unsigned long at;

	filler = numbers;
	at = map(1, 0);
	CHECK(!IS_ERR_VALUE(at));
	CHECK(peek(at) == 42 && faults == 0);
	CHECK(poke(at, 43) == 0 && kernel(0)[0] == 43);
	CHECK(page_count(pages[0]) == 1 && page_mapcount(pages[0]) == 0);
	CHECK(vm_munmap(at, PAGE_SIZE) == 0);

	filler = by_number;
	answer = give_number;
	at = map(2, 0);
	CHECK(!IS_ERR_VALUE(at));
	CHECK(peek(at) == 43 && peek(at) == 43 && faults == 1);
	zap_vma_ptes(seen, at, PAGE_SIZE);
	CHECK(peek(at) == 43 && faults == 2);
	CHECK(page_count(pages[0]) == 1);
	CHECK(vm_munmap(at, 2 * PAGE_SIZE) == 0);

	filler = window;
	CHECK(map(2, 0) == -EINVAL && map(1, 2) == -EINVAL);
	at = map(1, 0);
	CHECK(!IS_ERR_VALUE(at) && peek(at) == 43);
	CHECK(vm_munmap(at, PAGE_SIZE) == 0);
	return 0;
}

static int whole_area(struct vm_area_struct *vma)
{
	vma->vm_ops = &plain_ops;
	return remap_vmalloc_range(vma, area, vma->vm_pgoff);
}

static int no_user_area(struct vm_area_struct *vma)
{
	void *other = vmalloc(PAGE_SIZE);
	int ret = other ? remap_vmalloc_range(vma, other, 0) : -ENOMEM;

	vfree(other);
	return ret;
}

static int check_vmalloc(void)
{
	unsigned long at;
	u8 *bytes;

	area = vmalloc_user(2 * PAGE_SIZE);
	CHECK(area);
	bytes = area;
	CHECK(!memchr_inv(area, 0, 2 * PAGE_SIZE));
	bytes[PAGE_SIZE] = 51;
	filler = whole_area;
	CHECK(map(3, 0) == -EINVAL && map(2, 1) == -EINVAL);
	at = map(2, 0);
	CHECK(!IS_ERR_VALUE(at));
	CHECK(peek(at + PAGE_SIZE) == 51);
	CHECK(poke(at, 52) == 0 && bytes[0] == 52);
	/* The pages outlive their kernel mapping. */
	vfree(area);
	CHECK(peek(at) == 52);
	CHECK(vm_munmap(at, 2 * PAGE_SIZE) == 0);
	filler = no_user_area;
	CHECK(map(1, 0) == -EINVAL);
	return 0;
}

/* A private mapping: the first write makes a page of the process's own. */
static int check_private(void)
{
	unsigned long at;

	filler = NULL;
	answer = give_page;
	faults = closes = 0;
	at = map_as(2, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
	CHECK(!IS_ERR_VALUE(at));
	CHECK(peek(at) == 43);
	CHECK(poke(at, 44) == 0 && peek(at) == 44 && kernel(0)[0] == 43);
	CHECK(page_count(pages[0]) == 1);
	CHECK(poke(at + PAGE_SIZE, 45) == 0 && kernel(1)[0] != 45);
	CHECK(peek(at + PAGE_SIZE + 1) == 41);
	CHECK(vm_munmap(at, 2 * PAGE_SIZE) == 0 && closes == 1);

	at = map_as(1, PROT_READ, MAP_SHARED, 0);
	CHECK(!IS_ERR_VALUE(at));
	CHECK(peek(at) == 43 && poke(at, 1) == -1 && kernel(0)[0] == 43);
	CHECK(vm_munmap(at, PAGE_SIZE) == 0);
	return 0;
}

static int check_prot(void)
{
	pgprot_t rw = vm_get_page_prot(VM_READ | VM_WRITE | VM_SHARED);
	pgprot_t ro = vm_get_page_prot(VM_READ | VM_SHARED);
	pgprot_t cow = vm_get_page_prot(VM_READ | VM_WRITE);

	CHECK(pgprot_val(rw) & _PAGE_RW);
	CHECK(!(pgprot_val(ro) & _PAGE_RW) && pgprot_val(ro) == pgprot_val(cow));
	CHECK((pgprot_val(rw) ^ pgprot_val(ro)) == _PAGE_RW);
	return 0;
}

static int check_all(void)
{
	static int (*const checks[])(void) = {
		check_prot, check_fault, check_offset, check_mkwrite, check_insert,
		check_numbers, check_vmalloc, check_private,
	};
	int n, ret = 0;

	for (n = 0; n < PAGES; n++) {
		pages[n] = alloc_page(GFP_KERNEL | __GFP_ZERO);
		CHECK(pages[n]);
	}
	file = anon_inode_getfile("conform-mmap", &fops, NULL, O_RDWR);
	CHECK(!IS_ERR(file));
	for (n = 0; n < ARRAY_SIZE(checks) && !ret; n++)
		ret = checks[n]();
	/* Nothing of this module may be called when it has gone: the last fput comes after init. */
	if (ret) {
		vm_munmap(last, (PAGES + 1) * PAGE_SIZE);
		return ret;
	}
	fput(file);
	for (n = 0; n < PAGES; n++)
		__free_page(pages[n]);
	return 0;
}

CHECKS(check_all);
