/*
** What ioctl writes, by its request. Requests that encode direction and size are believed where
** their family keeps to the encoding; those that lie or that hold pointers are named.
*/
#define _GNU_SOURCE
#include <asm/ioctls.h>
#include <errno.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "replay/syscalls_walk.h"

typedef struct Request {
  uint32_t code;
  uint32_t size; /* bytes written when it succeeds */
  bool waits;
} Request;

/* Whatever their encoding says. Structures are the kernel's: termios has 36 bytes, ifreq 40. */
static const Request requests[] = {
    {TCGETS, 36, false},
    {TCSETS, 0, false},
    {TCSETSW, 0, true},
    {TCSETSF, 0, true},
    {TCGETA, 18, false},
    {TCSETA, 0, false},
    {TCSETAW, 0, true},
    {TCSETAF, 0, true},
    {TCSBRK, 0, true},
    {TCXONC, 0, true},
    {TCFLSH, 0, false},
    {TIOCEXCL, 0, false},
    {TIOCNXCL, 0, false},
    {TIOCSCTTY, 0, false},
    {TIOCGPGRP, 4, false},
    {TIOCSPGRP, 0, false},
    {TIOCOUTQ, 4, false},
    {TIOCSTI, 0, false},
    {TIOCGWINSZ, 8, false},
    {TIOCSWINSZ, 0, false},
    {TIOCMGET, 4, false},
    {TIOCMBIS, 0, false},
    {TIOCMBIC, 0, false},
    {TIOCMSET, 0, false},
    {TIOCGSOFTCAR, 4, false},
    {TIOCSSOFTCAR, 0, false},
    {FIONREAD, 4, false},
    {TIOCCONS, 0, false},
    {TIOCGSERIAL, 72, false},
    {TIOCSSERIAL, 0, false},
    {TIOCPKT, 0, false},
    {FIONBIO, 0, false},
    {TIOCNOTTY, 0, false},
    {TIOCSETD, 0, false},
    {TIOCGETD, 4, false},
    {TCSBRKP, 0, true},
    {TIOCSBRK, 0, false},
    {TIOCCBRK, 0, false},
    {TIOCGSID, 4, false},
    {TIOCVHANGUP, 0, false},
    {FIONCLEX, 0, false},
    {FIOCLEX, 0, false},
    {FIOASYNC, 0, false},
    {TIOCGLCKTRMIOS, 36, false},
    {TIOCSLCKTRMIOS, 0, false},
    {TIOCMIWAIT, 0, true},
    {FIOQSIZE, 8, false},
    {TIOCGPTPEER, 0, false},
    /* files: flags and versions are encoded as long and are int */
    {FIBMAP, 4, false},
    {FIGETBSZ, 4, false},
    {FICLONE, 0, false},
    {FICLONERANGE, 0, false},
    {FS_IOC_GETFLAGS, 4, false},
    {FS_IOC_SETFLAGS, 0, false},
    {FS_IOC_GETVERSION, 4, false},
    {FS_IOC_SETVERSION, 0, false},
    {FIFREEZE, 0, true},
    {FITHAW, 0, true},
    {FITRIM, 24, true},
    /* block devices */
    {BLKROSET, 0, false},
    {BLKROGET, 4, false},
    {BLKRRPART, 0, true},
    {BLKGETSIZE, 8, false},
    {BLKFLSBUF, 0, true},
    {BLKRASET, 0, false},
    {BLKRAGET, 8, false},
    {BLKFRASET, 0, false},
    {BLKFRAGET, 8, false},
    {BLKSECTGET, 2, false},
    {BLKSSZGET, 4, false},
    {BLKBSZGET, 4, false},
    {BLKBSZSET, 0, false},
    {BLKGETSIZE64, 8, false},
    {BLKDISCARD, 0, true},
    {BLKIOMIN, 4, false},
    {BLKIOOPT, 4, false},
    {BLKALIGNOFF, 4, false},
    {BLKPBSZGET, 4, false},
    {BLKDISCARDZEROES, 4, false},
    {BLKSECDISCARD, 0, true},
    {BLKROTATIONAL, 2, false},
    {BLKZEROOUT, 0, true},
    {0x301 /* HDIO_GETGEO */, 16, false},
    /* sockets and interfaces */
    {SIOCATMARK, 4, false},
    {SIOCGPGRP, 4, false},
    {SIOCSPGRP, 0, false},
    {FIOGETOWN, 4, false},
    {FIOSETOWN, 0, false},
    {SIOCGSTAMP_OLD, 16, false},
    {SIOCGSTAMPNS_OLD, 16, false},
    {SIOCADDRT, 0, false},
    {SIOCDELRT, 0, false},
    {SIOCGIFNAME, 40, false},
    {SIOCGIFFLAGS, 40, false},
    {SIOCSIFFLAGS, 0, false},
    {SIOCGIFADDR, 40, false},
    {SIOCSIFADDR, 0, false},
    {SIOCGIFDSTADDR, 40, false},
    {SIOCGIFBRDADDR, 40, false},
    {SIOCGIFNETMASK, 40, false},
    {SIOCGIFMETRIC, 40, false},
    {SIOCGIFMEM, 40, false},
    {SIOCGIFMTU, 40, false},
    {SIOCGIFHWADDR, 40, false},
    {SIOCGIFINDEX, 40, false},
    {SIOCGIFTXQLEN, 40, false},
    {SIOCGIFMAP, 40, false},
    {SIOCGIFPFLAGS, 40, false},
};

