/* What trains in the reader's browser: the chapter's LMModel5, 6 and 7, forward, backward, fastai's
   Adam and PyTorch's generator, in C without any library. build.py compiles it to WebAssembly;
   tests/test_train.py holds it against PyTorch.

   Weights lie one after the other in the order and layout of PyTorch's state_dict: the embedding,
   then of each layer weight_ih, weight_hh, bias_ih, bias_hh, then the output matrix (unless it is
   the embedding) and its bias. Activations lie step by step: step, row, unit. */

enum { VOCAB = 30, PADDED = 32, WIDTH = 64, ROWS = 64, STEPS = 16, MOST_LAYERS = 3 };
enum { PLACES = ROWS * STEPS, ACTIVATIONS = PLACES * WIDTH, STATE = ROWS * WIDTH };
enum { MOST_GATES = 4, MOST_TEXT = 65536 };
enum { MATRIX = VOCAB * WIDTH };
enum { MOST_LAYER = 2 * MOST_GATES * WIDTH * (WIDTH + 1) };
enum { MOST_WEIGHTS = 2 * MATRIX + VOCAB + MOST_LAYERS * MOST_LAYER };
enum unit { TANH, RELU, LSTM };

#define EXPORT(name) __attribute__((export_name(#name)))

/* Four numbers that the processor adds or multiplies at once. They may begin anywhere. */
typedef float four __attribute__((vector_size(16), aligned(4), may_alias));

/* ---- Functions that a library would have ---- */

static inline unsigned bits_of(float x)
{
    union { float number; unsigned bits; } both = { x };
    return both.bits;
}

static inline float from_bits(unsigned bits)
{
    union { unsigned bits; float number; } both = { bits };
    return both.number;
}

/* e^x = 2^n · e^rest with |rest| <= ln(2)/2, where a polynomial does (Cephes). No branches, so that
   the compiler makes four at once. Adding 1.5 · 2^23 rounds to a whole number. */
static inline float exponential(float x)
{
    const float rounder = 12582912.f;
    x = x < -87.f ? -87.f : x;
    x = x > 88.f ? 88.f : x;
    float shifted = x * 1.44269504f + rounder;
    float n = shifted - rounder;
    float rest = x - n * 0.693359375f;
    rest = rest + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * rest + 1.3981999507e-3f;
    p = p * rest + 8.3334519073e-3f;
    p = p * rest + 4.1665795894e-2f;
    p = p * rest + 1.6666665459e-1f;
    p = p * rest + 5.0000001201e-1f;
    float power_of_two = from_bits((bits_of(shifted) - bits_of(rounder) + 127u) << 23);
    return (p * rest * rest + rest + 1.f) * power_of_two;
}

static inline float sigmoid(float x)
{
    return 1.f / (1.f + exponential(-x));
}

/* By the exponential; near zero, where that would cancel, by a polynomial (Cephes). */
static inline float hyperbolic_tangent(float x)
{
    float size = x < 0.f ? -x : x;
    float far = 1.f - 2.f / (exponential(2.f * size) + 1.f);
    float square = x * x;
    float p = -5.70498872745e-3f;
    p = p * square + 2.06390887954e-2f;
    p = p * square - 5.37397155531e-2f;
    p = p * square + 1.33314422036e-1f;
    p = p * square - 3.33332819422e-1f;
    float near = p * square * x + x;
    far = x < 0.f ? -far : far;
    return size < 0.625f ? near : far;
}

/* ln(x) for x > 0: the exponent, and a series for what is left, from 0.7 to 1.4. */
static double logarithm(double x)
{
    union { double number; unsigned long long bits; } both = { x };
    int exponent = (int)(both.bits >> 52) - 1023;
    both.bits = (both.bits & 0xFFFFFFFFFFFFFull) | 0x3FF0000000000000ull;
    double rest = both.number;
    if (rest > 1.4142135623730951) {
        rest /= 2;
        exponent += 1;
    }
    double s = (rest - 1) / (rest + 1);
    double sum = 0;
    for (int k = 23; k > 0; k -= 2)
        sum = sum * s * s + 1. / k;
    return 2 * s * sum + exponent * 0.6931471805599453;
}

