/* Answers the system calls of the program while the image is made.
 *
 * What every machine answers alike is left to the kernel. What differs (process numbers, times, random bytes, numbers
 * of files, places of memory) gets an answer that is always the same, and what would leave something in the kernel that
 * an image cannot hold is refused. A call that is in neither list is refused, too: somebody has to decide where it
 * belongs. */
#define _GNU_SOURCE
#include "tracer.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

unsigned long tid_address, robust_list, room[2];

#define TIME 1000000000L /* seconds: the time that the program is told */

static bool is_inside; /* the program is in a call: the next stop is at its end */
static struct user_regs_struct entered;
static long answer; /* what the call returns that the kernel does not carry out; NONE where it does */
#define NONE 1000000L
#define LOWEST 0x2aaaaaaab000UL /* a third of the address space: where mappings begin that go upwards */

static void fill(unsigned long address, size_t size)
{
    unsigned char bytes[256];
    if (size > sizeof bytes)
        refuse("%zu random bytes at once", size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = 0x9e + 0x3b * i;
    write_memory(address, bytes, size);
}

static unsigned long place, wanted; /* where there may be room, and for how many bytes */

static void look_for_room(const struct mapping *one)
{
    if (one->end > place && one->start < place + wanted)
        place = one->end;
}

/* Have mmap() use the lowest place where there is room, as a kernel does whose mappings go upwards. Left to itself, a
 * newer kernel would align what is large to 2 MiB, and that depends on the file system. */
static void choose_place(struct user_regs_struct now)
{
    place = LOWEST, wanted = (now.rsi + 4095) & ~4095UL;
    each_mapping(look_for_room);
    now.rdi = place, now.r10 |= MAP_FIXED_NOREPLACE;
    set_registers(&now);
}

/* Return the answer to a call that is not carried out, NONE for one that is. */
static long instead_of(const struct user_regs_struct *now)
{
    long time[2] = {TIME, 0};
    struct rlimit stack = {STACK_SIZE, RLIM_INFINITY};
    switch (now->orig_rax) {
    case SYS_getpid: case SYS_gettid: return 1;
    case SYS_getppid: case SYS_getuid: case SYS_geteuid: case SYS_getgid: case SYS_getegid: return 0;
    case SYS_set_tid_address: tid_address = now->rdi; return 1;
    case SYS_set_robust_list: robust_list = now->rdi; return 0;
    case SYS_rseq: return -ENOSYS; /* a restartable sequence is registered with the kernel, for this thread */
    /* The launcher has a break of its own. To be told of none makes glibc take its memory from mmap, and ask again
     * once the image has gone on. */
    case SYS_brk: return 0;
    case SYS_getrandom: fill(now->rdi, now->rsi); return now->rsi;
    case SYS_clock_gettime: write_memory(now->rsi, time, sizeof time); return 0;
    case SYS_gettimeofday: write_memory(now->rdi, time, sizeof time); return 0;
    case SYS_time: return TIME;
    case SYS_clock_getres: time[0] = 0, time[1] = 1; write_memory(now->rsi, time, sizeof time); return 0;
    case SYS_prlimit64:
        if (now->rdi || now->rdx || now->rsi != RLIMIT_STACK)
            refuse("a limit other than the stack's is read or set");
        write_memory(now->r10, &stack, sizeof stack);
        return 0;
    case SYS_readv: /* how the program tells where the launcher is to leave the caller's environment */
        if ((int)now->rdi != -1 || room[1])
            refuse("the program reads with readv()");
        read_memory(now->rsi, room, sizeof room);
        return -EBADF;
    case SYS_getxattr: return -ENODATA;
    case SYS_sysinfo: case SYS_uname: return -ENOSYS;
    case SYS_sched_getaffinity: return -ENOSYS;
    case SYS_arch_prctl: /* which is 0x1002 for the thread's base; all others are of features that are off */
        return now->rdi == 0x1002 ? NONE : -EINVAL;
    case SYS_mmap: case SYS_munmap: case SYS_mprotect: case SYS_mremap: case SYS_madvise:
    case SYS_openat: case SYS_open: case SYS_close: case SYS_read: case SYS_pread64: case SYS_lseek: case SYS_access:
    case SYS_readlink: case SYS_readlinkat: case SYS_getcwd: case SYS_getdents64: case SYS_fcntl: case SYS_ioctl:
    case SYS_stat: case SYS_lstat: case SYS_fstat: case SYS_newfstatat:
    case SYS_exit: case SYS_exit_group: /* it ends before it was ready, which is told with its status */
    case SYS_rt_sigaction: case SYS_rt_sigprocmask: case SYS_futex: case SYS_dup:
        return NONE;
    }
    refuse("the program makes system call %lld, of which the tracer knows nothing", (long long)now->orig_rax);
}

/* Make what stat() tells the same everywhere: numbers in the order of the first look, no times, no owners. */
static void level_status(unsigned long address)
{
    static struct { dev_t device; ino_t number; } seen[256];
    static int count;
    struct stat status, plain;
    read_memory(address, &status, sizeof status);
    int number = 0;
    while (number < count && (seen[number].device != status.st_dev || seen[number].number != status.st_ino))
        number++;
    if (number == 256)
        refuse("the program looks at more than 256 files");
    if (number == count)
        seen[count].device = status.st_dev, seen[count++].number = status.st_ino;
    memset(&plain, 0, sizeof plain);
    plain.st_dev = 1, plain.st_ino = number + 1, plain.st_nlink = 1;
    plain.st_mode = (status.st_mode & S_IFMT) | (S_ISDIR(status.st_mode) ? 0755 : 0644);
    plain.st_rdev = status.st_rdev, plain.st_size = S_ISDIR(status.st_mode) ? 0 : status.st_size;
    plain.st_blksize = 4096, plain.st_blocks = (plain.st_size + 511) / 512, plain.st_mtime = TIME;
    write_memory(address, &plain, sizeof plain);
}

bool answer_call(void)
{
    struct user_regs_struct now = registers();
    is_inside = !is_inside;
    if (is_inside) {
        if (now.orig_rax == SYS_pipe2)
            return true;
        entered = now, answer = instead_of(&now);
        if (answer != NONE) {
            now.orig_rax = -1;
            set_registers(&now);
        } else if (now.orig_rax == SYS_mmap && !now.rdi && !(now.r10 & MAP_FIXED)) {
            choose_place(now);
        }
        return false;
    }
    if (answer != NONE) {
        now.rax = answer;
        set_registers(&now);
        return false;
    }
    if (entered.orig_rax == SYS_mmap) { /* a call leaves its arguments as they were */
        now.rdi = entered.rdi, now.r10 = entered.r10;
        set_registers(&now);
    }
    if ((long)now.rax >= 0) {
        switch (entered.orig_rax) {
        case SYS_mmap:
            if (entered.rdx & PROT_EXEC)
                place_stops();
            break;
        case SYS_stat: case SYS_lstat: case SYS_fstat: level_status(entered.rsi); break;
        case SYS_newfstatat: level_status(entered.rdx); break;
        }
    }
    return false;
}
