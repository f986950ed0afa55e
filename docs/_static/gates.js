/* Inside the LSTM as you type: gates and cells over the words, and what happens if a gate is held.
   The arithmetic is in lstm.js, the count in counting.js, what each unit tells in gates_data.js. */
'use strict';
const Gates = (() => {
  const MOST_WORDS = 100;
  const {chosen, checked, luck, untouched, presets, text: usual} = GATES_DATA;
  const element = name => document.getElementById(`gates-${name}`);
  if (!element('form')) return null;

  const letters = {cell: 'c', hidden: 'h', forget: 'f', input: 'i', output: 'o'};
  const spoken = {
    cell: 'cell', hidden: 'hidden state', forget: 'forget gate', input: 'input gate',
    output: 'output gate',
  };
  // Where the colours are strongest: gates end at 1, cells seldom go past 2
  const strongest = {cell: 2, hidden: 1, forget: 1, input: 1, output: 1};
  const isGate = show => show in letters && !['cell', 'hidden'].includes(show);

  // The units of each layer, the one whose cell tells the most of the thousands digit first
  const ranked = chosen.map(told => told.map((_, unit) => unit).sort((a, b) => told[b] - told[a]));

  // ---- The state of the page, which its address keeps
  const one = (...all) => value => all.includes(value) ? value : undefined;
  function number(low, high, step) {
    return value => {
      const n = Number(value);
      const whole = Math.abs(n/step - Math.round(n/step)) < 1e-9;
      return value.trim() && whole && n >= low && n <= high ? n : undefined;
    };
  }
  const readable = value => { Counting.parse(value); return value; };
  const keys = {
    text: [usual, readable],
    show: ['cell', one(...Object.keys(letters))],
    layer: [1, number(1, LSTM.depth, 1)],
    unit: [ranked[0][0], number(0, LSTM.width-1, 1)],
    gate: ['nothing', one('nothing', 'forget', 'input', 'output')],
    'held-layer': [1, number(1, LSTM.depth, 1)],
    which: ['best', one('all', 'best', 'least', 'one')],
    k: [16, number(1, LSTM.width, 1)],
    at: [0, number(0, 1, 0.05)],
    n: [14, number(1, 40, 1)],
    temperature: [0, number(0, 2, 0.1)],
    seed: [1, number(0, 9999, 1)],
  };
  const lead = '#gates';
  function usualState() {
    return Object.fromEntries(Object.entries(keys).map(([key, [value]]) => [key, value]));
  }
  let state = usualState();
  let shown = null;
  let later = null;

  function toAddress() {
    const parts = new URLSearchParams();
    for (const [key, [value]] of Object.entries(keys)) {
      if (state[key] !== value) parts.set(key, state[key]);
    }
    const address = `${lead}&${parts}`;
    if (location.hash !== address) history.replaceState(null, '', address);
  }

  // The state that an address tells, and what in it can't be
  function fromAddress(hash) {
    const found = usualState();
    const odd = [];
    for (const [key, value] of new URLSearchParams(hash.slice(lead.length + 1))) {
      let meant;
      try {
        meant = Object.hasOwn(keys, key) ? keys[key][1](value) : undefined;
      } catch {
        meant = undefined;
      }
      if (meant === undefined) odd.push(`${key}=${value}`.slice(0, 40));
      else found[key] = meant;
    }
    return {found, odd};
  }

  // ---- What is held
  function unitsOf({which, layer, k}) {
    if (which === 'all') return ranked[layer];
    if (which === 'one') return [state.unit];
    return which === 'best' ? ranked[layer].slice(0, k) : ranked[layer].slice(-k);
  }
  function holdOf() {
    if (state.gate === 'nothing') return null;
    const layer = state['held-layer'] - 1;
    const {which, k, at} = state;
    return {layer, gate: letters[state.gate], at, units: unitsOf({which, layer, k})};
  }
  function sayHold() {
    const {gate, which, k, at} = state;
    const layer = state['held-layer'];
    const many = k === 1 ? 'the unit' : `the ${k} units`;
    const tell = k === 1 ? 'tells' : 'tell';
    const who = {
      all: 'all units', one: `unit ${state.unit}`, best: `${many} that ${tell} the digit best`,
      least: `${many} that ${tell} it least`,
    }[which];
    return `With the ${spoken[gate]} of ${who} of layer ${layer} held at ${at}`;
  }
  // The preset whose hold this is
  function presetNow() {
    return presets.find(({hold}) => state.gate !== 'nothing' && letters[state.gate] === hold.gate
      && state['held-layer'] === hold.layer + 1 && state.at === hold.at
      && state.which === hold.which && (hold.which === 'all' || state.k === hold.k));
  }

  // ---- Drawing
  const rounded = value => Math.round(100*value);
  // Nearly all is not all
  const share = value => `${(100*value).toFixed(value > 0.99 && value < 1 ? 1 : 0)} %`;
  function valueShown(value) {
    const text = value.toFixed(isGate(state.show) ? 2 : 1);
    return text.replace(/^-0\.0$/, '0.0').replace('-', '−');
  }
  function valuesOf(run, unit) {
    return run.read.map(layers => layers[state.layer-1][letters[state.show]][unit]);
  }
  function box(value, x, y, width, height) {
    const strength = Math.min(1, Math.abs(value)/strongest[state.show]);
    const kind = isGate(state.show) ? ' gate' : value < 0 ? ' minus' : '';
    const at = `x="${x}" y="${y}" width="${width}" height="${height}"`;
    return `<rect class="gates-cell${kind}" ${at} fill-opacity="${strength.toFixed(3)}"/>`;
  }

  function frame(kind, x, y, width, height) {
    const at = `x="${x}" y="${y}" width="${width}" height="${height}"`;
    return `<rect class="gates-${kind}" ${at}/>`;
  }

  const head = 66;
  const large = 30;
  const small = 4;
  function drawStrip({free, held}) {
    const svg = element('strip');
    const words = free.words;
    const room = svg.parentElement.clientWidth;
    const across = Math.max(29, Math.min(60, Math.floor((room-2)/words.length)));
    const width = across*words.length;
    const rows = [['', free]];
    if (held) rows.push(['held', held]);
    const parts = [];
    words.forEach((word, i) => {
      const x = (i+0.5)*across + 4;
      const turned = `transform="rotate(-90 ${x} ${head-5})"`;
      parts.push(`<text x="${x}" y="${head-5}" ${turned}>${word}</text>`);
    });
    let top = head;
    for (const [, run] of rows) {
      valuesOf(run, state.unit).forEach((value, i) => {
        const x = i*across;
        parts.push(box(value, x, top, across, large));
        const at = `x="${x + across/2}" y="${top + large/2 + 4}"`;
        parts.push(`<text class="gates-value" ${at}>${valueShown(value)}</text>`);
      });
      parts.push(frame('chosen', 1, top, width-2, large));
      top += large + 4;
    }
    top += 6;
    const order = ranked[state.layer-1];
    order.forEach((unit, row) => {
      valuesOf(held ?? free, unit).forEach((value, i) => {
        parts.push(box(value, i*across, top + row*small, across, small));
      });
    });
    const tall = small*order.length;
    const own = top + small*order.indexOf(state.unit);
    parts.push(frame('frame', 0.5, top, width-1, tall));
    parts.push(frame('chosen', 1, own-1, width-2, small+2));
    parts.push(frame('field', 0, top, width, tall));
    svg.setAttribute('width', width);
    svg.setAttribute('height', top + tall + 3);
    svg.innerHTML = parts.join('');
    const told = valuesOf(held ?? free, state.unit).map((v, i) => `${words[i]} ${valueShown(v)}`);
    const what = `${spoken[state.show]} of unit ${state.unit}`;
    svg.setAttribute('aria-label', `${what}: ${told.join(', ')}`);
  }

  function sayUnit(held) {
    const {layer, unit, show} = state;
    const rank = ranked[layer-1].indexOf(unit) + 1;
    const best = 'the one that knows the thousands digit best';
    const place = rank === 1 ? best : `place ${rank} of ${LSTM.width}`;
    const told = rounded(checked[layer-1][unit]);
    const what = `The ${spoken[show]} of unit ${unit} in layer ${layer}, ${place}: at every word `
      + `the digit explains at least ${told} % of its cell’s ups and downs `
      + `(luck: ${rounded(luck)} %).`;
    const two = held ? ' Above untouched, below held.' : '';
    element('caption').textContent = what + two;
    element('unit').textContent = `unit ${unit}`;
    const all = `The ${LSTM.width} thin rows are all units of the layer${held ? ', held' : ''}; `
      + 'the upper ones tell more of the thousands digit. Tap one to see it large. ';
    function key(kind) {
      return Object.assign(document.createElement('span'), {className: `gates-key ${kind}`});
    }
    const keysShown = isGate(show)
      ? [key('gate'), ' at 1; no colour: at 0']
      : [key('plus'), ' above zero, ', key('minus'), ' below'];
    element('legend').replaceChildren(all, ...keysShown);
  }

  function drawRun(name, run) {
    const five = run.steps[0].five.map(({word, p}) => {
      const item = document.createElement('li');
      const probability = document.createElement('span');
      probability.textContent = Counting.percent(p);
      item.style.setProperty('--p', `${100*p}%`);
      item.append(word, probability);
      return item;
    });
    element(`${name}-five`).replaceChildren(...five);
    const line = ['It goes on: '];
    for (const {word, ok, true: expected} of run.steps) {
      const tag = document.createElement(ok === false ? 'mark' : 'span');
      if (ok === false) tag.title = `the count has “${expected}”`;
      tag.textContent = word;
      line.push(tag, ' ');
    }
    element(`${name}-line`).replaceChildren(...line);
    element(`${name}-count`).textContent = Counting.summary(run.steps);
  }

  function sayHeld() {
    const preset = presetNow();
    const roles = {
      'thousands digit': 'thousands digits', 'hundreds digit': 'hundreds digits', tens: 'tens',
      units: 'units',
    };
    function list(right) {
      const parts = Object.entries(roles).map(
        ([role, many]) => `${share(right[role])} of the ${many}`);
      return `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`;
    }
    if (preset) {
      const measured = ` Over the training text it then gets ${list(preset.right)} right; `
        + `untouched, it gets ${list(untouched)}.`;
      element('said').textContent = preset.says + measured;
    } else {
      element('said').textContent = state.gate === 'nothing'
        ? 'Nothing is held. Press a button, and see what the count loses.' : `${sayHold()}.`;
    }
    const now = state.gate === 'nothing' ? 'nothing' : preset?.key;
    for (const button of element('presets').children) {
      button.setAttribute('aria-pressed', button.dataset.key === now);
    }
  }

  // ---- From the state to the page
  // Each has a control of its name; the text and the unit have ones of another kind.
  const fields = Object.keys(keys).filter(key => !['text', 'unit'].includes(key));
  function setControls() {
    for (const key of fields) {
      if (document.activeElement !== element(key)) element(key).value = state[key];
    }
    element('rank').max = LSTM.width;
    element('k').max = LSTM.width;
    element('rank').value = ranked[state.layer-1].indexOf(state.unit) + 1;
    element('rank').setAttribute('aria-valuetext', `unit ${state.unit}`);
    element('at-shown').textContent = state.at;
    element('temperature-shown').textContent = state.temperature;
    const off = state.gate === 'nothing';
    for (const key of ['held-layer', 'which', 'at']) element(key).disabled = off;
    element('k').disabled = off || !['best', 'least'].includes(state.which);
  }

  function complain(message) {
    element('message').textContent = message;
    element('message').className = message ? 'gates-bad' : '';
  }

  function compute() {
    const words = Counting.parse(state.text);
    if (words.length > MOST_WORDS) {
      throw new Error(`That is ${words.length} words. Here the model reads ${MOST_WORDS} at most.`);
    }
    const options = {temperature: state.temperature, seed: state.seed};
    const hold = holdOf();
    const free = Counting.goOn(words, state.n, options);
    const held = hold && Counting.goOn(words, state.n, {...options, holds: [hold]});
    shown = {free, held};
  }

  function draw() {
    setControls();
    drawStrip(shown);
    sayUnit(Boolean(shown.held));
    sayHeld();
    drawRun('free', shown.free);
    element('held').hidden = !shown.held;
    if (!shown.held) return;
    element('held-title').textContent = `${sayHold()}, it says`;
    drawRun('held', shown.held);
  }

  function update() {
    compute();
    draw();
  }

  function changed(values) {
    Object.assign(state, values);
    update();
    toAddress();
  }

  // ---- What you do. A word that is not typed to its end is left out for now.
  function finished(text) {
    try {
      Counting.parse(text);
      return text;
    } catch (error) {
      const last = text.match(/[a-z]+$/i)?.[0];
      const begun = last && LSTM.vocab.some(word => word.startsWith(last.toLowerCase()));
      const rest = begun && text.slice(0, -last.length).trim();
      if (!rest) throw error;
      Counting.parse(rest);
      return rest;
    }
  }
  function typed() {
    const before = state.text;
    try {
      changed({text: finished(element('text').value)});
      complain('');
      element('text').removeAttribute('aria-invalid');
    } catch (error) {
      state.text = before;
      complain(error.message);
      element('text').setAttribute('aria-invalid', 'true');
    }
  }

  function take(key) {
    const meant = keys[key][1](element(key).value);
    if (meant === undefined) {
      const {min, max} = element(key);
      complain(`A whole number from ${min} to ${max} is needed there.`);
      element(key).setAttribute('aria-invalid', 'true');
      return;
    }
    element(key).removeAttribute('aria-invalid');
    complain('');
    // another layer has other units: its most telling one comes first
    changed(key === 'layer' ? {layer: meant, unit: ranked[meant-1][0]} : {[key]: meant});
  }

  const ofHold = ['gate', 'held-layer', 'which', 'k', 'at'];
  function valuesOfPreset({text, hold}) {
    const {layer, which, at, k} = hold;
    const found = {text, which, at, layer: layer + 1, 'held-layer': layer + 1};
    found.gate = Object.keys(letters).find(name => letters[name] === hold.gate);
    found.unit = ranked[layer][0];
    if (which !== 'all') found.k = k;
    return found;
  }
  function press(preset) {
    const values = preset ? valuesOfPreset(preset) : {};
    if (!preset) for (const key of ofHold) values[key] = keys[key][0];
    // what somebody has typed stays; only an example gives way to another
    if (![usual, ...presets.map(o => o.text)].includes(state.text)) delete values.text;
    element('text').value = values.text ?? state.text;
    element('text').removeAttribute('aria-invalid');
    complain('');
    changed(values);
  }

  function recall() {
    if (location.hash !== lead && !location.hash.startsWith(`${lead}&`)) return;
    const {found, odd} = fromAddress(location.hash);
    state = found;
    element('text').value = state.text;
    update();
    const few = odd.slice(0, 3).join(', ');
    const said = `The address asks for ${few}, which there is not. The rest of it is shown.`;
    complain(odd.length ? said : '');
    element('form').scrollIntoView();
  }

  for (const preset of [null, ...presets]) {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = preset?.label ?? 'Hold nothing';
    button.dataset.key = preset?.key ?? 'nothing';
    button.addEventListener('click', () => press(preset));
    element('presets').append(button);
  }
  element('form').addEventListener('submit', event => {
    event.preventDefault();
    clearTimeout(later);
    typed();
  });
  element('text').addEventListener('input', () => {
    clearTimeout(later);
    later = setTimeout(typed, 200);
  });
  for (const key of fields) element(key).addEventListener('input', () => take(key));
  element('rank').addEventListener('input', () => {
    changed({unit: ranked[state.layer-1][element('rank').value - 1]});
  });
  element('strip').addEventListener('click', event => {
    const field = event.target.closest('.gates-field');
    if (!field) return;
    const row = Math.floor((event.offsetY - field.getAttribute('y'))/small);
    const unit = ranked[state.layer-1][row];
    if (unit !== undefined) changed({unit});
  });
  let wait = null;
  addEventListener('resize', () => {
    clearTimeout(wait);
    wait = setTimeout(() => drawStrip(shown), 200);
  });
  addEventListener('hashchange', recall);

  element('text').value = state.text;
  update();
  recall();
  return {ranked, get state() { return {...state}; }, get shown() { return shown; }};
})();
