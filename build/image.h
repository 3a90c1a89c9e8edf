/* The note in spiderpool.image (build/image/assemble.py writes it): what the launcher needs beside the segments. All of
 * it lies in the file's first IMAGE_HEADER bytes, with the ELF header and the table of segments. */
#define IMAGE_HEADER 8192
#define IMAGE_MOST_GUARDS 64
#define IMAGE_HOT 96 /* ranges */
#define IMAGE_WRITTEN 128 /* ranges */

struct image_registers {
    unsigned long r15, r14, r13, r12, rbp, rbx, r9, r8, r10, rdx, rsi, rdi, rax, rsp, rip, fs_base;
};

struct image {
    unsigned char build_id[32]; /* of the bundle that it was made of */
    unsigned long checksum;     /* of the header, with a zero in its own place */
    unsigned long size;         /* of the file, in bytes */
    struct image_registers registers;
    unsigned long thread_id;   /* where glibc keeps the thread's number */
    unsigned long robust_list; /* what it tells the kernel with set_robust_list() */
    unsigned long room, room_size; /* where the environment goes (cni/plugin/image.py) */
    struct { unsigned long offset, size; } hot[IMAGE_HOT]; /* what an ADD reads of the file; the rest is 0 */
    struct { unsigned long address, size; } written[IMAGE_WRITTEN]; /* what every call writes to; the rest is 0 */
    unsigned long canaries, mangled; /* how many there are in `guards`: first these, then those */
    unsigned long guards[];
};
