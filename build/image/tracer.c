/* Runs the frozen plugin up to the point where all that is the same at every call is done, and writes its memory and
 * registers down: the raw material of the image (build/image/assemble.py makes the image of it).
 *
 *     tracer OUTPUT ROOT STOPS [NAME=VALUE...] PROGRAM [ARGUMENT...]
 *
 * The program runs below ROOT (chroot), with this environment and /dev/null as its standard streams, and sees nothing
 * of this machine but the files there: system calls that tell more are answered here (calls.c), and so is the
 * CPUID instruction, at the places that STOPS lists (cpuid.c). So the memory is the same on every machine, and no path
 * of the builder is in it. It ends at the program's first pipe2(), which is not carried out: the plugin calls it when
 * it begins to look at what its caller wants.
 *
 * Everything that could not be continued in another process is refused, with its name and exit status 1: threads,
 * children, open files, timers, pending signals, handlers of others than CPython, shared memory, memory that is both
 * writable and executable. Exit status 2: this machine does not allow it (ptrace, chroot or personality). */
#define _GNU_SOURCE
#include "tracer.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

pid_t child;
static int memory = -1;

static void end_child(void) /* and wait until it has */
{
    for (int left = child > 0 && !kill(child, SIGKILL); left; left = waitpid(child, 0, 0) > 0);
}

void refuse(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fputs("no image: ", stderr);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    end_child();
    exit(1);
}

static void not_allowed(const char *what)
{
    fprintf(stderr, "this machine does not allow %s: %s\n", what, strerror(errno));
    _exit(2);
}

void read_memory(unsigned long address, void *to, size_t size)
{
    if (pread(memory, to, size, address) != (ssize_t)size)
        refuse("%zu bytes at %lx cannot be read: %s", size, address, strerror(errno));
}

void write_memory(unsigned long address, const void *from, size_t size)
{
    if (pwrite(memory, from, size, address) != (ssize_t)size)
        refuse("%zu bytes at %lx cannot be written: %s", size, address, strerror(errno));
}

struct user_regs_struct registers(void)
{
    struct user_regs_struct found;
    if (ptrace(PTRACE_GETREGS, child, 0, &found))
        refuse("registers: %s", strerror(errno));
    return found;
}

void set_registers(const struct user_regs_struct *to)
{
    if (ptrace(PTRACE_SETREGS, child, 0, to))
        refuse("registers: %s", strerror(errno));
}

/* An exec leaves ignored signals ignored, and blocked ones blocked: the builder's are no matter of the program's. By
 * system calls, because glibc keeps two signals to itself. */
static void forget_signals(void)
{
    struct { void *handler; unsigned long flags; void *restorer; unsigned long mask; } plain = {0};
    for (long number = 1; number <= 64; number++)
        syscall(SYS_rt_sigaction, number, &plain, 0, 8);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &plain.mask, 0, 8);
}

/* Become the program, below `root`. */
static void run(const char *root, char **arguments)
{
    int null = open("/dev/null", O_RDWR);
    for (int stream = 0; stream < 2; stream++)
        if (dup2(null, stream) < 0)
            not_allowed("dup2");
    /* stderr stays until the last moment, to say what is not allowed. */
    if (geteuid() != 0 && unshare(CLONE_NEWUSER))
        not_allowed("a user namespace");
    if (chroot(root) || chdir("/"))
        not_allowed("chroot");
    /* Without randomization and with the layout that grows upwards, everything lies where a process with the usual
     * layout has nothing: the kernel puts its own mappings far above. */
    if (personality(ADDR_NO_RANDOMIZE | ADDR_COMPAT_LAYOUT) < 0 ||
        personality(0xffffffff) != (ADDR_NO_RANDOMIZE | ADDR_COMPAT_LAYOUT))
        not_allowed("personality");
    forget_signals();
    if (ptrace(PTRACE_TRACEME, 0, 0, 0))
        not_allowed("ptrace");
    if (dup2(null, 2) < 0 || close_range(3, ~0U, 0))
        _exit(2);
    execve(arguments[0], arguments, (char *[]){0});
    _exit(3);
}

long call(long number, long a, long b, long c, long d, long e)
{
    struct user_regs_struct before = registers(), now = before;
    unsigned char instruction[2], syscall_instruction[] = {0x0f, 0x05};
    read_memory(before.rip, instruction, sizeof instruction);
    write_memory(before.rip, syscall_instruction, sizeof instruction);
    now.rax = number, now.orig_rax = -1, now.rdi = a, now.rsi = b, now.rdx = c, now.r10 = d, now.r8 = e, now.r9 = 0;
    set_registers(&now);
    int status;
    if (ptrace(PTRACE_SINGLESTEP, child, 0, 0) || waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
        refuse("a system call of our own failed");
    now = registers();
    write_memory(before.rip, instruction, sizeof instruction);
    set_registers(&before);
    return now.rax;
}

/* Go on until the next stop; return the signal, with 0x80 where it is a system call. */
static int next_stop(int signal)
{
    int status;
    if (ptrace(PTRACE_SYSCALL, child, 0, signal) || waitpid(child, &status, 0) != child)
        refuse("ptrace: %s", strerror(errno));
    if (WIFEXITED(status))
        refuse("the program ended with status %d before it was ready", WEXITSTATUS(status));
    if (WIFSIGNALED(status))
        refuse("the program was ended by signal %d", WTERMSIG(status));
    return WSTOPSIG(status);
}

int main(int count, char **arguments)
{
    if (count < 5)
        return fputs("usage: tracer OUTPUT ROOT STOPS [NAME=VALUE...] PROGRAM [ARGUMENT...]\n", stderr), 2;
    read_stops(arguments[3]);
    char **program = arguments + 4;
    while (*program && strchr(*program, '='))
        program++;
    child = fork();
    if (child == 0)
        run(arguments[2], program);
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child)
        return perror("fork"), 2;
    if (WIFEXITED(status)) /* it has said why */
        return WEXITSTATUS(status) == 2 ? 2 : (fprintf(stderr, "%s cannot be run\n", *program), 1);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", child);
    memory = open(path, O_RDWR | O_CLOEXEC);
    if (memory < 0 || ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL))
        refuse("ptrace: %s", strerror(errno));
    replace_stack(arguments + 4, program);
    if (call(SYS_prctl, PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0))
        refuse("the time stamp counter cannot be hidden");
    place_stops();
    for (;;) {
        int stop = next_stop(0);
        if (stop == (SIGTRAP | 0x80)) {
            if (answer_call())
                break;
        } else if (!(stop == SIGTRAP && answer_cpuid()) && !(stop == SIGSEGV && answer_rdtsc())) {
            refuse("signal %d at %llx", stop, registers().rip);
        }
    }
    take_stops_away();
    require_alone();
    dump(arguments[1]);
    end_child();
    return 0;
}
