/* The analyses of timetags in plain C: the same algorithms, as one writes them without SIMD intrinsics. The
   whole stream is one array here, so nothing needs to be carried from block to block. */

#include <stdint.h>
#include <stdlib.h>

enum { CHUNK = 65536, HITS = 2048 };

static int64_t take_channel(const int64_t *times, const uint8_t *channels, int64_t count, uint8_t channel,
                            int64_t delay, int64_t *taken)
{
    int64_t size = 0;
    for (int64_t i = 0; i < count; i++) { /* a store at every tag instead of a branch that cannot be foreseen */
        taken[size] = times[i] + delay;
        size += channels[i] == channel;
    }
    return size;
}

static void add_hits(const uint32_t *hits, int64_t size, uint32_t bin, int64_t *counts)
{
    for (int64_t k = 0; k < size; k++) counts[hits[k] / bin]++;
}

/* Pairs start <= second - first < start + bins * bin of two channels, chunk by chunk: what may still pair with
   the next chunk is kept before it. */
void correlate(const int64_t *times, const uint8_t *channels, int64_t count, uint8_t first_channel,
               uint8_t second_channel, int64_t first_delay, int64_t second_delay, int64_t start, int64_t bin,
               int64_t bins, int64_t *counts)
{
    int64_t *first = malloc(4 * CHUNK * sizeof *first), *second = malloc(4 * CHUNK * sizeof *second);
    uint32_t hits[HITS];
    int64_t first_size = 0, second_size = 0, span = bins * bin;
    for (int64_t begin = 0; begin < count; begin += CHUNK) {
        int64_t part = count - begin < CHUNK ? count - begin : CHUNK, size = 0;
        first_size += take_channel(times + begin, channels + begin, part, first_channel, first_delay,
                                   first + first_size);
        second_size += take_channel(times + begin, channels + begin, part, second_channel, second_delay,
                                    second + second_size);
        /* First tags all of whose partners have come. */
        int64_t known = begin + part < count ? times[begin + part - 1] + second_delay : INT64_MAX;
        int64_t i = 0, j = 0;
        for (; i < first_size && (known == INT64_MAX || first[i] + start + span <= known); i++) {
            int64_t low = first[i] + start;
            while (j < second_size && second[j] < low) j++;
            for (int64_t k = j; k < second_size && second[k] - low < span; k++) {
                hits[size++] = (uint32_t)(second[k] - low);
                if (size == HITS) {
                    add_hits(hits, size, (uint32_t)bin, counts);
                    size = 0;
                }
            }
        }
        add_hits(hits, size, (uint32_t)bin, counts);
        for (int64_t k = i; k < first_size; k++) first[k - i] = first[k];
        first_size -= i;
        /* No later first tag is before either of these, delayed. */
        int64_t next = first_size ? first[0] : times[begin + part - 1] + first_delay;
        while (j > 0 && second[j - 1] >= next + start) j--;
        while (j < second_size && second[j] < next + start) j++;
        for (int64_t k = j; k < second_size; k++) second[k - j] = second[k];
        second_size -= j;
    }
    free(first);
    free(second);
}

/* The first time that is not below `value`, searched from `near` outwards. */
static int64_t seek(const int64_t *times, int64_t count, int64_t value, int64_t near)
{
    if (near < 0) near = 0;
    if (near > count) near = count;
    int64_t low = near, high = near, step = 1;
    while (high < count && times[high] < value) { low = high + 1; high += step; step *= 2; }
    if (high > count) high = count;
    step = 1;
    while (low > 0 && times[low - 1] >= value) { high = low - 1; low -= step; step *= 2; }
    if (low < 0) low = 0;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (times[middle] < value) low = middle + 1; else high = middle;
    }
    return low;
}

static int64_t floor_half(int64_t value) { return value >> 1; }

/* Heralded four-folds: `places` is 0..3 for the hub's channels (cH, cV, dH, dV) and 4 for others, `spokes` the
   channels A H, A V, B H, B V, `offsets` what is added to their times. counts is [pattern][A][B]. */
void fourfolds(const int64_t *times, const uint8_t *channels, int64_t count, const uint8_t *places,
               const int64_t *delays, int64_t bsm_window, int64_t reach, const uint8_t *spokes,
               const int64_t *offsets, int64_t window, int64_t *heralds, int64_t *counts)
{
    static const int patterns[4][4] = {{-1, 2, -1, 0}, {2, -1, 1, -1}, {-1, 1, -1, 3}, {0, -1, 3, -1}};
    uint8_t near[256];
    int64_t cursors[4] = {0, 0, 0, 0};
    for (int64_t begin = 0; begin + 1 < count; begin += 256) {
        int64_t part = count - 1 - begin < 256 ? count - 1 - begin : 256;
        for (int64_t k = 0; k < part; k++) /* vector code */
            near[k] = times[begin + k + 1] - times[begin + k] <= reach;
        for (int64_t k = part; k < 256; k++) near[k] = 0;
        for (int64_t group = 0; group < 256; group += 8) {
            uint64_t any;
            __builtin_memcpy(&any, near + group, 8);
            if (!any) continue;
            for (int64_t i = begin + group; i < begin + group + 8; i++) {
                if (!near[i - begin] || places[channels[i]] == 4) continue;
                for (int64_t j = i + 1; j < count && times[j] - times[i] <= reach; j++) {
                    int one = places[channels[i]], other = places[channels[j]];
                    if (other == 4 || patterns[one][other] < 0) continue;
                    int64_t a = times[i] + delays[channels[i]], b = times[j] + delays[channels[j]];
                    int64_t difference = one < other ? a - b : b - a;
                    if (2 * difference < -bsm_window || 2 * difference >= bsm_window) continue;
                    int64_t clicks[4], moved = 0;
                    int pattern = patterns[one][other];
                    heralds[pattern]++;
                    for (int s = 0; s < 4; s++) {
                        int64_t from = floor_half(a + b - window + 1) - offsets[s];
                        int64_t to = floor_half(a + b + window + 1) - offsets[s];
                        int64_t k = seek(times, count, from, cursors[s] + moved);
                        if (s == 0) moved = k - cursors[0];
                        cursors[s] = k;
                        clicks[s] = 0;
                        for (; k < count && times[k] < to; k++) clicks[s] += channels[k] == spokes[s];
                    }
                    for (int x = 0; x < 2; x++)
                        for (int y = 0; y < 2; y++)
                            counts[4 * pattern + 2 * x + y] += clicks[x] * clicks[2 + y];
                }
            }
        }
    }
}

/* All pairs of channels below 8: counts is [first][second][bin] in 32 bits, used for first < second. */
void all_pairs(const int64_t *times, const uint8_t *channels, int64_t count, const int64_t *delays, int64_t reach,
               int64_t start, int64_t bin, int64_t bins, uint32_t *counts)
{
    int64_t span = bins * bin;
    uint32_t width = (uint32_t)bin;
    for (int64_t i = 0; i < count; i++) {
        int64_t time = times[i], delay = delays[channels[i]];
        unsigned one = channels[i];
        for (int64_t j = i + 1; j < count && times[j] - time <= reach; j++) {
            unsigned other = channels[j];
            if (one == other) continue;
            int64_t later = times[j] - time + delays[other] - delay;
            int64_t place = (one < other ? later : -later) - start;
            unsigned row = one < other ? 8 * one + other : 8 * other + one;
            if ((uint64_t)place < (uint64_t)span) counts[row * bins + (uint32_t)place / width]++;
        }
    }
}