static const double PI = 3.141592653589793;

/* Cosine of x >= 0: back to an eighth of a turn, where a series does. */
static double cosine(double x)
{
    int quarter = (int)(x / (PI / 2) + .5);
    double rest = x - quarter * (PI / 2);
    double even = 0;
    double odd = 0;
    for (int k = 18; k > 0; k -= 2) {
        even = (1 - even) * rest * rest / (k * (k - 1));
        odd = (1 - odd) * rest * rest / (k * (k + 1));
    }
    double cosine_of_rest = 1 - even;
    double sine_of_rest = rest * (1 - odd);
    switch (quarter % 4) {
    case 0: return cosine_of_rest;
    case 1: return -sine_of_rest;
    case 2: return -cosine_of_rest;
    default: return sine_of_rest;
    }
}

static double power(double base, unsigned n)
{
    double result = 1;
    for (; n; n >>= 1) {
        if (n & 1)
            result *= base;
        base *= base;
    }
    return result;
}

static void fill(float *to, float value, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = value;
}

static void copy(float *to, const float *from, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = from[i];
}

/* ---- Matrix products ---- */

/* C += A·B. A(i, k) is at a[i*a_row + k*a_deep], so that A may be read transposed; B and C lie row
   by row. Four rows and eight columns of C at a time stay in eight registers. `rows` must be a
   multiple of 4, `columns` of 8. */
static void multiply(float *c, int c_row, const float *a, int a_row, int a_deep,
                     const float *b, int b_row, int rows, int columns, int depth)
{
    for (int j = 0; j < columns; j += 8) {
        for (int i = 0; i < rows; i += 4) {
            four left[4];
            four right[4];
            for (int r = 0; r < 4; r++) {
                const four *here = (const four *)(c + (i + r) * c_row + j);
                left[r] = here[0];
                right[r] = here[1];
            }
            const float *a_here = a + i * a_row;
            const float *b_here = b + j;
            for (int k = 0; k < depth; k++) {
                four b_left = ((const four *)b_here)[0];
                four b_right = ((const four *)b_here)[1];
                for (int r = 0; r < 4; r++) {
                    float x = a_here[r * a_row];
                    left[r] += x * b_left;
                    right[r] += x * b_right;
                }
                a_here += a_deep;
                b_here += b_row;
            }
            for (int r = 0; r < 4; r++) {
                four *here = (four *)(c + (i + r) * c_row + j);
                here[0] = left[r];
                here[1] = right[r];
            }
        }
    }
}

/* to: from, of rows × columns, with a row of `to` for a column of `from`. */
static void transpose(float *to, int to_row, const float *from, int rows, int columns)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++)
            to[j * to_row + i] = from[i * columns + j];
}

/* ---- PyTorch's generator on the CPU: the Mersenne Twister (Matsumoto and Nishimura 1998) ---- */

static unsigned twister[624];
static int twister_place;

EXPORT(seed) void seed(unsigned number)
{
    twister[0] = number;
    for (unsigned i = 1; i < 624; i++)
        twister[i] = 1812433253u * (twister[i - 1] ^ (twister[i - 1] >> 30)) + i;
    twister_place = 624;
}

static void twist(void)
{
    for (int i = 0; i < 624; i++) {
        unsigned joined = (twister[i] & 0x80000000u) | (twister[(i + 1) % 624] & 0x7FFFFFFFu);
        unsigned odd = joined & 1 ? 0x9908B0DFu : 0;
        twister[i] = twister[(i + 397) % 624] ^ (joined >> 1) ^ odd;
    }
    twister_place = 0;
}

static unsigned draw(void)
{
    if (twister_place == 624)
        twist();
    unsigned x = twister[twister_place++];
    x ^= x >> 11;
    x ^= (x << 7) & 0x9D2C5680u;
    x ^= (x << 15) & 0xEFC60000u;
    return x ^ (x >> 18);
}

EXPORT(skip) void skip(unsigned draws)
{
    while (draws--)
        draw();
}

