/* Continue the plugin from its image: map what the process was when the bundle was built, give it what belongs to this
 * process, and jump to where it stopped.
 *
 * A process is its memory, its registers and what the kernel keeps for it. The memory is in the image, a segment for
 * each range; MAP_PRIVATE maps it copy-on-write, so nothing is read but the pages that are used, and what is written
 * stays here. Of the registers those matter that a function call keeps; the process stopped in one, in libc's pipe2().
 * The kernel's part is made anew, because it cannot be in a file: see `adopt`.
 *
 * Each step is checked. Whatever fails, the caller starts the plugin without the image: until the jump, nothing is done
 * that execve() does not undo, but for the last step, which no failure can follow. */
#include "launcher.h"

#include "image.h"

#include <asm/errno.h>
#include <asm/prctl.h>
#include <asm/stat.h>
#include <linux/auxvec.h>
#include <linux/elf.h>
#include <linux/fadvise.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/mman.h>
#include <linux/signal.h>
#include <linux/stat.h>
#include <linux/uio.h>

#define MEMORY (4L << 20) /* bytes that an ADD has to have left for its own */

static const unsigned char build_id[32] = BUILD_ID;
static unsigned char header[IMAGE_HEADER] __attribute__((aligned(8)));
static const struct image *image;
struct image_registers resumed; /* where `resume` finds them */

/* rax is the number of the system call that is made again first. rcx and r11 are lost in every call. */
__asm__(".text\n"
        "resume:\n"
        " lea resumed(%rip), %rax\n"
        " mov 0(%rax), %r15\n mov 8(%rax), %r14\n mov 16(%rax), %r13\n mov 24(%rax), %r12\n"
        " mov 32(%rax), %rbp\n mov 40(%rax), %rbx\n mov 48(%rax), %r9\n mov 56(%rax), %r8\n"
        " mov 64(%rax), %r10\n mov 72(%rax), %rdx\n mov 80(%rax), %rsi\n mov 88(%rax), %rdi\n"
        " mov 104(%rax), %rsp\n mov 112(%rax), %r11\n mov 96(%rax), %rax\n"
        " jmp *%r11\n");
void resume(void) __attribute__((noreturn));

static long length(const char *text)
{
    long n = 0;
    while (text[n])
        n++;
    return n;
}

static int is_same(const unsigned char *one, const unsigned char *other, int size)
{
    while (size--)
        if (one[size] != other[size])
            return 0;
    return 1;
}

static unsigned long auxiliary(const struct start *start, long type)
{
    for (long *entry = start->auxiliary; *entry != AT_NULL; entry += 2)
        if (*entry == type)
            return entry[1];
    return 0;
}

/* Read and check the header; return what is wrong with it, 0 for nothing. */
static const char *read_header(long file)
{
    struct stat status;
    if (call(__NR_fstat, file, (long)&status, 0, 0) || !S_ISREG(status.st_mode))
        return "it is no file";
    if (call(__NR_pread64, file, (long)header, sizeof header, 0) != sizeof header)
        return "it is cut off";
    const Elf64_Ehdr *elf = (const void *)header;
    const Elf64_Phdr *note = (const void *)(elf + 1); /* the first entry of the table, which follows at once */
    unsigned long place = note->p_offset + sizeof(Elf64_Nhdr) + 12;
    if (note->p_offset > sizeof header / 2 || place % 8 || elf->e_phnum * sizeof *note > note->p_offset)
        return "its header is damaged";
    image = (const void *)(header + place);
    unsigned long total = 0xcbf29ce484222325; /* FNV-1a over words */
    for (const unsigned long *word = (void *)header; word < (unsigned long *)(header + sizeof header); word++)
        total = (total ^ (word == &image->checksum ? 0 : *word)) * 0x100000001b3;
    if (total != image->checksum || image->canaries + image->mangled > IMAGE_MOST_GUARDS)
        return "its header is damaged";
    if (!is_same(image->build_id, build_id, sizeof build_id))
        return "it belongs to another release";
    if (image->size != (unsigned long)status.st_size)
        return "it is cut off, or longer than it was";
    return 0;
}

/* Map all segments where they were. NOREPLACE, because something else may be there: the kernel's choice of addresses is
 * random, and some callers change it (setarch, ulimit -s). Kernels before 4.17 do not know it, and choose another place
 * then, which the comparison notices. */
static const char *map_segments(long file)
{
    const Elf64_Ehdr *elf = (const void *)header;
    const Elf64_Phdr *first = (const void *)(elf + 1);
    for (const Elf64_Phdr *one = first; one < first + elf->e_phnum; one++) {
        if (one->p_type != PT_LOAD)
            continue;
        int protection = (one->p_flags & PF_R ? PROT_READ : 0) | (one->p_flags & PF_W ? PROT_WRITE : 0) |
                         (one->p_flags & PF_X ? PROT_EXEC : 0);
        int kind = MAP_PRIVATE | MAP_FIXED_NOREPLACE | (one->p_filesz ? 0 : MAP_ANONYMOUS | MAP_NORESERVE);
        if (call6(__NR_mmap, one->p_vaddr, one->p_memsz, protection, kind, one->p_filesz ? file : -1, one->p_offset) !=
            (long)one->p_vaddr)
            return "its memory cannot be mapped here";
    }
    return 0;
}

/* After a boot the file is not in memory. For each page that is missing the kernel reads what is around it as well, by
 * the end all 21 MB; an ADD needs a part of that. So where the first of these pages is missing, ask for exactly those,
 * all at once, and for nothing around any other. Whether this works out makes no difference but to the time. (mincore()
 * could tell as well, but systemd's filter for services, which watch's unit has, kills a process for it.) */
