// SPDX-License-Identifier: GPL-2.0
/* The guest's interpreter under the name modprobe: what the kernel starts for some scripts (rawsys.c). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "rawsys.h"

/* It is there where very many are started. */
#define MANY "/x/many"

static void write_words(FILE *to, char **words)
{
	for (; *words; words++)
		fprintf(to, " \"%s\"", *words);
	fprintf(to, "\n");
}

/* Whether the parent is a thread of the kernel: those have no program. */
static bool started_by_kernel(void)
{
	char path[64], exe[PATH_MAX];

	snprintf(path, sizeof(path), "/proc/%d/exe", getppid());
	return readlink(path, exe, sizeof(exe)) < 0;
}

/* Names of modules have no '-'. */
static void canonical(char *name)
{
	for (; *name; name++)
		if (*name == '-')
			*name = '_';
}

/* The file of a module by its name, from modules.dep; NULL when there is none. */
static const char *module_file(const char *tree, const char *name)
{
	static char line[4096], path[PATH_MAX];
	char base[256];
	FILE *dep;

	snprintf(path, sizeof(path), "%s/modules.dep", tree);
	dep = fopen(path, "r");
	while (dep && fgets(line, sizeof(line), dep)) {
		char *slash;

		line[strcspn(line, ":")] = 0;
		slash = strrchr(line, '/');
		snprintf(base, sizeof(base), "%.255s", slash ? slash + 1 : line);
		base[strcspn(base, ".")] = 0;
		canonical(base);
		if (!strcmp(base, name)) {
			snprintf(path, sizeof(path), "%s/%.3000s", tree, line);
			fclose(dep);
			return path;
		}
	}
	return NULL;
}

/*
 * A modprobe for modules that need no others: by name or by alias, one that is
 * there already is a success, as for kmod. It has no libraries to load.
 */
static int small_modprobe(const char *wanted)
{
	char tree[512], line[4096], name[256], pattern[256], module[256];
	const char *file;
	struct utsname u;
	FILE *aliases;
	int fd;

	uname(&u);
	snprintf(tree, sizeof(tree), "/lib/modules/%s", u.release);
	snprintf(name, sizeof(name), "%s", wanted);
	canonical(name);
	file = module_file(tree, name);
	snprintf(line, sizeof(line), "%s/modules.alias", tree);
	aliases = file ? NULL : fopen(line, "r");
	while (aliases && fgets(line, sizeof(line), aliases))
		if (sscanf(line, "alias %255s %255s", pattern, module) == 2) {
			canonical(pattern);
			if (!fnmatch(pattern, name, 0))
				file = module_file(tree, module);
		}
	fd = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return 1;
	return syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST;
}

/* What the kernel starts in modprobe's place; a small one where very many are started. */
int helper(int argc, char **argv, char **envp)
{
	FILE *to;

	if (!started_by_kernel()) {
		execve("/bin/kmod", argv, envp);
		return 127;
	}
	if (!access(MANY, F_OK))
		return small_modprobe(argv[argc - 1]);
	to = fopen(HELPERS, "a");
	if (to) {
		/* One write, as several may be at it. */
		char text[4096];

		setvbuf(to, text, _IOFBF, sizeof(text));
		fprintf(to, "%s:", argv[0]);
		write_words(to, argv);
		fprintf(to, "  environment:");
		write_words(to, envp);
		fclose(to);
	}
	execve("/bin/kmod", argv, envp);
	return 127;
}
