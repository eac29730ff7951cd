/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Clocks, counters and memory of this process.
 *
 * System calls are counted by a parent that traces the process: a filter stops
 * each thread at each call (SECCOMP_RET_TRACE), since Debian's cloud kernels have
 * no tracepoint for them. It is exact, and slow. Allocations are counted in the
 * functions of the C library, which are replaced here. Both only in runs whose
 * times nobody reads. BENCH_PROFILE in the environment has a signal sample where
 * the processor is and prints the most frequent places.
 */

#define _GNU_SOURCE

#include "bench.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <time.h>
#include <ucontext.h>
#include <sys/user.h>
#include <unistd.h>

/** More than there are system calls */
#define CALLS 512

/** Places of the profile */
#define SAMPLES 65536

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *ptr, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static bool counting;
static uint64_t allocs, bytes;
/** by number and, at CALLS, of all; in memory that the tracer shares */
static uint64_t *counter;
static uint64_t before[CALLS];
/** calls that meter_stop and meter_start make between them */
static uint64_t own_calls;
static void *samples[SAMPLES];
static u_int sampled;

static inline void allocated(size_t size)
{
	if (counting)
	{
		__atomic_add_fetch(&allocs, 1, __ATOMIC_RELAXED);
		__atomic_add_fetch(&bytes, size, __ATOMIC_RELAXED);
	}
}

void *malloc(size_t size)
{
	allocated(size);
	return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	allocated(count * size);
	return __libc_calloc(count, size);
}

void *realloc(void *ptr, size_t size)
{
	allocated(size);
	return __libc_realloc(ptr, size);
}

void *memalign(size_t alignment, size_t size)
{
	allocated(size);
	return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

int posix_memalign(void **ptr, size_t alignment, size_t size)
{
	void *made = memalign(alignment, size);

	if (!made)
	{
		return ENOMEM;
	}
	*ptr = made;
	return 0;
}

uint64_t meter_now()
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000ull + now.tv_nsec / 1000;
}

static uint64_t calls()
{
	return counter ? __atomic_load_n(&counter[CALLS], __ATOMIC_SEQ_CST) : 0;
}

/**
 * Count the calls of all threads of a process until it ends; returns how.
 */
static int trace(pid_t pid)
{
	int status, result = 3;
	pid_t thread;

	while ((thread = waitpid(-1, &status, __WALL)) > 0)
	{
		int deliver = 0;

		if (WIFEXITED(status) || WIFSIGNALED(status))
		{
			if (thread == pid)
			{
				result = WIFEXITED(status) ? WEXITSTATUS(status) : 3;
			}
			continue;
		}
		if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8))
		{
			u_long number = ptrace(PTRACE_PEEKUSER, thread,
								   offsetof(struct user, regs.orig_rax), NULL);

			counter[min(number, CALLS - 1)]++;
			__atomic_add_fetch(&counter[CALLS], 1, __ATOMIC_SEQ_CST);
		}
		else if (!(status >> 16))
		{	/* no event of the tracer's */
			deliver = WSTOPSIG(status);
		}
		ptrace(PTRACE_CONT, thread, NULL, (void*)(long)deliver);
	}
	return result;
}

/**
 * Go on in a child, whose calls this process counts.
 */
