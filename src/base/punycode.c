#include "base/punycode.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#define LABEL_MAX 63

/* RFC 3492 section 5 */
enum { BASE = 36, T_MIN = 1, T_MAX = 26, SKEW = 38, DAMP = 700, INITIAL_BIAS = 72, INITIAL_N = 128 };

static uint32_t adapt(uint32_t delta, uint32_t points, bool first)
{
    uint32_t k = 0;

    delta = first ? delta / DAMP : delta / 2;
    delta += delta / points;
    for (; delta > (BASE - T_MIN) * T_MAX / 2; k += BASE)
        delta /= BASE - T_MIN;
    return k + (BASE - T_MIN + 1) * delta / (delta + SKEW);
}

static uint32_t threshold(uint32_t k, uint32_t bias)
{
    return k <= bias ? T_MIN : k >= bias + T_MAX ? T_MAX : k - bias;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0' + 26;
    if (((unsigned char)c | 0x20) >= 'a' && ((unsigned char)c | 0x20) <= 'z')
        return ((unsigned char)c | 0x20) - 'a';
    return -1;
}

/* Section 6.2. The number of code points, 0 when malformed. */
static size_t decode(const char *text, size_t length, uint32_t points[LABEL_MAX])
{
    size_t count = 0, at = 0;
    uint32_t n = INITIAL_N, bias = INITIAL_BIAS, i = 0;

    for (size_t j = length; j > 0; j--)
        if (text[j - 1] == '-') {
            for (; count < j - 1; count++)
                points[count] = (unsigned char)text[count];
            at = j;
            break;
        }
    while (at < length) {
        uint32_t before = i, weight = 1;

        for (uint32_t k = BASE;; k += BASE) {
            int digit = at < length ? digit_of(text[at++]) : -1;
            uint32_t t = threshold(k, bias);

            if (digit < 0 || (uint32_t)digit > (UINT32_MAX - i) / weight)
                return 0;
            i += (uint32_t)digit * weight;
            if ((uint32_t)digit < t)
                break;
            if (weight > UINT32_MAX / (BASE - t))
                return 0;
            weight *= BASE - t;
        }
        if (count == LABEL_MAX)
            return 0;
        bias = adapt(i - before, (uint32_t)count + 1, before == 0);
        n += i / ((uint32_t)count + 1);
        i %= (uint32_t)count + 1;
        if (n > 0x10ffff || n < INITIAL_N)
            return 0;
        memmove(points + i + 1, points + i, (count - i) * sizeof points[0]);
        points[i++] = n;
        count++;
    }
    return count;
}

/* Section 6.3. The length, 0 when it does not fit. */
static size_t encode(const uint32_t *points, size_t count, char *out, size_t size)
{
    uint32_t n = INITIAL_N, bias = INITIAL_BIAS, delta = 0;
    size_t length = 0, handled;

    for (size_t i = 0; i < count; i++)
        if (points[i] < INITIAL_N) {
            if (length + 1 >= size)
                return 0;
            out[length++] = (char)points[i];
        }
    handled = length;
    if (handled > 0) {
        if (length + 1 >= size)
            return 0;
        out[length++] = '-';
    }
    const size_t basic = handled;
    while (handled < count) {
        uint32_t next = UINT32_MAX;

        for (size_t i = 0; i < count; i++)
            if (points[i] >= n && points[i] < next)
                next = points[i];
        delta += (next - n) * ((uint32_t)handled + 1); /* 63 points below 0x110000: no overflow */
        n = next;
        for (size_t i = 0; i < count; i++) {
            if (points[i] < n)
                delta++;
            if (points[i] != n)
                continue;
            uint32_t q = delta;
            for (uint32_t k = BASE;; k += BASE) {
                uint32_t t = threshold(k, bias), digit = q < t ? q : t + (q - t) % (BASE - t);

                if (length + 1 >= size)
                    return 0;
                out[length++] = (char)(digit < 26 ? 'a' + digit : '0' + digit - 26);
                if (q < t)
                    break;
                q = (q - t) / (BASE - t);
            }
            bias = adapt(delta, (uint32_t)handled + 1, handled == basic);
            delta = 0;
            handled++;
        }
        delta++;
        n++;
    }
    return length;
}

/* The code points of UTF-8; 0 when malformed or too many. */
static size_t read_utf8(const char *text, size_t length, uint32_t points[LABEL_MAX])
{
    size_t count = 0;

    for (size_t i = 0; i < length;) {
        unsigned char c = (unsigned char)text[i];
        size_t bytes = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        uint32_t point = c < 0x80 ? c : c & (0x7fu >> bytes);

        if ((c >= 0x80 && c < 0xc2) || c > 0xf4 || bytes > length - i || count == LABEL_MAX)
            return 0;
        for (size_t j = 1; j < bytes; j++) {
            if (((unsigned char)text[i + j] & 0xc0) != 0x80)
                return 0;
            point = point << 6 | ((unsigned char)text[i + j] & 0x3f);
        }
        points[count++] = point;
        i += bytes;
    }
    return count;
}

static size_t write_utf8(const uint32_t *points, size_t count, char *out, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < count; i++) {
        uint32_t p = points[i];

        if (n + 5 > size)
            return 0;
        if (p < 0x80) {
            out[n++] = (char)p;
        } else if (p < 0x800) {
            out[n++] = (char)(0xc0 | p >> 6);
            out[n++] = (char)(0x80 | (p & 0x3f));
        } else if (p < 0x10000) {
            out[n++] = (char)(0xe0 | p >> 12);
            out[n++] = (char)(0x80 | (p >> 6 & 0x3f));
            out[n++] = (char)(0x80 | (p & 0x3f));
        } else {
            out[n++] = (char)(0xf0 | p >> 18);
            out[n++] = (char)(0x80 | (p >> 12 & 0x3f));
            out[n++] = (char)(0x80 | (p >> 6 & 0x3f));
            out[n++] = (char)(0x80 | (p & 0x3f));
        }
    }
    return n;
}

static bool is_ascii(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((text[i] & 0x80) != 0)
            return false;
    return true;
}

/* One label into out; its length, 0 when it cannot be told. */
static size_t other_label(const char *label, size_t length, char *out, size_t size, bool *changed)
{
    uint32_t points[LABEL_MAX + 1];
    size_t count, n;

    if (length >= 4 && strncasecmp(label, "xn--", 4) == 0) {
        *changed = true;
        count = length - 4 <= LABEL_MAX ? decode(label + 4, length - 4, points) : 0;
        return count > 0 ? write_utf8(points, count, out, size) : 0;
    }
    if (is_ascii(label, length)) {
        if (length > size)
            return 0;
        memcpy(out, label, length);
        return length;
    }
    *changed = true;
    count = read_utf8(label, length, points);
    if (count == 0 || size < 5)
        return 0;
    memcpy(out, "xn--", 4);
    n = encode(points, count, out + 4, size - 4);
    return n > 0 ? n + 4 : 0;
}

bool punycode_other_form(const char *domain, char *out, size_t size)
{
    bool changed = false;
    size_t n = 0;

    for (;;) {
        size_t length = strcspn(domain, "."), written;

        written = n < size ? other_label(domain, length, out + n, size - n, &changed) : 0;
        if (written == 0 || n + written + 1 >= size)
            return false;
        n += written;
        domain += length;
        if (*domain == '\0')
            break;
        out[n++] = *domain++;
    }
    out[n] = '\0';
    return changed;
}
