/* The playground: LMModel7 in plain JavaScript, its weights from lmmodel7.js. The same rules in Python, with their tests: nbs/17_playground.ipynb. */
'use strict';
const Playground = (() => {
  const maxWords = 1000, maxSteps = 100;
  const {n_hidden: nh, n_layers: layers, vocab, weights} = LMMODEL7;
  const place = new Map(vocab.map((w, i) => [w, i]));

  // The weights in the order of PyTorch's state_dict; the tied output matrix is the embedding.
  const data = new Float32Array(Uint8Array.from(atob(weights), c => c.charCodeAt(0)).buffer);
  let at = 0;
  const take = n => data.subarray(at, at += n);
  const emb = take(vocab.length*nh);
  const cells = Array.from({length: layers}, () => ({wi: take(4*nh*nh), wh: take(4*nh*nh), bi: take(4*nh), bh: take(4*nh)}));
  const bias = take(vocab.length);

  const sigmoid = x => 1/(1 + Math.exp(-x));
  function dot(w, row, x) {
    let s = 0;
    for (let j = 0, o = row*nh; j < nh; j++) s += w[o+j]*x[j];
    return s;
  }
  const zeros = () => cells.map(() => ({h: new Float64Array(nh), c: new Float64Array(nh)}));

  // Read one word: the logits of the next, and the state after it.
  function read(word, state) {
    const i = place.get(word);
    let x = emb.subarray(i*nh, (i+1)*nh);
    const next = cells.map((w, l) => {
      const {h, c} = state[l];
      const gate = (k, j) => dot(w.wi, k*nh+j, x) + w.bi[k*nh+j] + dot(w.wh, k*nh+j, h) + w.bh[k*nh+j];
      const c1 = c.map((old, j) => sigmoid(gate(1, j))*old + sigmoid(gate(0, j))*Math.tanh(gate(2, j)));   // i, f, g, o
      const h1 = c1.map((v, j) => sigmoid(gate(3, j))*Math.tanh(v));
      x = h1;
      return {h: h1, c: c1};
    });
    return {logits: vocab.map((_, i) => dot(emb, i, x) + bias[i]), state: next};
  }

  function likeliest(logits, n = 5) {
    const top = Math.max(...logits), e = logits.map(v => Math.exp(v-top)), sum = e.reduce((a, b) => a+b);
    return vocab.map((word, i) => ({word, p: e[i]/sum})).sort((a, b) => b.p-a.p).slice(0, n);
  }

  // The corpus: the numbers from 1 to 9,999 without 8,000.
  const units = ['', ...vocab.filter(w => !['.', 'hundred', 'thousand'].includes(w))];                      // 1 to 19, then the tens
  function spelled(n) {
    const out = [];
    if (n >= 1000) out.push(units[Math.floor(n/1000)], 'thousand');
    if (n%1000 >= 100) out.push(units[Math.floor(n%1000/100)], 'hundred');
    const rest = n%100;
    if (rest >= 20) out.push(units[18 + Math.floor(rest/10)]);
    if (rest > 0 && rest < 20) out.push(units[rest]);
    else if (rest%10) out.push(units[rest%10]);
    return out.join(' ');
  }
  const lines = Array.from({length: 9999}, (_, i) => spelled(i+1)).filter(o => o !== 'eight thousand');
  const line = new Map(lines.map((o, i) => [o, i]));

  // The next word of the count, or null where the text does not say.
  function trueNext(words) {
    const stop = words.lastIndexOf('.'), part = words.slice(stop+1);
    let i;
    if (stop < 0) {
      if (!line.has(part.join(' '))) return null;
      i = line.get(part.join(' '))-1;
    } else i = line.get(words.slice(words.slice(0, stop).lastIndexOf('.')+1, stop).join(' '));
    if (i === undefined || i+1 === lines.length) return null;
    const follows = lines[i+1].split(' ');
    if (part.some((w, j) => w !== follows[j])) return null;
    return follows[part.length] ?? (i+2 === lines.length ? null : '.');
  }

  // Capitals, hyphens, commas and a stop without a space before it are what people type.
  const split = text => text.toLowerCase().replace(/\./g, ' . ').split(/[\s,-]+/).filter(Boolean);

  function goOn(text, n) {
    const words = split(text);
    if (!words.length) throw new Error('Type a few words first, such as: nine thousand.');
    if (words.length > maxWords) throw new Error(`That is ${words.length.toLocaleString('en')} words. At most ${maxWords.toLocaleString('en')} are read: shorten the text.`);
    const unknown = [...new Set(words.filter(w => !place.has(w)))];
    if (unknown.length) throw new Error(`${unknown.slice(0, 3).map(w => `“${w.slice(0, 30)}”`).join(', ')}${unknown.length > 3 ? ' and others are' : unknown.length > 1 ? ' are' : ' is'} not among the model's 30 words. ` +
      (unknown.some(w => /\d/.test(w)) ? 'Write numbers out, such as: nine thousand.' : `They are: ${vocab.join(' ')}`));
    if (!Number.isInteger(n) || n < 1 || n > maxSteps) throw new Error(`Words to add: a whole number from 1 to ${maxSteps} is needed.`);
    let state = zeros(), logits, lost = false;
    for (const w of words) ({logits, state} = read(w, state));
    const steps = [];
    for (let i = 0; i < n; i++) {
      const five = likeliest(logits), word = five[0].word, expected = lost ? null : trueNext([...words, ...steps.map(o => o.word)]);
      const ok = expected === null ? null : word === expected;
      steps.push({word, true: expected, ok, five, logits});
      lost = (lost || ok === false) && word !== '.';
      ({logits, state} = read(word, state));
    }
    return {words, steps};
  }
  return {goOn, trueNext, split, lines};
})();

