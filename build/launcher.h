/* What the two parts of the launcher share: launcher.c, and image.c, which only x86-64 has. No C library. */
#include <asm/unistd.h>
#include <linux/limits.h>

typedef char buffer[2 * PATH_MAX]; /* room for two of the kernel's longest paths */

#if defined(__x86_64__)
static inline long call6(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "+a"(number)
                     : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return number;
}
static inline long call(long number, long a, long b, long c, long d)
{
    return call6(number, a, b, c, d, 0, 0);
}
#elif defined(__aarch64__)
static inline long call(long number, long a, long b, long c, long d)
{
    register long x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c, x3 __asm__("x3") = d;
    register long x8 __asm__("x8") = number;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
}
#endif

static inline char *copy(char *to, const char *from) /* returns the end of the copy */
{
    while ((*to = *from++))
        to++;
    return to;
}

/* Whether a variable of the caller's environment is kept from the program. */
int is_dropped(const char *variable);

/* What the kernel has given this process, and its own path. */
struct start {
    long argc;
    char **argv, **environment;
    long *auxiliary;
    const char *self;
};

/* Continue the plugin from its image, and do not return. Where that cannot be, return why, in a few words, with nothing
 * changed that an exec leaves as it is. With `only_look`, return "" where it could be. */
const char *continue_image(const char *path, const struct start *start, int only_look);