/* From 0 to 1, of 24 of the 32 bits, as torch.rand takes them. */
static float draw_uniform(void)
{
    return (draw() & 0xFFFFFFu) * (1.f / 16777216.f);
}

/* As torch.Tensor.normal_ does from 16 numbers on (`n` is a multiple of 16): Box and Muller, the
   first eight of a block being radii, the last eight angles. */
static void draw_normal(float *to, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = draw_uniform();
    for (int block = 0; block < n; block += 16) {
        for (int i = block; i < block + 8; i++) {
            float radius = __builtin_sqrtf(-2.f * (float)logarithm(1.f - to[i]));
            float angle = (float)(2 * PI) * to[i + 8];
            to[i] = radius * (float)cosine(angle);
            to[i + 8] = radius * (float)cosine(angle + 1.5 * PI);
        }
    }
}

/* ---- The model ---- */

static int layers, unit, gates, tied, n_weights;
static float weights[MOST_WEIGHTS], gradients[MOST_WEIGHTS];
static float averages[MOST_WEIGHTS], squares[MOST_WEIGHTS];        /* Adam's, of the gradients */

static float *layer_of(float *all, int layer)
{
    return all + MATRIX + layer * 2 * gates * WIDTH * (WIDTH + 1);
}

/* Of a layer's four parts, in the order of PyTorch */
static float *input_matrix(float *all, int layer) { return layer_of(all, layer); }
static float *state_matrix(float *all, int layer)
{
    return layer_of(all, layer) + gates * WIDTH * WIDTH;
}
static float *input_bias(float *all, int layer)
{
    return layer_of(all, layer) + 2 * gates * WIDTH * WIDTH;
}
static float *state_bias(float *all, int layer) { return input_bias(all, layer) + gates * WIDTH; }
static float *output_matrix(float *all) { return tied ? all : layer_of(all, layers); }
static float *output_bias(float *all) { return all + n_weights - VOCAB; }

/* How it is trained */
static double rate, momentum_ends, momentum_middle, decay, dropout, alpha, beta;
static int batches_of_fit, batches_done;
static float smoothed;

/* The text, and where in it the batches are: `group_chunks` of the chapter */
static unsigned char text[MOST_TEXT];
static int training_chunks, training_batches, validation_batches;

/* What a forward pass leaves for the backward pass. `outputs` and `cells` begin with the state that
   the batch before left. */
static int words[PLACES], next_words[PLACES];
static float embedded[ACTIVATIONS];
static float outputs[MOST_LAYERS][STATE + ACTIVATIONS], cells[MOST_LAYERS][STATE + ACTIVATIONS];
static float cell_tangents[MOST_LAYERS][ACTIVATIONS];
static float gate_values[MOST_LAYERS][ACTIVATIONS * MOST_GATES];
static float mask[ACTIVATIONS], dropped[ACTIVATIONS];
static float logits[PLACES * PADDED];
static double loss_seen, right_seen;

/* Room to work in */
static float turned[WIDTH * WIDTH * MOST_GATES];
static float upper[ACTIVATIONS], lower[ACTIVATIONS], state_slope[STATE], cell_slope[STATE];
static float padded[PADDED * WIDTH];

EXPORT(weights_at) float *weights_at(void) { return weights; }
EXPORT(gradients_at) float *gradients_at(void) { return gradients; }
EXPORT(mask_at) float *mask_at(void) { return mask; }
EXPORT(text_at) unsigned char *text_at(void) { return text; }
EXPORT(validation_loss) double validation_loss(void) { return loss_seen; }
EXPORT(validation_accuracy) double validation_accuracy(void) { return right_seen; }
EXPORT(batches_an_epoch) int batches_an_epoch(void) { return training_batches; }

/* The text has `length` words: four fifths to train on, the rest to validate with. */
EXPORT(set_text) void set_text(int length)
{
    int chunks = (length - 17 + STEPS - 1) / STEPS;
    training_chunks = chunks * 4 / 5;
    training_batches = training_chunks / ROWS;
    validation_batches = (chunks - training_chunks) / ROWS;
}

