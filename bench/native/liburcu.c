/*
 * Userspace RCU, for the benchmarks of read sections and grace periods. Built by bench/src/native.ts,
 * once for each flavour.
 *
 *     liburcu read MILLISECONDS              nanoseconds of read_lock and read_unlock together
 *     liburcu synchronize READER COUNT       microseconds of synchronize_rcu, the median
 *
 * READER says what another registered thread does meanwhile: `busy` has a section of 100 µs after
 * the other, `sleeping` has none.
 */
#define _GNU_SOURCE
/* Read sections are inlined. */
#define _LGPL_SOURCE
#define URCU_INLINE_SMALL_FUNCTIONS
#ifdef RCU_BP
#include <urcu-bp.h>
#else
#include <urcu.h>
#endif

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static double read_sections(double milliseconds)
{
	/* The first runs find how many fit into the time. */
	for (long count = 1000;; count *= 4) {
		double start = now();
		for (long i = 0; i < count; i++) {
			rcu_read_lock();
			rcu_read_unlock();
		}
		double time = now() - start;
		if (time >= milliseconds * 1e6 / 4)
			return time / count;
	}
}

static atomic_int stopped;
/* Sections that have begun; of a sleeping reader, whether it is there. */
static atomic_int begun;

static void *read_all_the_time(void *how)
{
	int is_busy = strcmp(how, "busy") == 0;
	rcu_register_thread();
	if (!is_busy)
		atomic_store(&begun, 1);
	while (!atomic_load(&stopped)) {
		if (is_busy) {
			double end = now() + 100e3;
			rcu_read_lock();
			atomic_fetch_add(&begun, 1);
			while (now() < end)
				;
			rcu_read_unlock();
		} else {
			struct timespec pause = { .tv_nsec = 20000000 };
			nanosleep(&pause, NULL);
		}
	}
	rcu_unregister_thread();
	return NULL;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double synchronizations(char *reader, int count)
{
	pthread_t thread;
	double *times = malloc(count * sizeof(*times));
	if (times == NULL || pthread_create(&thread, NULL, read_all_the_time, reader) != 0)
		exit(1);
	int seen = 0;
	for (int i = 0; i < count; i++) {
		/* A busy reader is in a section that the grace period waits for. */
		while (atomic_load(&begun) == seen)
			sched_yield();
		if (strcmp(reader, "busy") == 0)
			seen = atomic_load(&begun);
		double start = now();
		synchronize_rcu();
		times[i] = (now() - start) / 1000;
	}
	atomic_store(&stopped, 1);
	pthread_join(thread, NULL);
	qsort(times, count, sizeof(*times), compare);
	double median = times[count / 2];
	free(times);
	return median;
}

int main(int argc, char **argv)
{
	rcu_register_thread();
	if (argc == 3 && strcmp(argv[1], "read") == 0)
		printf("%f\n", read_sections(atof(argv[2])));
	else if (argc == 4 && strcmp(argv[1], "synchronize") == 0 && atoi(argv[3]) > 0)
		printf("%f\n", synchronizations(argv[2], atoi(argv[3])));
	else
		return 1;
	rcu_unregister_thread();
	return 0;
}
