/* The steps of SGD's relatives in one walk through w, g and v; see kernel.py.
 *
 * Compiled for one type: REAL is float or double, FMA its fused multiply-add. Nothing is contracted
 * or reordered by the compiler (-ffp-contract=off), so that an element is rounded where torch rounds
 * it. The elements of every parameter lie one after another. Of `parts` threads this is `part`.
 */

typedef REAL real;

/* a + alpha b, which torch rounds once where the processor can. */
static inline real plus(real a, real alpha, real b)
{
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    return FMA(alpha, b, a);
#else
    return a + alpha * b;
#endif
}

/* v <- m v + g;  w <- w - lr (a v + b g), each parameter with its own lr, a and b. */
void compensate(long count, real *const *ws, const real *const *gs, real *const *vs,
                const long *sizes, const double *rates, const double *as, const double *bs,
                double momentum, double weight_decay, long part, long parts)
{
    const real m = momentum, wd = weight_decay;
    for (long t = 0; t < count; t++) {
        real *restrict w = ws[t], *restrict v = vs[t];
        const real *restrict g = gs[t];
        const real a = as[t], b = bs[t], minus_lr = -rates[t];
        const int decays = weight_decay != 0, plain = as[t] == 1 && bs[t] == 0;
        const long end = sizes[t] * (part + 1) / parts;
        for (long i = sizes[t] * part / parts; i < end; i++) {
            const real d = decays ? plus(g[i], wd, w[i]) : g[i];
            v[i] = m * v[i] + d;
            w[i] = plus(w[i], minus_lr, plain ? v[i] : plus(b * d, a, v[i]));
        }
    }
}

/* Sums run in as many lanes on every machine, so that they are the same on all of them. */
#define LANES (64 / sizeof(real))
typedef real lanes __attribute__((vector_size(64), aligned(sizeof(real)), may_alias));

struct sums { real dot, gg, vv; };

/* <g, v>, |g|^2 and |v|^2 of n elements. */
static struct sums sums_of(long n, const real *g, const real *v)
{
    lanes dot = {0}, gg = {0}, vv = {0};
    long i = 0;
    for (; i + (long)LANES <= n; i += LANES) {
        const lanes x = *(const lanes *)(g + i), y = *(const lanes *)(v + i);
        dot += x * y, gg += x * x, vv += y * y;
    }
    double s[3] = {0, 0, 0};
    for (unsigned j = 0; j < LANES; j++)
        s[0] += dot[j], s[1] += gg[j], s[2] += vv[j];
    for (; i < n; i++)
        s[0] += (double)g[i] * v[i], s[1] += (double)g[i] * g[i], s[2] += (double)v[i] * v[i];
    return (struct sums){s[0], s[1], s[2]};
}

/* Write the three sums of each parameter. */
void sums(long count, real *const *ws, real *const *gs, real *const *vs, const long *sizes,
          struct sums *found, long part, long parts)
{
    (void)ws;
    for (long t = part; t < count; t += parts)
        found[t] = sums_of(sizes[t], gs[t], vs[t]);
}

struct options {
    double rho, eps, lr, momentum, dampening, weight_decay;
    int nesterov;
    int given; /* the cosines are in `cosine`, and not to be taken here */
    int step;  /* make SGD's step with the braked gradient */
};

/* g <- alpha g, and SGD's step along it. */
static void step_along(long n, real *restrict w, real *restrict g, real *restrict v, real alpha,
                       const struct options *o)
{
    const real m = o->momentum, enters = 1 - o->dampening, wd = o->weight_decay, minus_lr = -o->lr;
    const int decays = o->weight_decay != 0, nesterov = o->nesterov;
    for (long i = 0; i < n; i++) {
        const real braked = alpha * g[i];
        const real d = decays ? plus(braked, wd, w[i]) : braked;
        g[i] = braked;
        v[i] = plus(m * v[i], enters, d);
        w[i] = plus(w[i], minus_lr, nesterov ? plus(d, m, v[i]) : v[i]);
    }
}

/* Brake each row of each parameter by its cosine, and move it; cosine: of all rows in their order. */
void brake(long count, real *const *ws, real *const *gs, real *const *vs, const long *sizes,
           const long *rows, real *cosine, const struct options *o, long part, long parts)
{
    const real rho = o->rho, eps = o->eps;
    for (long t = 0; t < count; cosine += rows[t], t++) {
        const long n = sizes[t] / rows[t];
        /* Of a parameter of one row one thread takes all; which one, alternates. */
        const long end = (rows[t] * (part + 1) + t % parts) / parts;
        for (long r = (rows[t] * part + t % parts) / parts; r < end; r++) {
            real *w = ws[t] + r * n, *g = gs[t] + r * n, *v = vs[t] + r * n;
            if (!o->given) {
                const struct sums s = sums_of(n, g, v);
                const real norms = SQRT(s.gg) * SQRT(s.vv);
                cosine[r] = s.dot / (norms < eps ? eps : norms);
            }
            const real alpha = 1 - rho * cosine[r];
            if (o->step)
                step_along(n, w, g, v, alpha, o);
            else
                for (long i = 0; i < n; i++)
                    g[i] *= alpha;
        }
    }
}