(() => {
  const $ = id => document.getElementById(id), form = $('play');
  if (!form) return;
  const node = (tag, cls, text) => Object.assign(document.createElement(tag), {className: cls ?? '', textContent: text ?? ''});
  const percent = p => p < .001 ? '< 0.1 %' : p > .999 ? '> 99.9 %' : `${(100*p).toFixed(1)} %`;

  function verdict({word, true: expected, ok}) {
    return ok ? 'right' : ok === null ? 'nothing to compare with' : `wrong: the count has “${expected}”`;
  }
  function step(o, before) {
    const li = node('li', o.ok === false ? 'play-wrong' : '');
    const head = node('p', 'play-head');
    head.append(node('strong', '', o.word), node('span', 'play-verdict', verdict(o)));
    const five = node('ul', 'play-five');
    for (const {word, p} of o.five) {
      const item = node('li'), b = node('button', '', word);
      b.type = 'button';
      b.style.setProperty('--p', `${100*p}%`);
      b.append(node('span', '', percent(p)));
      b.setAttribute('aria-label', `${word}, ${percent(p)}: go on with it`);
      b.addEventListener('click', () => { $('play-text').value = [...before, word].join(' '); run(); $('play-text').focus(); });
      item.append(b); five.append(item);
    }
    li.append(head, five);
    return li;
  }
  function summary(steps) {
    const right = steps.filter(o => o.ok).length, wrong = steps.filter(o => o.ok === false), open = steps.length-right-wrong.length, first = wrong[0];
    return `${steps.length} ${steps.length === 1 ? 'word' : 'words'}: ${right} right, ${wrong.length} wrong` + (open ? `, ${open} with nothing to compare with` : '') + '.' +
      (first ? ` The first error is word ${steps.indexOf(first)+1}: “${first.word}” instead of “${first.true}”.` : '');
  }
  function run() {
    const text = $('play-text'), message = $('play-message');
    for (const id of ['play-line', 'play-steps']) $(id).replaceChildren();
    try {
      const {words, steps} = Playground.goOn(text.value, $('play-n').valueAsNumber);
      text.removeAttribute('aria-invalid'); message.className = '';
      message.textContent = summary(steps);
      $('play-line').append((words.length > 40 ? '… ' : '') + words.slice(-40).join(' '));
      steps.forEach((o, i) => {
        $('play-line').append(' ', node(o.ok === false ? 'mark' : 'b', '', o.word));
        $('play-steps').append(step(o, [...words, ...steps.slice(0, i).map(s => s.word)]));
      });
    } catch (e) {
      message.textContent = e.message; message.className = 'play-bad';
      text.setAttribute('aria-invalid', 'true');
    }
  }
  form.noValidate = true;                                              // our own messages
  form.addEventListener('submit', e => { e.preventDefault(); run(); });
  for (const b of document.querySelectorAll('#play-examples button')) b.addEventListener('click', () => { $('play-text').value = b.textContent; run(); });
  run();
})();
