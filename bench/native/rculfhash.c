/*
 * The lock-free hash table of Userspace RCU (rculfhash), for the benchmarks of maps. Built by
 * bench/src/native.ts.
 *
 *     rculfhash COUNT MILLISECONDS      nanoseconds of a look-up
 *
 * COUNT names, a power of two, are in the table, each in a block of its own with a number. Names to
 * be looked up are made before, in buffers of their own, and are hashed at each look-up.
 */
#define _GNU_SOURCE
#define _LGPL_SOURCE
#define URCU_INLINE_SMALL_FUNCTIONS
#include <urcu.h>
#include <urcu/rculfhash.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STRETCH 4096

struct entry {
	struct cds_lfht_node node;
	uint32_t length;
	int32_t value;
	char key[];
};

struct key {
	uint32_t length;
	char bytes[48];
};

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

/* A multiplication and a rotation for each word. */
static unsigned long hash_of(const char *bytes, uint32_t length)
{
	uint32_t hash = length;
	for (uint32_t i = 0; i < length; i += 4) {
		uint32_t word = 0;
		memcpy(&word, bytes + i, length - i < 4 ? length - i : 4);
		hash = (hash ^ word) * 0x9e3779b1u;
		hash = (hash << 15) | (hash >> 17);
	}
	hash ^= hash >> 16;
	hash *= 0x85ebca6bu;
	return hash ^ (hash >> 13);
}

static int is_equal(struct cds_lfht_node *node, const void *wanted)
{
	const struct key *key = wanted;
	struct entry *entry = caa_container_of(node, struct entry, node);
	return entry->length == key->length && memcmp(entry->key, key->bytes, key->length) == 0;
}

/* As the names in bench/src/map.ts. */
static void make_key(struct key *key, uint32_t i)
{
	uint32_t number = i * 0x9e3779b1u;
	char digits[8];
	int count = 0;
	do {
		digits[count++] = "0123456789abcdefghijklmnopqrstuvwxyz"[number % 36];
		number /= 36;
	} while (number != 0);
	memcpy(key->bytes, "package-", 8);
	key->length = 8;
	while (count > 0)
		key->bytes[key->length++] = digits[--count];
	key->length += sprintf(key->bytes + key->length, "-%u", i % 97);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 1;
	uint32_t count = atoi(argv[1]);
	double milliseconds = atof(argv[2]);
	rcu_register_thread();
	struct cds_lfht *table = cds_lfht_new(count, 1, 0, CDS_LFHT_AUTO_RESIZE, NULL);
	struct key key;
	for (uint32_t i = 0; i < count; i++) {
		make_key(&key, i);
		struct entry *entry = malloc(sizeof(*entry) + key.length);
		entry->length = key.length;
		entry->value = i;
		memcpy(entry->key, key.bytes, key.length);
		cds_lfht_node_init(&entry->node);
		rcu_read_lock();
		cds_lfht_add(table, hash_of(key.bytes, key.length), &entry->node);
		rcu_read_unlock();
	}
	struct key *keys = malloc(STRETCH * sizeof(*keys));
	double total = 0;
	uint32_t turn = 0;
	long sum = 0;
	for (double end = now() + milliseconds * 1e6; now() < end;) {
		for (int i = 0; i < STRETCH; i++)
			make_key(&keys[i], (turn++ * 0x9e3779b1u) & (count - 1));
		double start = now();
		for (int i = 0; i < STRETCH; i++) {
			struct cds_lfht_iter iter;
			rcu_read_lock();
			cds_lfht_lookup(table, hash_of(keys[i].bytes, keys[i].length), is_equal, &keys[i], &iter);
			struct cds_lfht_node *node = cds_lfht_iter_get_node(&iter);
			if (node == NULL)
				return 2;
			sum += caa_container_of(node, struct entry, node)->value;
			rcu_read_unlock();
		}
		total += now() - start;
	}
	if (sum == 42)
		fprintf(stderr, "%ld\n", sum);
	printf("%f\n", total / turn);
	return 0;
}
