/*
** Variables of every kind, for test/replay/dwarf.c: stopped all over, read by our code and by gdb.
*/
#include <complex.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

typedef unsigned short ushort16;
enum color { RED, GREEN = 5, BLUE = -3 };
enum flags { FLAG_A = 1, FLAG_B = 2, FLAG_C = 4, FLAG_WIDE = 0x30 };
typedef enum { SMALL_X, SMALL_Y = 200 } small;

struct point {
  int x, y;
};

struct bits {
  unsigned a : 3;
  int b : 5;
  unsigned long c : 33;
  enum color color : 4;
  _Bool flag : 1;
  unsigned : 0;
  signed char last : 7;
};

union word {
  uint32_t whole;
  uint8_t bytes[4];
  float real;
  struct {
    uint16_t low, high;
  };
};

struct node {
  const char *name;
  struct node *next, *other;
  union word word;
  struct bits bits;
  double weights[2][3];
  int (*compare)(const void *, const void *);
  struct {
    short depth;
    union {
      long number;
      char text[8];
    };
  } nested;
  char tail[];
};

struct packed {
  char c;
  int64_t wide;
  short s;
} __attribute__((packed));

struct opaque;

int global_counter = 42;
static const char *global_names[] = {"zero", "one", NULL, "three"};
struct point global_points[3] = {{1, 2}, {3, 4}, {-5, 6}};
double global_matrix[2][2] = {{1.5, -2.25}, {1e300, 0.1}};
_Thread_local int thread_local_number = 77;
static struct node *list_head;
struct opaque *global_opaque;
volatile const long volatile_long = -123456789012345;
char global_text[32] = "text\0behind\xff\x80";
float global_float = 0.1f;

static int by_x(const void *a, const void *b) {
  const struct point *p = a, *q = b;
  int difference = p->x - q->x;
  return difference;
}

static inline int weigh(struct point *p, int factor) {
  int product = p->x * factor;
  int sum = product + p->y;
  global_counter += sum;
  return sum;
}

static __attribute__((noinline)) long recurse(int depth, struct point by_value, long *sum) {
  long here = depth * 10L;
  char buffer[16];
  snprintf(buffer, sizeof buffer, "d%d", depth);
  *sum += here + by_value.x;
  if (depth > 0) {
    struct point next = {by_value.x + 1, by_value.y - depth};
    here += recurse(depth - 1, next, sum);
  }
  return here + (long)strlen(buffer);
}

static __attribute__((noinline)) double floats(float f, double d, long double ld, int n) {
  double complex z = d + f * I;
  float _Complex small_z = (float)d - 2 * I;
  double total = 0;
  long double precise = ld / 3;
  for (int i = 0; i < n; i++) {
    double term = d / (i + 1);
    float half = (float)term / 2;
    total += term + half + (double)precise;
  }
  double infinite = 1e308 * (n * 10.0), not_a_number = infinite - infinite;
  printf("%g %g %g\n", creal(z) + total, (double)crealf(small_z), not_a_number);
  return total + cimag(z);
}

static __attribute__((noinline)) int scalars(int8_t i8, uint8_t u8, int16_t i16, ushort16 u16,
                                             int32_t i32, uint32_t u32, int64_t i64, uint64_t u64) {
  bool yes = i8 < 0, no = !yes;
  char letter = (char)('a' + (u8 & 7));
  signed char sc = (signed char)-letter;
  unsigned char uc = (unsigned char)sc;
  wchar_t wide = L'\u20ac';
  wchar_t wide_text[] = L"w\u00efde";
  enum color color = i16 < 0 ? BLUE : GREEN, odd = (enum color)99;
  enum flags flags = (enum flags)(FLAG_A | FLAG_C | FLAG_WIDE), left = (enum flags)(FLAG_B | 0x80);
  enum flags none = (enum flags)0;
  small tiny = SMALL_Y;
  __int128 huge = (__int128)i64 * (int64_t)(u64 >> 1);
  unsigned __int128 unsigned_huge = ~(unsigned __int128)0;
  const volatile int cv = i32 + 1;
  int result = i8 + u8 + i16 + u16 + i32 + (int)u32 + (int)i64 + (int)u64 + yes + no + sc + uc +
               (int)wide + color + (int)flags + (int)left + (int)tiny + (int)none + cv + odd;
  printf("%d %d %ls\n", result, (int)(huge >> 64) + (int)unsigned_huge, wide_text);
  return result;
}

