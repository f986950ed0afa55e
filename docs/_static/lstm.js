/* LMModel7 in plain JavaScript, its weights from lmmodel7.js: read a word, and see how every gate
   and every cell stands. What the equations say in Python: nbs/beyond/01_playground.ipynb. */
'use strict';
const LSTM = (() => {
  const {n_hidden: width, n_layers: depth, vocab, weights} = LMMODEL7;
  const place = new Map(vocab.map((word, i) => [word, i]));

  // The weights in the order of PyTorch's state_dict; the tied output matrix is the embedding.
  const bytes = Uint8Array.from(atob(weights), letter => letter.charCodeAt(0));
  const numbers = new Float32Array(bytes.buffer);
  let taken = 0;
  function take(n) {
    taken += n;
    return numbers.subarray(taken-n, taken);
  }
  const embedding = take(vocab.length*width);
  const layers = [];
  for (let l = 0; l < depth; l++) {
    layers.push({
      input: take(4*width*width), hidden: take(4*width*width),
      inputBias: take(4*width), hiddenBias: take(4*width),
    });
  }
  const bias = take(vocab.length);

  function dot(matrix, row, vector) {
    let sum = 0;
    for (let j = 0; j < width; j++) sum += matrix[row*width+j]*vector[j];
    return sum;
  }
  const sigmoid = x => 1/(1 + Math.exp(-x));
  // PyTorch's order of the four gates
  const gates = {i: sigmoid, f: sigmoid, g: Math.tanh, o: sigmoid};
  const names = Object.keys(gates);

  // What the network starts from
  function zeros() {
    return layers.map(() => ({h: new Float64Array(width), c: new Float64Array(width)}));
  }

  // One layer reads x. A hold fixes a gate of some units: {layer, gate, units, at}
  function step(l, x, before, holds) {
    const w = layers[l];
    const seen = {};
    names.forEach((name, k) => {
      seen[name] = Float64Array.from({length: width}, (_, j) => {
        const row = k*width + j;
        const fromInput = dot(w.input, row, x) + w.inputBias[row];
        return gates[name](fromInput + dot(w.hidden, row, before.h) + w.hiddenBias[row]);
      });
    });
    for (const {layer, gate, units, at} of holds) {
      if (layer === l) for (const j of units) seen[gate][j] = at;
    }
    const {i, f, g, o} = seen;
    const c = before.c.map((old, j) => f[j]*old + i[j]*g[j]);
    const h = c.map((value, j) => o[j]*Math.tanh(value));
    return {...seen, c, h};
  }

  // Read one word: the logits of the next, and the new state, a layer an entry, gates and all
  function read(word, state, holds = []) {
    const i = place.get(word);
    let x = embedding.subarray(i*width, (i+1)*width);
    const after = layers.map((_, l) => {
      const seen = step(l, x, state[l], holds);
      x = seen.h;
      return seen;
    });
    return {logits: vocab.map((_, k) => dot(embedding, k, x) + bias[k]), state: after};
  }

  // The probability of each word, the likeliest first
  function likeliest(logits, n = vocab.length, temperature = 1) {
    const top = Math.max(...logits);
    const powers = logits.map(value => Math.exp((value-top)/temperature));
    const sum = powers.reduce((all, value) => all + value);
    const found = vocab.map((word, i) => ({word, p: powers[i]/sum}));
    return found.sort((a, b) => b.p - a.p).slice(0, n);
  }

  // A generator that always starts alike (mulberry32)
  function generator(seed) {
    let a = seed >>> 0;
    return () => {
      a = (a + 0x6D2B79F5) >>> 0;
      let t = Math.imul(a ^ (a >>> 15), a | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return ((t ^ (t >>> 14)) >>> 0)/2**32;
    };
  }

  // The likeliest word; or, at a temperature above 0, one that is drawn
  function choose(logits, temperature, random) {
    if (!temperature) return likeliest(logits, 1)[0].word;
    const all = likeliest(logits, vocab.length, temperature);
    let left = random();
    return (all.find(({p}) => (left -= p) < 0) ?? all[0]).word;
  }

  return {vocab, place, width, depth, zeros, read, likeliest, generator, choose};
})();
