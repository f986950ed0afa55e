/* The page "Train it here": controls, curves, and a worker in which docs/train/train.c trains.
   Kernel, text, bands and printed curves come from train_kernel.js and train_data.js. */
'use strict';
const Training = (() => {
  const EPOCHS = 15;
  const BATCHES = 49;
  const UNITS = ['tanh', 'ReLU', 'LSTM'];
  const MOMENTA = {high: [0.95, 0.85], low: [0.8, 0.7]};
  // The book's Table 1 was made when the generator had dealt as many numbers since seed 42.
  const BOOK = {seed: 42, after: 20570};
  const {recipes, models} = TRAIN_DATA;
  const kernel = bytes(TRAIN_KERNEL);
  const text = bytes(TRAIN_DATA.text);
  const calm = matchMedia('(prefers-reduced-motion: reduce)');
  const form = document.querySelector('#train');
  const controls = form.elements;
  const element = name => document.querySelector(`#train-${name}`);

  let model = 'LMModel5';
  let after = 0;
  let runs = [];
  let worker = null;
  let pressed = null;

  function bytes(base64) {
    return Uint8Array.from(atob(base64), letter => letter.charCodeAt(0));
  }

  // ---- The worker. It is made from this function's text, since a page from a disk may not load
  // a worker's file; it can use nothing from outside.
  function work() {
    onmessage = async ({data}) => {
      const {kernel, text, settings, seed, after, epochs} = data;
      try {
        const {instance} = await WebAssembly.instantiate(kernel);
        const net = instance.exports;
        new Uint8Array(net.memory.buffer).set(text, net.text_at());
        net.set_text(text.length);
        net.set_model(settings.layers, settings.unit, settings.tied);
        net.seed(seed);
        net.skip(after);
        net.draw_weights();
        net.set_training(settings.lr, settings.wd, settings.dropout, settings.ar, settings.tar,
          ...settings.momentum, epochs);
        for (let epoch = 0; epoch < epochs; epoch++) {
          for (let batch = 0; batch < net.batches_an_epoch(); batch++) {
            net.train_batch();
            postMessage({batches: epoch*net.batches_an_epoch() + batch + 1});
          }
          net.validate();
          const row = [net.smoothed_loss(), net.validation_loss(), net.validation_accuracy()];
          postMessage({row});
        }
        postMessage({done: true});
      } catch (error) {
        postMessage({error: String(error)});
      }
    };
  }

  // ---- Settings: in the controls, and in the address
  function settings() {
    const found = {};
    for (const [name, usual] of Object.entries(recipes[model])) {
      const control = controls[name];
      if (typeof usual === 'boolean') found[name] = control.checked;
      else found[name] = typeof usual === 'number' ? Number(control.value) : control.value;
    }
    return found;
  }

  function show(all) {
    for (const [name, value] of Object.entries(all)) {
      if (typeof value === 'boolean') controls[name].checked = value;
      else controls[name].value = value;
    }
    controls.model.value = model;
  }

  function changed(all) {
    return Object.entries(all).filter(([name, value]) => value !== recipes[model][name]);
  }

  function remember() {
    const hash = new URLSearchParams({model, seed: controls.seed.value});
    if (after) hash.set('after', after);
    for (const [name, value] of changed(settings())) {
      hash.set(name, typeof value === 'boolean' ? Number(value) : value);
    }
    history.replaceState(null, '', `#${hash}`);
  }

  // What the address asks for; what makes no sense in it is passed over.
  function recall(hash) {
    const asked = new URLSearchParams(hash.replace(/^#/, ''));
    if (!recipes[asked.get('model')]) return false;
    model = asked.get('model');
    const all = {...recipes[model]};
    for (const name of Object.keys(all)) {
      const value = asked.get(name);
      if (value === null) continue;
      if (typeof all[name] === 'boolean') all[name] = value === '1';
      else if (controls[name].options) all[name] = offered(controls[name], value) ?? all[name];
      else all[name] = within(controls[name], value) ?? all[name];
    }
    show(all);
    controls.seed.value = within(controls.seed, asked.get('seed')) ?? 1;
    after = Number(asked.get('after')) === BOOK.after ? BOOK.after : 0;
    return true;
  }

  function offered(list, value) {
    return [...list.options].some(option => option.value === value) ? value : null;
  }

  function within(control, value) {
    const number = Number(value);
    if (value === null || value === '' || !Number.isFinite(number)) return null;
    if (number < Number(control.min) || number > Number(control.max)) return null;
    return control.step === '1' && !Number.isInteger(number) ? null : number;
  }

  const inWords = {
    layers: value => value === 1 ? '1 layer' : `${value} layers`,
    unit: value => value,
    lr: value => `learning rate ${value}`,
    dropout: value => value ? `dropout ${value}` : 'no dropout',
    ar: value => value ? `AR ${value}` : 'no AR',
    tar: value => value ? `TAR ${value}` : 'no TAR',
    tied: value => value ? 'tied' : 'not tied',
    wd: value => value ? `weight decay ${value}` : 'no weight decay',
    momentum: value => `momentum ${MOMENTA[value].join(', ')}, ${MOMENTA[value][0]}`,
  };

  function described(all) {
    const parts = changed(all).map(([name, value]) => inWords[name](value));
    return parts.length ? `${model} with ${parts.join(', ')}` : model;
  }

  // ---- Curves
  const PLOT = {left: 38, right: 352, top: 8, bottom: 214};
  const names = ['train_loss', 'valid_loss', 'accuracy'];
  // the column that each chart shows
  const charts = {accuracy: 2, loss: 1};

  // Losses to 3, or as far as there is something to see; accuracies to 1
  function highest(column) {
    if (column === 2) return 1;
    const seen = runs.flatMap(run => run.rows.map(row => row[column])).filter(Number.isFinite);
    return Math.min(8, Math.ceil(Math.max(2.9, ...seen)));
  }

  const across = epoch => PLOT.left + epoch*(PLOT.right-PLOT.left)/(EPOCHS-1);
  const up = (value, top) => PLOT.bottom - Math.min(value, 2*top)*(PLOT.bottom-PLOT.top)/top;

  function points(values, top) {
    return values.map((value, i) => `${across(i).toFixed(1)} ${up(value, top).toFixed(1)}`);
  }

  function path(values, top) {
    if (!values.length) return '';
    // one epoch alone would be a line of no length
    if (values.length === 1) return `M${points(values, top)}h3`;
    return `M${points(values, top).join('L')}`;
  }

  // What lies between two curves: there along the one, back along the other
  function between(low, high, top) {
    return `M${[...points(low, top), ...points(high, top).reverse()].join('L')}Z`;
  }

  function grid(top) {
    const parts = [];
    const step = top === 1 ? 0.2 : top > 4 ? 2 : 1;
    for (let value = 0; value <= top + 1e-9; value += step) {
      const y = up(value, top).toFixed(1);
      parts.push(`<path class="grid" d="M${PLOT.left} ${y}H${PLOT.right}"/>`);
      const label = top === 1 ? value.toFixed(1) : value;
      parts.push(`<text x="${PLOT.left-6}" y="${Number(y)+4}" text-anchor="end">${label}</text>`);
    }
    for (const epoch of [0, 5, 10, 14]) {
      const place = `x="${across(epoch)}" y="${PLOT.bottom+16}"`;
      parts.push(`<text ${place} text-anchor="middle">${epoch}</text>`);
    }
    const middle = (PLOT.left+PLOT.right)/2;
    parts.push(`<text x="${middle}" y="${PLOT.bottom+32}" text-anchor="middle">epoch</text>`);
    return parts.join('');
  }

  // Runs with the same settings look the same.
  function kinds() {
    return [...new Set(runs.map(run => run.kind))];
  }

  const style = kind => 1 + kinds().indexOf(kind) % 4;

  function draw() {
    document.documentElement.style.setProperty('--train-model', `var(--colour-${model})`);
    for (const [name, column] of Object.entries(charts)) {
      const svg = element(name);
      const top = highest(column);
      const [low, median, high] = models[model].bands[names[column]];
      const lines = runs.map((run, i) => {
        const last = i === runs.length-1 ? ' last' : '';
        const d = path(run.rows.map(row => row[column]), top);
        return `<path class="run run-${style(run.kind)}${last}" d="${d}"/>`;
      });
      svg.innerHTML = `<clipPath id="train-clip-${name}"><rect x="${PLOT.left}" y="0"
        width="${PLOT.right-PLOT.left+4}" height="${PLOT.bottom+2}"/></clipPath>${grid(top)}
        <g clip-path="url(#train-clip-${name})"><path class="band" d="${between(low, high, top)}"/>
        <path class="median" d="${path(median, top)}"/>
        <path class="book" d="${path(models[model].printed[names[column]], top)}"/>
        ${lines.join('')}</g>`;
      svg.setAttribute('aria-label', spoken(name, column));
    }
    legend();
  }

  // The chart in words
  function spoken(name, column) {
    const [low, , high] = models[model].bands[names[column]].map(values => values.at(-1));
    const printed = models[model].printed[names[column]].at(-1);
    const what = column === 2 ? 'Accuracy' : 'Validation loss';
    const last = runs.at(-1)?.rows.at(-1);
    const yours = last ? ` Your last run is at ${last[column].toFixed(4)} after `
      + `${runs.at(-1).rows.length} epochs.` : '';
    const band = `from ${low.toFixed(3)} to ${high.toFixed(3)}`;
    return `${what} of ${model} by epoch. In the last one 90 % of our seeds lie ${band}, `
      + `and the book prints ${printed.toFixed(3)}.${yours}`;
  }

  function legend() {
    const {seeds} = models[model];
    const line = (classes, words) => `<li><svg viewBox="0 0 32 10" aria-hidden="true"><path
      class="${classes}" d="M0 5H32"/></svg><span>${words}</span></li>`;
    const band = `<li><svg viewBox="0 0 32 10" aria-hidden="true"><rect width="32" height="10"/>
      <path class="median" d="M0 5H32"/></svg><span>${model}, our ${seeds} seeds: the middle 90 %,
      and the median</span></li>`;
    const mine = kinds().map(kind => {
      const same = runs.filter(run => run.kind === kind);
      const ends = same.filter(run => run.rows.length === EPOCHS).map(run => run.rows.at(-1)[2]);
      const mean = ends.reduce((sum, value) => sum + value, 0)/ends.length;
      const many = ends.length === 1 ? '' : ` on average over ${ends.length} seeds`;
      const result = ends.length ? `: ${mean.toFixed(4)}${many}` : '';
      return line(`run run-${style(kind)}`, `${same[0].words}${result}`);
    });
    element('legend').innerHTML = [band, line('book', 'what the book prints'), ...mine].join('');
  }

  // ---- Numbers
  function table(run) {
    const {printed} = models[model];
    const heads = ['training loss', 'validation loss', 'accuracy'];
    const head = heads.map(name => `<th colspan="2" scope="colgroup">${name}</th>`).join('');
    const two = heads.map(() => '<th scope="col">here</th><th scope="col">printed</th>').join('');
    element('numbers').querySelector('thead').innerHTML
      = `<tr><td></td>${head}</tr><tr><th scope="col">epoch</th>${two}</tr>`;
    const rows = run.rows.map((row, epoch) => {
      const cells = row.map((value, i) => {
        const book = printed[names[i]][epoch];
        const differs = run.book && Math.abs(value-book) >= 5e-5 ? ' class="differs"' : '';
        return `<td${differs}>${value.toFixed(4)}</td><td>${book.toFixed(4)}</td>`;
      });
      return `<tr><th scope="row">${epoch}</th>${cells.join('')}</tr>`;
    });
    element('numbers').querySelector('tbody').innerHTML = rows.join('');
    element('numbers').hidden = false;
  }

  function result(run) {
    const accuracy = run.rows.at(-1)[2];
    if (run.book) {
      const {printed} = models[model];
      const gaps = names.map(
        (name, i) => run.rows.map((row, epoch) => Math.abs(row[i]-printed[name][epoch])));
      const agree = gaps[2].filter(gap => gap < 5e-5).length;
      const largest = Math.max(...gaps.flat());
      return `The book’s run: ${agree} of the 15 accuracies agree with the printed ones to `
        + `4 digits. The largest difference among all 45 numbers is ${largest.toFixed(6)}.`;
    }
    const {last, seeds} = models[model];
    const shown = accuracy.toFixed(4);
    const below = last.filter(other => other < Number(shown)).length;
    const whose = run.words === model ? `our ${seeds} seeds` : `our ${seeds} seeds of ${model}`;
    const many = {0: 'None of ', [seeds]: 'All '}[below] ?? `${below} of `;
    const end = below === 1 ? 'ends' : 'end';
    return `${run.words}, seed ${run.seed}: accuracy ${shown}. ${many}${whose} ${end} below it.`;
  }

  // ---- Training
  function going(is) {
    for (const button of form.querySelectorAll('button')) button.disabled = is;
    for (const control of form.querySelectorAll('input, select')) control.disabled = is;
    for (const button of document.querySelectorAll('[data-set]')) button.disabled = is;
    element('stop').disabled = !is;
  }

  function progress(batches) {
    element('progress').value = batches;
    const epoch = Math.min(EPOCHS, 1 + Math.floor((batches-1)/BATCHES));
    const all = EPOCHS*BATCHES;
    element('batch').textContent = `epoch ${epoch} of ${EPOCHS}, batch ${batches} of ${all}`;
  }

  function end(words) {
    const focused = document.activeElement === element('stop');
    worker?.terminate();
    worker = null;
    going(false);
    // the keyboard's place goes back to where it was
    if (focused) pressed?.focus({preventScroll: true});
    if (!runs.at(-1)?.rows.length) runs.pop();
    draw();
    element('result').textContent = words;
  }

  function start(button) {
    pressed = button;
    const all = settings();
    const run = {
      kind: JSON.stringify(all), words: described(all), seed: Number(controls.seed.value), after,
      book: after === BOOK.after && !changed(all).length && model === 'LMModel5', rows: [],
    };
    run.book = run.book && run.seed === BOOK.seed;
    // the same run again takes the place of the earlier one
    const same = other => ['kind', 'seed', 'after'].every(name => other[name] === run[name]);
    runs = [...runs.filter(other => !same(other)), run];
    remember();
    going(true);
    element('stop').focus({preventScroll: true});
    element('progress').value = 0;
    element('batch').textContent = 'Making the weights …';
    const what = run.book ? 'The book’s run' : `${run.words}, seed ${run.seed},`;
    element('result').textContent = `${what} is being trained.`;
    draw();
    const source = URL.createObjectURL(new Blob([`(${work})()`], {type: 'text/javascript'}));
    worker = new Worker(source);
    URL.revokeObjectURL(source);
    worker.onerror = event => end(`Training failed: ${event.message}`);
    worker.onmessage = ({data}) => received(run, data);
    worker.postMessage({
      kernel, text, seed: run.seed, after, epochs: EPOCHS,
      settings: {
        ...all, unit: UNITS.indexOf(all.unit), layers: Number(all.layers), tied: Number(all.tied),
        momentum: MOMENTA[all.momentum],
      },
    });
  }

  function received(run, {batches, row, done, error}) {
    if (run !== runs.at(-1) || !worker) return;
    if (batches && !(calm.matches && batches % BATCHES)) progress(batches);
    if (row && !row.every(Number.isFinite)) {
      end('The loss is no number any more: try a smaller learning rate.');
    } else if (row) {
      run.rows.push(row);
      table(run);
      draw();
    }
    if (done) end(result(run));
    if (error) end(`Your browser can’t run it (WebAssembly with SIMD is needed): ${error}`);
  }

  // ---- Buttons
  function choose(name) {
    if (name !== model) runs = [];
    model = name;
    show(recipes[model]);
  }

  // The fields that hold nothing of use
  function marked() {
    const fields = [...form.querySelectorAll('input[type="number"]')];
    for (const field of fields) field.setAttribute('aria-invalid', !field.validity.valid);
    return fields.filter(field => !field.validity.valid);
  }

  // Can it be trained? If not, the first field that is wrong gets the focus.
  function sound() {
    const [first] = marked();
    if (!first) return true;
    const label = first.closest('label').firstChild.textContent.trim();
    element('settings').open = true;
    first.focus();
    const kind = first.step === '1' ? 'a whole number' : 'a number';
    const needed = `${kind} from ${first.min} to ${first.max} is needed`;
    element('result').textContent = `${label}: ${needed}.`;
    return false;
  }

  for (const button of form.querySelectorAll('[data-model]')) {
    button.addEventListener('click', () => {
      choose(button.dataset.model);
      after = 0;
      if (sound()) start(button);
    });
  }
  element('book').addEventListener('click', event => {
    choose('LMModel5');
    controls.seed.value = BOOK.seed;
    after = BOOK.after;
    if (sound()) start(event.currentTarget);
    element('numbers').open = true;
  });
  element('another').addEventListener('click', event => {
    after = 0;
    if (sound() && runs.length) controls.seed.value = (Number(controls.seed.value) + 1) % 2**32;
    if (sound()) start(event.currentTarget);
  });
  form.addEventListener('submit', event => {
    event.preventDefault();
    if (!worker && sound()) start(event.submitter ?? form.querySelector('[type="submit"]'));
  });
  element('stop').addEventListener('click', () => {
    const run = runs.at(-1);
    end(`Stopped after ${run.rows.length} of ${EPOCHS} epochs.`);
  });
  element('clear').addEventListener('click', () => {
    runs = [];
    element('numbers').hidden = true;
    element('result').textContent = '';
    draw();
  });
  form.addEventListener('change', event => {
    if (event.target === controls.model) choose(controls.model.value);
    if (event.target === controls.seed || event.target === controls.model) after = 0;
    if (!marked().length) remember();
    draw();
  });
  for (const button of document.querySelectorAll('[data-set]')) {
    button.addEventListener('click', () => {
      const before = model;
      const seed = controls.seed.value;
      recall(`${button.dataset.set}&seed=${seed}`);
      if (model !== before) runs = [];
      marked();
      remember();
      draw();
      element('settings').open = true;
      const train = form.querySelector('[type="submit"]');
      train.focus({preventScroll: true});
      train.scrollIntoView({block: 'center'});
      element('result').textContent = `${described(settings())} is set up.`;
    });
  }

  function begin() {
    const before = model;
    if (!recall(location.hash)) return;
    if (model !== before) runs = [];
    element('settings').open = changed(settings()).length > 0;
    draw();
  }
  addEventListener('hashchange', () => worker || begin());
  show(recipes[model]);
  controls.seed.value = 1;
  begin();
  draw();
  return {
    get runs() {
      return runs;
    },
    get busy() {
      return worker !== null;
    },
  };
})();
