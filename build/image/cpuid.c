/* Answers the CPUID instruction as a CPU of 2003 would, and the time stamp counter as one that stands still.
 *
 * glibc asks once which instructions there are, and binds memcpy, strlen and some hundred more functions to the variant
 * that is fastest here. An image in which these are bound to AVX-512 dies elsewhere. So the program is told of no
 * instruction that x86-64 did not have from the beginning, and whatever remembers an answer remembers one that is right
 * everywhere. The places of the instruction are known (STOPS, see assemble.py); each is a breakpoint. */
#include "tracer.h"

#include <stdio.h>
#include <string.h>

#define MOST 256

struct stop {
    char file[128]; /* the name of the file without its folders */
    unsigned long offset; /* of the instruction in it */
    unsigned long address; /* 0 until the file is mapped */
    unsigned char before;
};

static struct stop stops[MOST];
static int known;

/* Each line of the file: NAME OFFSET, the offset in hexadecimal. */
void read_stops(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file)
        refuse("%s cannot be read", path);
    while (known < MOST && fscanf(file, "%127s %lx", stops[known].file, &stops[known].offset) == 2)
        known++;
    if (known == MOST)
        refuse("there are more than %d CPUID instructions", MOST);
    fclose(file);
}

static void place(const struct mapping *found)
{
    const char *name = strrchr(found->path, '/');
    if (!name || !(found->protection & PROT_EXEC))
        return;
    for (struct stop *stop = stops; stop < stops + known; stop++) {
        unsigned long address = found->start + stop->offset - found->offset;
        if (stop->address || strcmp(name + 1, stop->file) || stop->offset < found->offset || address >= found->end)
            continue;
        unsigned char instruction[2], breakpoint = 0xcc;
        read_memory(address, instruction, sizeof instruction);
        if (instruction[0] != 0x0f || instruction[1] != 0xa2)
            refuse("there is no CPUID at %s+%lx", stop->file, stop->offset);
        stop->before = instruction[0], stop->address = address;
        write_memory(address, &breakpoint, 1);
    }
}

void place_stops(void)
{
    each_mapping(place);
}

void take_stops_away(void)
{
    for (struct stop *stop = stops; stop < stops + known; stop++)
        if (stop->address)
            write_memory(stop->address, &stop->before, 1);
}

/* AMD's vendor, because its caches are described by two plain leaves: 32 KB, 512 KB and 16 MB. */
static void answer(struct user_regs_struct *now)
{
    unsigned int leaf = now->rax;
    now->rax = now->rbx = now->rcx = now->rdx = 0;
    switch (leaf) {
    case 0: now->rax = 1, now->rbx = 0x68747541, now->rdx = 0x69746e65, now->rcx = 0x444d4163; break;
    case 1: now->rax = 0x00000f10, now->rbx = 0x00000800, now->rdx = BASELINE_EDX; break;
    case 0x80000000: now->rax = 0x80000008; break;
    case 0x80000001: now->rdx = 1 << 11 | 1 << 20 | 1 << 29; break; /* syscall, no-execute, long mode */
    case 0x80000005: now->rcx = now->rdx = 0x20020140; break;
    case 0x80000006: now->rcx = 0x02006140, now->rdx = 0x00808140; break;
    case 0x80000008: now->rax = 0x3028; break;
    }
}

bool answer_cpuid(void)
{
    struct user_regs_struct now = registers();
    for (struct stop *stop = stops; stop < stops + known; stop++)
        if (stop->address == now.rip - 1) {
            /* Whoever else asks keeps the answer where nobody expects it, as Rust's std_detect does. */
            if (strncmp(stop->file, "ld-", 3) && strncmp(stop->file, "libgcc_s", 8))
                refuse("%s has executed CPUID, at %lx", stop->file, stop->offset);
            answer(&now);
            now.rip = stop->address + 2;
            set_registers(&now);
            return true;
        }
    return false;
}

bool answer_rdtsc(void)
{
    struct user_regs_struct now = registers();
    unsigned char instruction[3];
    read_memory(now.rip, instruction, sizeof instruction);
    bool is_rdtsc = instruction[0] == 0x0f && instruction[1] == 0x31;
    bool is_rdtscp = instruction[0] == 0x0f && instruction[1] == 0x01 && instruction[2] == 0xf9;
    if (!is_rdtsc && !is_rdtscp)
        return false;
    now.rax = 0x1000000, now.rdx = 0;
    if (is_rdtscp)
        now.rcx = 0;
    now.rip += is_rdtsc ? 2 : 3;
    set_registers(&now);
    return true;
}
