/* A program that is in a state that no image can hold, and then comes to the point at which the tracer writes one.
 * Its argument says which state. Statically linked, because it runs in a folder that holds nothing else. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void *sleep_in_thread(void *nothing)
{
    for (;;)
        pause();
    return nothing;
}

static void ignore(int number)
{
    (void)number;
}

/* What CPython has set up when the image is made. */
static void set_up_signals(void)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGINT, ignore);
}

int main(int count, char **arguments)
{
    const char *state = count > 1 ? arguments[1] : "";
    int pipes[2];
    pthread_t thread;
    sigset_t blocked;
    sigemptyset(&blocked);
    set_up_signals();
#define IS(name) !strcmp(state, name)
    if (IS("thread"))
        pthread_create(&thread, 0, sleep_in_thread, 0);
    if (IS("open file"))
        open("/program", O_RDONLY);
    if (IS("child") && !fork())
        for (;;)
            pause();
    if (IS("interval timer"))
        setitimer(ITIMER_REAL, &(struct itimerval){{1000, 0}, {1000, 0}}, 0);
    if (IS("timer")) {
        timer_t timer;
        timer_create(CLOCK_MONOTONIC, 0, &timer);
    }
    if (IS("alarm"))
        alarm(1000);
    if (IS("blocked signal") || IS("pending signal")) {
        sigaddset(&blocked, SIGTERM);
        sigprocmask(SIG_BLOCK, &blocked, 0);
    }
    if (IS("pending signal"))
        raise(SIGTERM);
    if (IS("another handler"))
        signal(SIGTERM, ignore);
    if (IS("another ignored signal"))
        signal(SIGHUP, SIG_IGN);
    if (IS("a signal that is not ignored"))
        signal(SIGPIPE, SIG_DFL);
    if (IS("a stack for signals"))
        sigaltstack(&(stack_t){.ss_sp = malloc(SIGSTKSZ), .ss_size = SIGSTKSZ}, 0);
    if (IS("shared memory"))
        mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (IS("executable and writable memory"))
        mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (IS("socket"))
        socket(AF_UNIX, SOCK_STREAM, 0);
    if (IS("unknown call"))
        syscall(SYS_io_uring_setup, 1, 0);
    if (IS("limit"))
        syscall(SYS_prlimit64, 0, 7, 0, pipes);
    if (IS("rounding")) {
        unsigned int control;
        __asm__ volatile("stmxcsr %0" : "=m"(control));
        control |= 0x6000;
        __asm__ volatile("ldmxcsr %0" : : "m"(control));
    }
    if (IS("crash"))
        *(volatile int *)8 = 0;
    if (IS("trap"))
        __asm__ volatile("int3");
    if (IS("end"))
        return 7;
    if (IS("reading"))
        syscall(SYS_readv, 0, 0, 0);
    if (IS("random bytes"))
        syscall(SYS_getrandom, malloc(1000), 1000, 0);
    pipe2(pipes, O_CLOEXEC);
    return 0;
}
