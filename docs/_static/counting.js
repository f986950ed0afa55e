/* Human Numbers for the pages where a model counts: what a typed text means, which word is the next
   of the count, and how the model goes on. The rules in Python: rnnlm.playground. */
'use strict';
const Counting = (() => {
  const MOST_WORDS = 1000;
  const MOST_STEPS = 100;
  const MISSING = 8000;
  const LAST = 9999;
  // one to nineteen, then the tens
  const others = ['.', 'hundred', 'thousand'];
  const units = ['', ...LSTM.vocab.filter(word => !others.includes(word))];

  function spelled(n) {
    const found = [];
    const rest = n%100;
    if (n >= 1000) found.push(units[Math.floor(n/1000)], 'thousand');
    if (n%1000 >= 100) found.push(units[Math.floor(n%1000/100)], 'hundred');
    if (rest >= 20) found.push(units[18 + Math.floor(rest/10)]);
    if (rest > 0 && rest < 20) found.push(units[rest]);
    else if (rest%10) found.push(units[rest%10]);
    return found;
  }
  const lines = [];
  for (let n = 1; n <= LAST; n++) if (n !== MISSING) lines.push(spelled(n).join(' '));
  const line = new Map(lines.map((text, i) => [text, i]));

  // The next word of the count, or null where the text does not say
  function trueNext(words) {
    const stop = words.lastIndexOf('.');
    const part = words.slice(stop+1);
    let i;
    if (stop < 0) {
      if (!line.has(part.join(' '))) return null;
      i = line.get(part.join(' ')) - 1;
    } else {
      const start = words.slice(0, stop).lastIndexOf('.') + 1;
      i = line.get(words.slice(start, stop).join(' '));
    }
    if (i === undefined || i+1 === lines.length) return null;
    const follows = lines[i+1].split(' ');
    if (part.some((word, j) => word !== follows[j])) return null;
    return follows[part.length] ?? (i+2 === lines.length ? null : '.');
  }

  const shown = n => n.toLocaleString('en-GB');

  // The words of a number in digits, or an error that says why the count does not have it
  function fromDigits(digits) {
    if (digits.startsWith('-')) {
      throw new Error(`${digits} is below zero. The count begins at 1.`);
    }
    if (digits.includes('.')) {
      throw new Error(`${digits} is not a whole number. Leave a space between two numbers.`);
    }
    const n = Number(digits.replaceAll(',', ''));
    if (n === 0) throw new Error(`There is no ${digits}. The count begins at 1.`);
    if (n > LAST) throw new Error(`${digits} is too large. The count ends at ${shown(LAST)}.`);
    if (n === MISSING) {
      throw new Error(`The corpus has no ${digits}. After ${shown(n-1)} it has ${shown(n+1)}.`);
    }
    return spelled(n);
  }

  function checkWords(words) {
    if (!words.length) throw new Error('Type a few numbers first, such as: 41 42.');
    if (words.length > MOST_WORDS) {
      const most = shown(MOST_WORDS);
      throw new Error(`That is ${shown(words.length)} words. The model reads ${most} at most.`);
    }
    const unknown = [...new Set(words.filter(word => !LSTM.place.has(word)))];
    if (!unknown.length) return;
    const few = unknown.slice(0, 3).map(word => `“${word.slice(0, 30)}”`).join(', ');
    const verb = unknown.length > 3 ? ' and others are' : unknown.length > 1 ? ' are' : ' is';
    const known = `They are: ${LSTM.vocab.join(' ')}`;
    throw new Error(`${few}${verb} not among the model’s ${LSTM.vocab.length} words. ${known}`);
  }

  // What people type, in the model's words: digits or words, “and”, hyphens, capitals. A number in
  // digits is complete and has a stop on both sides, unless it is a part of one: 3 thousand 412.
  function parse(text) {
    const number = /(?<!\w)-?\d+(?:,\d{3})*(?:\.\d+)?(?!\w)/;
    const piece = new RegExp(`${number.source}|\\.|[^\\s,.;:-]+`, 'g');
    const plain = text.toLowerCase().replace(/[\u2010-\u2015\u2212]/g, '-');
    const words = [];
    let closed = false;
    for (const [found] of plain.matchAll(piece)) {
      const isNumber = /^-?\d[\d,.]*$/.test(found);
      if (isNumber) {
        const own = fromDigits(found);
        const part = words.slice(words.lastIndexOf('.')+1);
        if (part.length && !line.has([...part, ...own].join(' '))) words.push('.');
        words.push(...own, '.');
      } else if (found === 'zero') {
        fromDigits('0');
      } else if (found !== 'and' && !(found === '.' && closed)) {
        if (closed && ['hundred', 'thousand'].includes(found)) words.pop();
        words.push(found);
      }
      closed = isNumber;
    }
    checkWords(words);
    return words;
  }

  // The words that follow, each with what the count has there. A word is wrong where the text says
  // what should come; after an error nothing is compared until the next stop.
  function goOn(words, n, {holds = [], temperature = 0, seed = 1} = {}) {
    if (!Number.isInteger(n) || n < 1 || n > MOST_STEPS) {
      throw new Error(`Words to add: a whole number from 1 to ${MOST_STEPS} is needed.`);
    }
    const random = LSTM.generator(seed);
    const text = [...words];
    const steps = [];
    const read = [];
    let state = LSTM.zeros();
    let logits;
    let lost = false;
    for (const word of words) {
      ({logits, state} = LSTM.read(word, state, holds));
      read.push(state);
    }
    while (steps.length < n) {
      const word = LSTM.choose(logits, temperature, random);
      const expected = lost ? null : trueNext(text);
      const ok = expected === null ? null : word === expected;
      steps.push({word, true: expected, ok, five: LSTM.likeliest(logits, 5), logits});
      lost = (lost || ok === false) && word !== '.';
      text.push(word);
      ({logits, state} = LSTM.read(word, state, holds));
    }
    return {words, steps, read};
  }

  // What came of the steps, in a sentence or two
  function summary(steps) {
    const right = steps.filter(step => step.ok).length;
    const wrong = steps.filter(step => step.ok === false);
    const open = steps.length - right - wrong.length;
    const words = steps.length === 1 ? 'word' : 'words';
    const others = open ? `, ${open} with nothing to compare with` : '';
    const counts = `${steps.length} ${words}: ${right} right, ${wrong.length} wrong${others}.`;
    if (!wrong.length) return counts;
    const [first] = wrong;
    const what = `word ${steps.indexOf(first) + 1}: “${first.word}” instead of “${first.true}”`;
    return `${counts} The first error is ${what}.`;
  }

  function percent(p) {
    return p < 0.001 ? '< 0.1 %' : p > 0.999 ? '> 99.9 %' : `${(100*p).toFixed(1)} %`;
  }

  return {lines, trueNext, parse, goOn, summary, percent};
})();
