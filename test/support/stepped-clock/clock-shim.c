/*
 * Adds the 64-bit number of microseconds at the start of the file TIDEMARK_TEST_CLOCK to what a
 * program is told of the time of day; a test changes it while the program runs. Monotonic clocks stay
 * as they are. To be preloaded.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile const int64_t *offset_us;

__attribute__((constructor)) static void open_offset(void) {
  const char *path = getenv("TIDEMARK_TEST_CLOCK");
  int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  void *page = mmap(NULL, sizeof *offset_us, PROT_READ, MAP_SHARED, file, 0);
  if (page != MAP_FAILED) offset_us = page;
  close(file);
}

static void stepped(struct timespec *at) {
  int64_t us = offset_us == NULL ? 0 : *offset_us;
  int64_t ns = at->tv_nsec + (us % 1000000) * 1000;
  at->tv_sec += us / 1000000;
  if (ns < 0) {
    ns += 1000000000;
    at->tv_sec -= 1;
  } else if (ns >= 1000000000) {
    ns -= 1000000000;
    at->tv_sec += 1;
  }
  at->tv_nsec = ns;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
  int result = syscall(SYS_clock_gettime, clock, at);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) stepped(at);
  return result;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  struct timespec now;
  (void)zone;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
  at->tv_sec = now.tv_sec;
  at->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at != NULL) *at = now.tv_sec;
  return now.tv_sec;
}