static bool count_calls()
{
	struct sock_filter code = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
	struct sock_fprog filter = { 1, &code };
	meter_t empty;
	int ends[2];
	pid_t pid;
	char go;

	counter = mmap(NULL, (CALLS + 1) * sizeof(*counter), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (counter == MAP_FAILED || pipe(ends))
	{
		return FALSE;
	}
	pid = fork();
	if (pid > 0)
	{
		if (ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACECLONE |
				   PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL) ||
			write(ends[1], "", 1) != 1)
		{
			perror("cannot trace");
			_exit(3);
		}
		_exit(trace(pid));
	}
	if (pid < 0 || read(ends[0], &go, 1) != 1 ||
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
	{
		perror("cannot have system calls counted");
		return FALSE;
	}
	close(ends[0]);
	close(ends[1]);
	meter_start(&empty);
	meter_stop(&empty);
	own_calls = empty.calls;
	return TRUE;
}

void meter_kinds()
{
	u_int i;

	for (i = 0; counter && i < CALLS; i++)
	{
		if (counter[i] > before[i])
		{
			printf(" nr%u=%llu", i, (unsigned long long)(counter[i] - before[i]));
		}
	}
}

static void sample(int signal, siginfo_t *info, void *context)
{
	u_int i = __atomic_fetch_add(&sampled, 1, __ATOMIC_RELAXED);

	if (i < SAMPLES)
	{
		samples[i] = (void*)((ucontext_t*)context)->uc_mcontext.gregs[REG_RIP];
	}
}

/**
 * Print each sample as an offset in its library: the host has their symbols.
 */
static void print_samples()
{
	static const struct itimerval never;
	u_int i;

	setitimer(ITIMER_PROF, &never, NULL);
	for (i = 0; i < sampled && i < SAMPLES; i++)
	{
		Dl_info info;

		if (dladdr(samples[i], &info) && info.dli_fname)
		{
			printf("sample %s %lx %s\n", info.dli_fname,
				   (u_long)(samples[i] - info.dli_fbase),
				   info.dli_sname ?: "?");
		}
	}
}

static void profile()
{
	static const struct itimerval often = { { 0, 4000 }, { 0, 4000 } };
	struct sigaction action = {
		.sa_sigaction = sample,
		.sa_flags = SA_SIGINFO | SA_RESTART,
	};

	sigaction(SIGPROF, &action, NULL);
	setitimer(ITIMER_PROF, &often, NULL);
	atexit(print_samples);
}

bool meter_init(bench_mode_t mode)
{
	counting = mode == MODE_ALLOCS;
	if (getenv("BENCH_PROFILE"))
	{
		profile();
	}
	return mode != MODE_CALLS || count_calls();
}

static uint64_t anonymous()
{
	char line[128];
	unsigned long long kib = 0;
	FILE *file = fopen("/proc/self/status", "r");

	while (file && fgets(line, sizeof(line), file))
	{
		if (sscanf(line, "RssAnon: %llu", &kib) == 1)
		{
			break;
		}
	}
	if (file)
	{
		fclose(file);
	}
	return kib;
}

static uint64_t micros(const struct timeval *time)
{
	return time->tv_sec * 1000000ull + time->tv_usec;
}

void meter_start(meter_t *meter)
{
	struct rusage usage;

	memset(meter, 0, sizeof(*meter));
	getrusage(RUSAGE_SELF, &usage);
	meter->user = micros(&usage.ru_utime);
	meter->system = micros(&usage.ru_stime);
	meter->allocs = __atomic_load_n(&allocs, __ATOMIC_RELAXED);
	meter->bytes = __atomic_load_n(&bytes, __ATOMIC_RELAXED);
	if (counter)
	{
		memcpy(before, counter, sizeof(before));
	}
	meter->calls = calls();
	meter->wall = meter_now();
}

void meter_stop(meter_t *meter)
{
	uint64_t now = meter_now(), made = calls();
	struct rusage usage;

	meter->wall = now - meter->wall;
	meter->calls = made - meter->calls;
	meter->calls -= min(meter->calls, own_calls);
	meter->allocs = __atomic_load_n(&allocs, __ATOMIC_RELAXED) - meter->allocs;
	meter->bytes = __atomic_load_n(&bytes, __ATOMIC_RELAXED) - meter->bytes;
	getrusage(RUSAGE_SELF, &usage);
	meter->user = micros(&usage.ru_utime) - meter->user;
	meter->system = micros(&usage.ru_stime) - meter->system;
	meter->rss = anonymous();
}
