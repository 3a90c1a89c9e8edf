/* What the parts of the tracer share. The program that is traced is `child`; it is stopped whenever these run. */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/user.h>

/* Where the image's stack lies: 21 TiB. The kernel puts programs below 4 GiB or at two thirds of the address space, and
 * mappings and stacks above a third of it (43 TiB), whatever `personality` and RLIMIT_STACK say; only with a stack limit
 * of tens of TiB do mappings come down to here, and then the launcher starts the plugin without its image. Python's
 * own limit of recursion is meant for 8 MiB. */
#define STACK_BASE 0x150000000000UL
#define STACK_SIZE (8UL << 20)
/* AT_RANDOM: what stack canary and pointer guard are made of while the image is made. They are easy to find in memory,
 * and the launcher sets both anew. */
#define RANDOM_BYTES "\x5a\xc3\x96\x69\xa5\x3c\x78\xe1\x1e\xb4\x4b\xd2\x2d\x87\x59\xa6"
/* The CPU that the program sees: x86-64 as it was in 2003, which every amd64 machine is at least. */
#define BASELINE_EDX 0x078bfbffUL

struct mapping {
    unsigned long start, end, offset; /* end is 0 where there is none */
    int protection;
    bool is_shared;
    char path[512];
};

extern pid_t child;

/* tracer.c */
void refuse(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
void read_memory(unsigned long address, void *to, size_t size);
void write_memory(unsigned long address, const void *from, size_t size);
struct user_regs_struct registers(void);
void set_registers(const struct user_regs_struct *to);
long call(long number, long a, long b, long c, long d, long e); /* has the child make a system call where it is */

/* stack.c */
void replace_stack(char **environment, char **arguments); /* each ends where the next begins; the last, with 0 */

/* calls.c: answers the system calls that tell something of this machine, and refuses what is not known. */
bool answer_call(void); /* true at the one at which the image is made */
extern unsigned long tid_address, robust_list, room[2]; /* the room's address and size */

/* cpuid.c: answers CPUID as an old CPU, and the time stamp counter as one that stands still. */
void read_stops(const char *path);
void place_stops(void);
void take_stops_away(void);
bool answer_cpuid(void);
bool answer_rdtsc(void);

/* state.c: what the kernel knows of the program. */
FILE *open_proc(const char *name); /* of its folder in /proc */
struct mapping find_mapping(unsigned long address);
void each_mapping(void (*look)(const struct mapping *));
void require_alone(void);
void dump(const char *path);