/* The state that the next batch goes on from becomes zero. */
EXPORT(forget) void forget(void)
{
    for (int l = 0; l < layers; l++) {
        fill(outputs[l], 0, STATE);
        fill(cells[l], 0, STATE);
    }
}

/* A new model, not drawn yet: the number of its weights. */
EXPORT(set_model) int set_model(int n_layers, int kind, int is_tied)
{
    layers = n_layers;
    unit = kind;
    gates = kind == LSTM ? 4 : 1;
    tied = is_tied;
    n_weights = (int)(layer_of(weights, layers) - weights) + (tied ? 0 : MATRIX) + VOCAB;
    batches_done = 0;
    smoothed = 0;
    fill(averages, 0, n_weights);
    fill(squares, 0, n_weights);
    fill(mask, 1, ACTIVATIONS);
    forget();
    return n_weights;
}

EXPORT(set_training) void set_training(double largest_rate, double weight_decay, double p,
                                       double ar, double tar, double ends, double middle,
                                       int epochs)
{
    rate = largest_rate;
    decay = weight_decay;
    dropout = p;
    alpha = ar;
    beta = tar;
    momentum_ends = ends;
    momentum_middle = middle;
    batches_of_fit = epochs * training_batches;
}

/* As PyTorch draws it: a normal embedding, and all else uniform within 1/sqrt(64). A tied model has
   an output matrix drawn too, which is thrown away. */
EXPORT(draw_weights) void draw_weights(void)
{
    draw_normal(weights, MATRIX);
    float *bias = output_bias(weights);
    for (float *w = weights + MATRIX; w < bias + VOCAB; w++) {
        if (tied && w == bias)
            skip(MATRIX);
        *w = draw_uniform() * .25f - .125f;
    }
}

/* ---- Forward ---- */

static void read_batch(int batch, int training)
{
    int of = training ? training_batches : validation_batches;
    int first = training ? 0 : training_chunks;
    for (int t = 0; t < STEPS; t++) {
        for (int row = 0; row < ROWS; row++) {
            int place = (first + batch + of * row) * STEPS + t;
            words[t * ROWS + row] = text[place];
            next_words[t * ROWS + row] = text[place + 1];
        }
    }
    for (int i = 0; i < PLACES; i++)
        copy(embedded + i * WIDTH, weights + words[i] * WIDTH, WIDTH);
}

static const float *inputs_of(int layer)
{
    return layer ? outputs[layer - 1] + STATE : embedded;
}

/* One step of an LSTM: the gates in, forget, cell and out, which replace their sums in `z`. */
static void lstm_step(float *z, const float *cell_before, float *cell, float *tangent, float *out)
{
    for (int row = 0; row < ROWS; row++) {
        for (int j = 0; j < 2 * WIDTH; j++)
            z[j] = sigmoid(z[j]);
        for (int j = 2 * WIDTH; j < 3 * WIDTH; j++)
            z[j] = hyperbolic_tangent(z[j]);
        for (int j = 3 * WIDTH; j < 4 * WIDTH; j++)
            z[j] = sigmoid(z[j]);
        for (int j = 0; j < WIDTH; j++) {
            cell[j] = z[WIDTH + j] * cell_before[j] + z[j] * z[2 * WIDTH + j];
            tangent[j] = hyperbolic_tangent(cell[j]);
            out[j] = z[3 * WIDTH + j] * tangent[j];
        }
        z += 4 * WIDTH;
        cell_before += WIDTH;
        cell += WIDTH;
        tangent += WIDTH;
        out += WIDTH;
    }
}

