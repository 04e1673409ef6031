/* Loaded with LD_PRELOAD: moves the date that a process reads by CLOCK_SHIFT_S seconds, and by as
 * many as the file CLOCK_SHIFT_FILE says (8 bytes, this machine's order), whenever it is changed.
 *
 * Only the date: monotonic clocks, sleeps, timeouts and what the kernel stamps files with stay.
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

static const int64_t none_s;
static volatile const int64_t *stepped_s = &none_s;
static int64_t begun_s;

static time_t shift_s(void) { return begun_s + *stepped_s; }

__attribute__((constructor)) static void begin(void) {
  const char *given = getenv("CLOCK_SHIFT_S"), *file = getenv("CLOCK_SHIFT_FILE");
  begun_s = given ? atoll(given) : 0;
  int handle = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
  if (handle < 0) return;
  void *mapped = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, handle, 0);
  if (mapped != MAP_FAILED) stepped_s = mapped;
  close(handle);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int failed = (int)syscall(SYS_clock_gettime, clock, now);
  int is_date = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI;
  if (!failed && is_date) now->tv_sec += shift_s();
  return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  int failed = (int)syscall(SYS_gettimeofday, now, zone);
  if (!failed) now->tv_sec += shift_s();
  return failed;
}

time_t time(time_t *out) {
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now)) return (time_t)-1;
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}