static __attribute__((noinline)) int arrays(int n, const char *text, char **list) {
  int plain[5] = {n, n + 1, n + 2};
  int cube[2][3][4];
  struct point points[4] = {{n, -n}, {2, 3}};
  char buffer[40] = "fixed";
  unsigned char raw[6] = {0xde, 0xad, 0xbe, 0xef, 0, 1};
  const char *pointers[3] = {text, "literal \"quoted\"\n", NULL};
  char **list_copy = list;
  int *to_plain = &plain[2], **to_pointer = &to_plain;
  int(*row)[4] = cube[1];
  long zeros[50] = {0};
  int variable[n];
  for (int i = 0; i < 24; i++) cube[i / 12][i / 4 % 3][i % 4] = i * i;
  for (int i = 0; i < n; i++) variable[i] = i * 3;
  strcat(buffer, text);
  zeros[n] = plain[2];
  int sum = **to_pointer + row[0][1] + (int)zeros[n] + variable[n - 1] + raw[1] + points[1].y;
  printf("%d %s %s %s\n", sum, buffer, pointers[1], list_copy[0]);
  return sum;
}

static __attribute__((noinline)) struct node *nodes(int count) {
  struct node *made = NULL;
  for (int i = 0; i < count; i++) {
    struct node *node = calloc(1, sizeof *node + 8);
    node->name = global_names[i & 3];
    node->next = made;
    node->other = i ? made : (struct node *)8;
    node->word.whole = 0x3f800000u + (unsigned)i;
    node->bits.a = (unsigned)i & 7;
    node->bits.b = -i;
    node->bits.c = 0x1ffffffffUL - (unsigned)i;
    node->bits.color = i & 1 ? RED : GREEN;
    node->bits.flag = i & 1;
    node->bits.last = (signed char)(i - 3);
    node->weights[i & 1][i % 3] = i / 7.0;
    node->compare = by_x;
    node->nested.depth = (short)i;
    strcpy(node->nested.text, "abc");
    made = node;
  }
  list_head = made;
  return made;
}

static __attribute__((noinline)) int inlines(struct point *points, int n) {
  int total = 0;
  for (int i = 0; i < n; i++) {
    struct point copy = points[i];
    total += weigh(&copy, i + 2);
    {
      int shadow = total, total = shadow * 2;
      static int calls;
      calls += total;
      global_counter += calls;
    }
  }
  return total;
}

static __attribute__((noinline)) int optimized(int a, int b, const struct point *p) {
  int unused = a * 1000 + b;
  int constant = 17;
  const char *text = "constant text";
  struct point gone = {a, b}, copy = *p;
  int used = gone.x + copy.y + constant;
  unused += used;
  if (used > 1000) puts(text);
  return used * 2 + by_x(&gone, &copy);
}

static __attribute__((noinline)) struct packed packed(int n) {
  struct packed made = {(char)n, (int64_t)n << 40, (short)-n};
  struct packed list[2] = {made, {'x', -1, 3}};
  memset(&list[1].wide, n, 3);
  return list[n & 1];
}

int main(int argc, char **argv) {
  struct point start = {3, 4};
  long sum = 0;
  int seed = argc + 2;
  srand((unsigned)seed);
  recurse(4, start, &sum);
  floats(0.1f, 2.5 * seed, 3.14159265358979323846264338327950288L, seed);
  scalars((int8_t)-seed, 250, -1000, 65535, -70000, 4000000000u, INT64_MIN + seed, UINT64_MAX);
  arrays(seed + 4, "some text", argv);
  struct node *made = nodes(5);
  thread_local_number += (int)sum;
  inlines(global_points, 3);
  optimized(seed, (int)sum, &start);
  struct packed box = packed(seed);
  qsort(global_points, 3, sizeof *global_points, by_x);
  printf("%s %d %d %d\n", made->name, global_counter, box.s, (int)volatile_long);
  return 0;
}