static void forward_layer(int l)
{
    int wide = gates * WIDTH;
    float *z = gate_values[l];
    const float *bias = input_bias(weights, l);
    for (int i = 0; i < PLACES; i++)
        for (int j = 0; j < wide; j++)
            z[i * wide + j] = bias[j] + bias[wide + j];
    transpose(turned, wide, input_matrix(weights, l), wide, WIDTH);
    multiply(z, wide, inputs_of(l), WIDTH, 1, turned, wide, PLACES, wide, WIDTH);
    transpose(turned, wide, state_matrix(weights, l), wide, WIDTH);
    for (int t = 0; t < STEPS; t++) {
        float *sums = z + t * ROWS * wide;
        const float *before = outputs[l] + t * STATE;
        float *out = outputs[l] + (t + 1) * STATE;
        multiply(sums, wide, before, WIDTH, 1, turned, wide, ROWS, wide, WIDTH);
        if (unit == LSTM)
            lstm_step(sums, cells[l] + t * STATE, cells[l] + (t + 1) * STATE,
                      cell_tangents[l] + t * STATE, out);
        else if (unit == TANH)
            for (int i = 0; i < STATE; i++)
                out[i] = hyperbolic_tangent(sums[i]);
        else
            for (int i = 0; i < STATE; i++)
                out[i] = sums[i] > 0 ? sums[i] : 0;
    }
}

/* The output layer's logits; the two columns beyond the vocabulary are not used. */
static void forward_output(void)
{
    const float *bias = output_bias(weights);
    for (int i = 0; i < PLACES; i++)
        for (int j = 0; j < PADDED; j++)
            logits[i * PADDED + j] = j < VOCAB ? bias[j] : 0;
    fill(turned, 0, PADDED * WIDTH);
    transpose(turned, PADDED, output_matrix(weights), VOCAB, WIDTH);
    multiply(logits, PADDED, dropped, WIDTH, 1, turned, PADDED, PLACES, PADDED, WIDTH);
}

/* Cross-entropy, and the share of right words. The logits become the loss's slopes. */
static void cross_entropy(double *loss, double *right)
{
    double sum_of_losses = 0;
    int n_right = 0;
    for (int i = 0; i < PLACES; i++) {
        float *row = logits + i * PADDED;
        int likeliest = 0;
        for (int j = 1; j < VOCAB; j++)
            if (row[j] > row[likeliest])
                likeliest = j;
        float largest = row[likeliest];
        float true_logit = row[next_words[i]];
        float sum = 0;
        for (int j = 0; j < VOCAB; j++) {
            row[j] = exponential(row[j] - largest);
            sum += row[j];
        }
        sum_of_losses += logarithm(sum) - (true_logit - largest);
        n_right += likeliest == next_words[i];
        for (int j = 0; j < VOCAB; j++)
            row[j] /= sum * PLACES;
        row[next_words[i]] -= 1.f / PLACES;
    }
    *loss = sum_of_losses / PLACES;
    *right = (double)n_right / PLACES;
}

/* The last layer's activations, before dropout */
static const float *raw_outputs(void) { return outputs[layers - 1] + STATE; }

static double penalties(void)
{
    double ar = 0;
    double tar = 0;
    const float *raw = raw_outputs();
    for (int i = 0; i < ACTIVATIONS; i++)
        ar += dropped[i] * dropped[i];
    for (int i = STATE; i < ACTIVATIONS; i++) {
        float change = raw[i] - raw[i - STATE];
        tar += change * change;
    }
    return alpha * ar / ACTIVATIONS + beta * tar / (ACTIVATIONS - STATE);
}

/* The logits' slopes are ready then; the loss is without penalties. */
static void forward(int batch, int training, double *loss, double *right)
{
    read_batch(batch, training);
    for (int l = 0; l < layers; l++)
        forward_layer(l);
    const float *raw = raw_outputs();
    for (int i = 0; i < ACTIVATIONS; i++)
        dropped[i] = training ? raw[i] * mask[i] : raw[i];
    forward_output();
    cross_entropy(loss, right);
}

/* The last state is the next batch's first. Nothing goes back through it. */
static void carry_state(void)
{
    for (int l = 0; l < layers; l++) {
        copy(outputs[l], outputs[l] + ACTIVATIONS, STATE);
        copy(cells[l], cells[l] + ACTIVATIONS, STATE);
    }
}

/* ---- Backward ---- */

