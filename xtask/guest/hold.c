/*
 * hold KIND ARGUMENT...: takes a reference on a module the way KIND says, prints
 * "held", and keeps it until it is killed. Runs in the test VM, linked statically.
 *
 *   open PATH         mmap PATH       flight PATH     socket FAMILY TYPE PROTOCOL
 *   alg TYPE NAME [accept]            ldisc NUMBER    congestion NAME
 *   ulp NAME       context FILE-SYSTEM
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <arpa/inet.h>
#include <linux/if_alg.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int in_flight(int fd)
{
	int pair[2];
	char byte = 'x', room[CMSG_SPACE(sizeof(int))];
	struct iovec io = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &io, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room),
	};
	struct cmsghdr *header;

	if (fd < 0 || socketpair(AF_UNIX, SOCK_DGRAM, 0, pair))
		return -1;
	header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(int));
	if (sendmsg(pair[0], &message, 0) < 0)
		return -1;
	close(fd);
	return pair[1];
}

static int mapped(int fd)
{
	if (fd < 0 || mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED)
		return -1;
	close(fd);
	return 0;
}

static int alg(const char *type, const char *name, int accepted)
{
	struct sockaddr_alg address = { .salg_family = AF_ALG };
	int fd = socket(AF_ALG, SOCK_SEQPACKET, 0);

	strncpy((char *)address.salg_type, type, sizeof(address.salg_type) - 1);
	strncpy((char *)address.salg_name, name, sizeof(address.salg_name) - 1);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)))
		return -1;
	return accepted ? accept(fd, NULL, NULL) : fd;
}

static int discipline(int number)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY);

	if (master < 0 || grantpt(master) || unlockpt(master))
		return -1;
	int slave = open(ptsname(master), O_RDWR | O_NOCTTY);

	if (slave < 0 || ioctl(slave, TIOCSETD, &number))
		return -1;
	return slave;
}

static int congestion(const char *name)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, strlen(name)))
		return -1;
	return fd;
}

/* Upper layer protocols are for connected sockets. */
static int upper(const char *name)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&address, &length) ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_ULP, name, strlen(name)))
		return -1;
	return fd;
}

int main(int argc, char **argv)
{
	const char *kind = argc > 2 ? argv[1] : "";
	int fd = -1;

	if (!strcmp(kind, "open"))
		fd = open(argv[2], O_RDWR | O_NONBLOCK);
	else if (!strcmp(kind, "mmap"))
		fd = mapped(open(argv[2], O_RDWR));
	else if (!strcmp(kind, "flight"))
		fd = in_flight(open(argv[2], O_RDWR));
	else if (!strcmp(kind, "socket") && argc > 4)
		fd = socket(atoi(argv[2]), atoi(argv[3]), atoi(argv[4]));
	else if (!strcmp(kind, "alg") && argc > 3)
		fd = alg(argv[2], argv[3], argc > 4);
	else if (!strcmp(kind, "congestion"))
		fd = congestion(argv[2]);
	else if (!strcmp(kind, "ulp"))
		fd = upper(argv[2]);
	else if (!strcmp(kind, "context"))
		fd = syscall(SYS_fsopen, argv[2], 0);
	else if (!strcmp(kind, "ldisc"))
		fd = discipline(atoi(argv[2]));
	if (fd < 0) {
		printf("cannot hold %s: %s\n", kind, strerror(errno));
		return 1;
	}
	printf("held\n");
	fflush(stdout);
	for (;;)
		pause();
}