static void warm_up(long file)
{
    const Elf64_Ehdr *elf = (const void *)header;
    const Elf64_Phdr *first = (const void *)(elf + 1);
    char byte;
    struct iovec one_byte = {&byte, 1};
    if (call6(__NR_preadv2, file, (long)&one_byte, 1, image->hot[0].offset, 0, RWF_NOWAIT) != -EAGAIN)
        return; /* it is there, or the file system cannot tell */
    for (int i = 0; i < IMAGE_HOT && image->hot[i].size; i++)
        call(__NR_fadvise64, file, image->hot[i].offset, image->hot[i].size, POSIX_FADV_WILLNEED);
    for (const Elf64_Phdr *one = first; one < first + elf->e_phnum; one++)
        if (one->p_type == PT_LOAD && one->p_filesz)
            call(__NR_madvise, one->p_vaddr, one->p_memsz, MADV_RANDOM, 0);
}

/* Have the kernel copy at once what every call writes to. Page by page it takes an exception for each, and where the
 * page was read before, another copy of the processor's map is thrown away as well. Kernels before 5.14 do not know
 * this, and do it page by page. */
static void copy_written(void)
{
    for (int i = 0; i < IMAGE_WRITTEN && image->written[i].size; i++)
        if (call(__NR_madvise, image->written[i].address, image->written[i].size, MADV_POPULATE_WRITE, 0))
            return;
}

/* Put this program's path, its arguments and the environment into the room that the plugin keeps for them. */
static const char *hand_over(const struct start *start)
{
    unsigned long size = 16 + length(start->self) + 1;
    for (long i = 0; i < start->argc; i++)
        size += length(start->argv[i]) + 1;
    for (char **variable = start->environment; *variable; variable++)
        size += is_dropped(*variable) ? 0 : length(*variable) + 1;
    if (size > image->room_size)
        return "the environment is too large for it";
    unsigned long *numbers = (unsigned long *)image->room;
    numbers[0] = size, numbers[1] = start->argc;
    char *to = copy((char *)(numbers + 2), start->self) + 1;
    for (long i = 0; i < start->argc; i++)
        to = copy(to, start->argv[i]) + 1;
    for (char **variable = start->environment; *variable; variable++)
        if (!is_dropped(*variable))
            to = copy(to, *variable) + 1;
    return 0;
}

/* Under a limit in which the image just fits, the plugin would end without an answer. */
static const char *require_memory(void)
{
    long room = call6(__NR_mmap, 0, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room < 0 && room > -4096)
        return "there is no memory for it";
    call(__NR_munmap, room, MEMORY, 0, 0);
    return 0;
}

static unsigned long rotated(unsigned long word, int bits)
{
    return word << bits | word >> (64 - bits);
}

/* A thread control block is where a thread finds what is its own: glibc keeps the stack canary and the pointer guard in
 * it, and fs points to it. Both are random for each process, and secret, so that whoever overwrites a stack or a stored
 * pointer cannot guess what has to be there. As in an image all processes would have the same, they are set anew, with
 * all that was made of them (build/image/guards.py). */
static void renew_guards(const unsigned long *random)
{
    unsigned long *guard = (unsigned long *)(image->registers.fs_base + 0x30), before = *guard;
    const unsigned long *next = image->guards, *last = next + image->canaries;
    while (next < last)
        *(unsigned long *)*next++ = random[0] & ~0xffUL;
    last += image->mangled;
    while (next < last) {
        unsigned long *pointer = (unsigned long *)*next++;
        *pointer = rotated(rotated(*pointer, 64 - 17) ^ before ^ random[1], 17);
    }
    *guard = random[1];
}

/* Make the kernel's part of the process what it was: the base of the thread's own data, the places that the kernel
 * writes to when the thread ends, and the two signals that CPython ignores. */
static const char *adopt(void)
{
    if (call(__NR_arch_prctl, ARCH_SET_FS, image->registers.fs_base, 0, 0))
        return "the thread's base cannot be set";
    call(__NR_set_robust_list, image->robust_list, 24, 0, 0); /* no kernel has to know it, and nothing here uses it */
    *(int *)image->thread_id = call(__NR_set_tid_address, image->thread_id, 0, 0, 0);
    /* An exec leaves ignored signals ignored, so this is the last step. */
    struct { void *handler; unsigned long flags; void *restorer; unsigned long mask; } ignored = {SIG_IGN, 0, 0, 0};
    call(__NR_rt_sigaction, SIGPIPE, (long)&ignored, 0, 8);
    call(__NR_rt_sigaction, SIGXFSZ, (long)&ignored, 0, 8);
    return 0;
}

const char *continue_image(const char *path, const struct start *start, int only_look)
{
    const unsigned long *random = (const unsigned long *)auxiliary(start, AT_RANDOM);
    if (!random)
        return "the kernel gives no random bytes";
    if (auxiliary(start, AT_PAGESZ) != 4096)
        return "the pages are of another size";
    long file = call(__NR_open, (long)path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0, 0); /* it may be a FIFO */
    if (file == -ENOENT)
        return "it is not there";
    if (file < 0)
        return "it cannot be opened";
    const char *fault = read_header(file);
    if (!fault)
        fault = map_segments(file);
    if (!fault)
        warm_up(file);
    call(__NR_close, file, 0, 0, 0);
    if (!fault)
        fault = hand_over(start);
    if (!fault)
        fault = require_memory();
    if (fault || only_look)
        return fault ? fault : "";
    copy_written();
    renew_guards(random);
    fault = adopt();
    if (fault)
        return fault;
    resumed = image->registers;
    resume();
}