/* From the logits' slopes to those of the last layer's outputs, `upper` */
static void backward_output(void)
{
    float *bias = output_bias(gradients);
    for (int i = 0; i < PLACES; i++)
        for (int j = 0; j < VOCAB; j++)
            bias[j] += logits[i * PADDED + j];
    for (int i = 0; i < PLACES; i++)
        for (int j = VOCAB; j < PADDED; j++)
            logits[i * PADDED + j] = 0;
    fill(padded, 0, PADDED * WIDTH);
    for (int t = 0; t < STEPS; t++)
        multiply(padded, WIDTH, logits + t * ROWS * PADDED, 1, PADDED, dropped + t * STATE, WIDTH,
                 PADDED, WIDTH, ROWS);
    float *matrix = output_matrix(gradients);
    for (int i = 0; i < MATRIX; i++)
        matrix[i] += padded[i];
    fill(upper, 0, ACTIVATIONS);
    multiply(upper, WIDTH, logits, PADDED, 1, output_matrix(weights), WIDTH, PLACES, WIDTH, VOCAB);
    float ar = (float)(2 * alpha / ACTIVATIONS);
    for (int i = 0; i < ACTIVATIONS; i++)
        upper[i] = (upper[i] + ar * dropped[i]) * mask[i];
    float tar = (float)(2 * beta / (ACTIVATIONS - STATE));
    const float *raw = raw_outputs();
    for (int i = STATE; i < ACTIVATIONS; i++) {
        float slope = tar * (raw[i] - raw[i - STATE]);
        upper[i] += slope;
        upper[i - STATE] -= slope;
    }
}

/* One step back through an LSTM: the gates in `z` become the slopes of their sums. */
static void lstm_step_back(float *z, const float *cell_before, const float *tangent,
                           const float *out_slope, float *cell_slope_here)
{
    for (int row = 0; row < ROWS; row++) {
        for (int j = 0; j < WIDTH; j++) {
            float in = z[j];
            float keep = z[WIDTH + j];
            float new = z[2 * WIDTH + j];
            float out = z[3 * WIDTH + j];
            float slope = out_slope[j];
            float cell = cell_slope_here[j] + slope * out * (1 - tangent[j] * tangent[j]);
            z[j] = cell * new * in * (1 - in);
            z[WIDTH + j] = cell * cell_before[j] * keep * (1 - keep);
            z[2 * WIDTH + j] = cell * in * (1 - new * new);
            z[3 * WIDTH + j] = slope * tangent[j] * out * (1 - out);
            cell_slope_here[j] = cell * keep;
        }
        z += 4 * WIDTH;
        cell_before += WIDTH;
        tangent += WIDTH;
        out_slope += WIDTH;
        cell_slope_here += WIDTH;
    }
}

/* From the slopes of a layer's outputs, `upper`, to those of its inputs, which replace them */
static void backward_layer(int l)
{
    int wide = gates * WIDTH;
    float *to_input_bias = input_bias(gradients, l);
    float *to_state_bias = state_bias(gradients, l);
    fill(state_slope, 0, STATE);
    fill(cell_slope, 0, STATE);
    fill(lower, 0, ACTIVATIONS);
    for (int t = STEPS - 1; t >= 0; t--) {
        float *z = gate_values[l] + t * ROWS * wide;
        const float *before = outputs[l] + t * STATE;
        const float *out = outputs[l] + (t + 1) * STATE;
        for (int i = 0; i < STATE; i++)
            state_slope[i] += upper[t * STATE + i];
        if (unit == LSTM)
            lstm_step_back(z, cells[l] + t * STATE, cell_tangents[l] + t * STATE, state_slope,
                           cell_slope);
        else if (unit == TANH)
            for (int i = 0; i < STATE; i++)
                z[i] = state_slope[i] * (1 - out[i] * out[i]);
        else
            for (int i = 0; i < STATE; i++)
                z[i] = out[i] > 0 ? state_slope[i] : 0;
        for (int row = 0; row < ROWS; row++) {
            for (int j = 0; j < wide; j++)
                to_input_bias[j] += z[row * wide + j];
        }
        multiply(input_matrix(gradients, l), WIDTH, z, 1, wide, inputs_of(l) + t * STATE, WIDTH,
                 wide, WIDTH, ROWS);
        multiply(state_matrix(gradients, l), WIDTH, z, 1, wide, before, WIDTH, wide, WIDTH, ROWS);
        multiply(lower + t * STATE, WIDTH, z, wide, 1, input_matrix(weights, l), WIDTH, ROWS, WIDTH,
                 wide);
        fill(state_slope, 0, STATE);
        multiply(state_slope, WIDTH, z, wide, 1, state_matrix(weights, l), WIDTH, ROWS, WIDTH,
                 wide);
    }
    copy(to_state_bias, to_input_bias, wide);
    copy(upper, lower, ACTIVATIONS);
}