static const Request *request_find(uint32_t code) {
  for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
    if (requests[i].code == code) return &requests[i];
  return NULL;
}

/* Families whose encoding tells the truth about everything not named above: newer requests of
** terminals, block devices and sockets; inotify and pidfd; random numbers, clocks and namespaces,
** which are the only ones to say "no memory" by it. */
static bool family_is_honest(uint32_t code) {
  switch (_IOC_TYPE(code)) {
  case 'T':
  case 0x12:
  case 'I':
  case 0x89:
  case 0xff:
    return _IOC_SIZE(code) > 0;
  case 'R':
  case 'p':
  case 0xb7:
    return true;
  default:
    return false;
  }
}

/* Errors with which a request ends before it has touched anything. */
static bool turned_away(const Walk *walk) {
  return walk->failed && !walk->may &&
         (walk->ret == -ENOTTY || walk->ret == -EBADF || walk->ret == -ENODEV);
}

/* struct fiemap, of 32 bytes, then as many extents of 56 as it says were found. */
static void walk_fiemap(Walk *walk) {
  enum { MAPPED_AT = 20, COUNT_AT = 24, HEAD = 32, EXTENT = 56 };
  uint64_t at = walk->args[2], count = walk_u32(walk, at + COUNT_AT);
  uint32_t mapped = walk->may ? UINT32_MAX : walk_u32(walk, at + MAPPED_AT);
  walk_out(walk, at, HEAD + (mapped < count ? mapped : count) * EXTENT);
}

/* struct ifconf { int length; pad; char *buffer } */
static void walk_ifconf(Walk *walk) {
  uint64_t at = walk->args[2];
  walk_out(walk, at, 4);
  walk_out(walk, walk_u64(walk, at + 8), walk_u32(walk, at));
}

static void walk_dedupe(Walk *walk) {
  enum { COUNT_AT = 16, HEAD = 24, EACH = 32 };
  uint64_t at = walk->args[2], count = walk_u32(walk, at + COUNT_AT) & 0xffff;
  walk_out(walk, at, HEAD + count * EACH);
}

void more_ioctl(Walk *walk) {
  uint32_t code = (uint32_t)walk->args[1];
  if (turned_away(walk)) return;
  const Request *known = request_find(code);
  if (known) {
    if (walk_wrote(walk)) walk_out(walk, walk->args[2], known->size);
    return;
  }
  switch (code) {
  case FS_IOC_FIEMAP:
    walk_fiemap(walk); /* also with some errors */
    return;
  case FIDEDUPERANGE:
    walk_dedupe(walk);
    return;
  case SIOCGIFCONF:
    if (walk_wrote(walk)) walk_ifconf(walk);
    return;
  case FS_IOC_FSGETXATTR:
  case FS_IOC_GETFSLABEL:
    break;
  case FS_IOC_FSSETXATTR:
  case FS_IOC_SETFSLABEL:
    return;
  default:
    if (!family_is_honest(code)) {
      walk->unknown = true;
      return;
    }
  }
  if (_IOC_DIR(code) & _IOC_READ) walk_out(walk, walk->args[2], _IOC_SIZE(code));
}

bool ioctl_may_block(const uint64_t args[6]) {
  const Request *known = request_find((uint32_t)args[1]);
  return !known || known->waits;
}