/* All gradients of the loss with its penalties, after `forward` in training */
static void backward(void)
{
    fill(gradients, 0, n_weights);
    backward_output();
    for (int l = layers - 1; l >= 0; l--)
        backward_layer(l);
    for (int i = 0; i < PLACES; i++)
        for (int j = 0; j < WIDTH; j++)
            gradients[words[i] * WIDTH + j] += upper[i * WIDTH + j];
}

/* ---- Training ---- */

/* Half a wave from one value to another, `part` of the way */
static double half_wave(double from, double to, double part)
{
    return from + (1 - cosine(PI * part)) * (to - from) / 2;
}

/* fastai's combined_cos: a quarter of the way up, the rest down */
static double one_cycle(double begin, double middle, double end, double part)
{
    if (part < .25)
        return half_wave(begin, middle, part / .25);
    return half_wave(middle, end, (part - .25) / .75);
}

/* fastai's Adam, with weight decay that does not go through the averages and spares the output
   layer's bias */
static void update(double rate_now, double momentum)
{
    unsigned step = batches_done + 1;
    float keep = (float)(1 - rate_now * decay);
    float keep_average = (float)momentum;
    float keep_square = .99f;
    float add_average = (float)(1 - momentum);
    float add_square = (float)(1 - .99);
    float size = (float)(rate_now / (1 - power(momentum, step)));
    float of_squares = (float)(1 - power(.99, step));
    int decayed = n_weights - VOCAB;
    for (int i = 0; i < decayed; i++)
        weights[i] *= keep;
    for (int i = 0; i < n_weights; i++) {
        float g = gradients[i];
        averages[i] = keep_average * averages[i] + add_average * g;
        squares[i] = keep_square * squares[i] + add_square * g * g;
        weights[i] -= size * averages[i] / (__builtin_sqrtf(squares[i] / of_squares) + 1e-5f);
    }
}

static void draw_mask(void)
{
    float scale = (float)(1 / (1 - dropout));
    float p = (float)dropout;
    for (int i = 0; i < ACTIVATIONS; i++)
        mask[i] = draw_uniform() < p ? 0 : scale;
}

/* Loss with penalties and its gradients for a training batch, with the mask as it is. The weights
   stay, the state goes on. */
EXPORT(differentiate) double differentiate(int batch)
{
    double loss;
    double right;
    forward(batch, 1, &loss, &right);
    loss += penalties();
    backward();
    carry_state();
    return loss;
}

/* One batch of the fit: its loss with penalties, before the update */
EXPORT(train_batch) double train_batch(void)
{
    int batch = batches_done % training_batches;
    double part = (double)batches_done / batches_of_fit;
    if (batch == 0)
        forget();
    if (dropout > 0)
        draw_mask();
    float loss = (float)differentiate(batch);
    update(one_cycle(rate / 25, rate, rate / 1e5, part),
           one_cycle(momentum_ends, momentum_middle, momentum_ends, part));
    batches_done++;
    smoothed += .02f * (loss - smoothed);
    return loss;
}

/* The training loss that fastai prints */
EXPORT(smoothed_loss) double smoothed_loss(void)
{
    return smoothed / (1 - power(.98, batches_done));
}

/* Loss and accuracy over the validation batches, kept for validation_loss and the like */
EXPORT(validate) void validate(void)
{
    double losses = 0;
    double rights = 0;
    forget();
    for (int batch = 0; batch < validation_batches; batch++) {
        double loss;
        double right;
        forward(batch, 0, &loss, &right);
        carry_state();
        losses += loss;
        rights += right;
    }
    loss_seen = losses / validation_batches;
    right_seen = rights / validation_batches;
}
