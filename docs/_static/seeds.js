/* The explorer of the seeds: a dot for each of our runs, pairs drawn from them, and how many seeds
   it takes. The runs come from seeds_data.js. The page decides which parts there are: dots, a curve
   and a form that draws pairs are on each; what else it leaves out is not missed. Where its box is
   .seeds-home, dots are smaller and models are called by what they are. */
'use strict';
const Seeds = (() => {
  const EPOCHS = 15;
  const MOST = 50;
  const RESAMPLES = 2000;
  const LOW = 0.38;
  const HIGH = 0.96;
  const {words, models} = SEEDS_DATA;
  const names = Object.keys(models);
  const about = {
    LMModel4: 'one plain layer', LMModel5: 'two plain layers', LMModel6: 'two LSTM layers',
    LMModel7: 'two LSTM layers and five tricks',
  };
  const element = name => document.querySelector(`#seeds-${name}`);
  const controls = element('form').elements;
  const compact = Boolean(element('form').closest('.seeds-home'));
  const called = model => compact ? about[model] : model;
  const capital = text => text[0].toUpperCase() + text.slice(1);
  const sum = values => values.reduce((all, value) => all + value, 0);
  const number = value => value.toLocaleString('en-GB');

  // Right words in the last epoch, by seed; seeds by their rank, the worst first
  const last = {};
  const ranked = {};
  const mean = {};
  for (const name of names) {
    last[name] = models[name].right.map(run => run.at(-1));
    ranked[name] = last[name].map((_, i) => i).sort((i, j) => last[name][i] - last[name][j]);
    mean[name] = sum(last[name])/last[name].length/words;
  }

  let pair = ['LMModel4', 'LMModel5'];
  // what is lit: one run, or the two of a pair, each a model and the place of its seed
  let lit = [];
  let drawn = 0;
  let wrong = 0;
  let places = {};
  let later = null;

  const accuracy = ({model, i}) => last[model][i]/words;
  const seed = ({model, i}) => models[model].first + i;
  const own = model => `style="--seeds-own: var(--colour-${model})"`;

  // ---- All the seeds: dots that lie side by side where they would cover each other
  function swarm(model, across, radius) {
    const placed = [];
    for (const i of ranked[model]) {
      const x = across(last[model][i]/words);
      const near = placed.filter(dot => x - dot.x < 2*radius);
      const tried = [0];
      for (const dot of near) {
        const away = Math.sqrt(4*radius**2 - (x-dot.x)**2) + 0.01;
        tried.push(dot.y + away, dot.y - away);
      }
      tried.sort((a, b) => Math.abs(a) - Math.abs(b));
      const free = y => near.every(dot => (x-dot.x)**2 + (y-dot.y)**2 >= 4*radius**2);
      placed.push({i, x, y: tried.find(free)});
    }
    return placed;
  }

  function drawDots() {
    const svg = element('dots');
    const width = Math.max(260, Math.round(svg.parentElement.clientWidth));
    const radius = (width < 500 ? 2 : 3.2)*(compact ? 0.75 : 1);
    const across = value => 10 + (value-LOW)/(HIGH-LOW)*(width-20);
    const groups = [];
    let top = 4;
    places = {};
    for (const model of names) {
      const dots = swarm(model, across, radius);
      const tall = Math.max(compact ? 16 : 26, ...dots.map(dot => Math.abs(dot.y) + radius + 4));
      const middle = top + 22 + tall;
      const bottom = middle + tall;
      for (const dot of dots) dot.y += middle;
      places[model] = dots;
      const line = (kind, value) => `<path class="seeds-${kind}"
        d="M${across(value).toFixed(1)} ${(middle-tall+2).toFixed(1)}V${(bottom-2).toFixed(1)}"/>`;
      const book = models[model].printed.at(-1);
      const circle = dot => `<circle class="seeds-dot" cx="${dot.x.toFixed(1)}"
        cy="${dot.y.toFixed(1)}" r="${radius}"/>`;
      groups.push(`<g class="seeds-model" ${own(model)} data-model="${model}" role="slider"
        tabindex="0" aria-label="Seeds of ${called(model)}, from the worst to the best"
        aria-valuemin="1" aria-valuemax="${dots.length}"><rect class="seeds-field" x="1" y="${top}"
        width="${width-2}" height="${(bottom-top).toFixed(1)}" rx="4"/>
        <text class="seeds-name" x="8" y="${top+15}">${capital(called(model))}<tspan
        font-weight="400">${width < 500 || compact ? '' : `: ${about[model]}`}</tspan></text>
        <text class="seeds-said" x="${width-8}" y="${top+15}"
        text-anchor="end">book ${book.toFixed(3)}<tspan class="seeds-plain" font-weight="400"
        >${width < 500 ? '' : `, mean ${mean[model].toFixed(3)}`}</tspan></text>
        ${dots.map(circle).join('')}${line('mean', mean[model])}${line('book', book)}</g>`);
      top = bottom + 6;
    }
    const ticks = [];
    for (let value = 0.4; value < HIGH; value += 0.1) {
      const x = across(value).toFixed(1);
      ticks.push(`<path class="grid" d="M${x} 4V${top}"/><text x="${x}" y="${top+14}"
        text-anchor="middle">${value.toFixed(1)}</text>`);
    }
    const focused = document.activeElement?.dataset?.model;
    svg.setAttribute('viewBox', `0 0 ${width} ${(top+20).toFixed(0)}`);
    svg.innerHTML = `${ticks.join('')}${groups.join('')}<g id="seeds-lit"></g>`;
    svg.dataset.radius = radius;
    // drawing anew took the focus away
    if (focused) svg.querySelector(`[data-model="${focused}"]`)?.focus({preventScroll: true});
    drawLit();
  }

  const place = ({model, i}) => places[model].find(dot => dot.i === i);
  const rank = ({model, i}) => 1 + ranked[model].indexOf(i);

  function inWords(run) {
    return `Seed ${seed(run)}, accuracy ${accuracy(run).toFixed(4)}`;
  }

  function drawLit() {
    const radius = Number(element('dots').dataset.radius) + 3;
    const dots = lit.map(run => ({...place(run), model: run.model}));
    const circles = dots.map(dot => `<circle class="seeds-lit" ${own(dot.model)}
      cx="${dot.x.toFixed(1)}" cy="${dot.y.toFixed(1)}" r="${radius}"/>`);
    const between = dots.length < 2 ? '' : `<path class="seeds-between"
      d="M${dots.map(dot => `${dot.x.toFixed(1)} ${dot.y.toFixed(1)}`).join('L')}"/>`;
    element('lit').innerHTML = between + circles.join('');
    for (const group of element('dots').querySelectorAll('[data-model]')) {
      const {model} = group.dataset;
      const run = lit.find(run => run.model === model) ?? median(model);
      group.setAttribute('aria-valuenow', rank(run));
      group.setAttribute('aria-valuetext',
        `${inWords(run)}, place ${rank(run)} of ${last[model].length} from below`);
    }
    drawCurves();
  }

  const median = model => ({model, i: ranked[model][last[model].length >> 1]});

  // ---- The curves of what is lit
  const PLOT = {left: 34, right: 352, top: 8, bottom: 214};
  const epochAt = epoch => PLOT.left + epoch*(PLOT.right-PLOT.left)/(EPOCHS-1);
  const up = value => PLOT.bottom - value*(PLOT.bottom-PLOT.top);
  const points = values => values.map((value, epoch) =>
    `${epochAt(epoch).toFixed(1)} ${up(value).toFixed(1)}`);
  const path = values => `M${points(values).join('L')}`;

  // What numpy's quantile gives
  function quantile(values, share) {
    const sorted = [...values].sort((a, b) => a - b);
    const at = share*(sorted.length-1);
    const low = sorted[Math.floor(at)];
    return low + (at % 1)*(sorted[Math.ceil(at)] - low);
  }

  const bands = {};
  function band(model) {
    bands[model] ??= [0.05, 0.95].map(share => Array.from({length: EPOCHS}, (_, epoch) =>
      quantile(models[model].right.map(run => run[epoch]), share)/words));
    const [low, high] = bands[model].map(points);
    return `M${[...low, ...high.reverse()].join('L')}Z`;
  }

  function drawCurves() {
    const svg = element('curve');
    const grid = [];
    for (let value = 0; value <= 1.001; value += 0.2) {
      const y = up(value).toFixed(1);
      grid.push(`<path class="grid" d="M${PLOT.left} ${y}H${PLOT.right}"/><text
        x="${PLOT.left-6}" y="${Number(y)+4}" text-anchor="end">${value.toFixed(1)}</text>`);
    }
    for (const epoch of [0, 5, 10, 14]) {
      grid.push(`<text x="${epochAt(epoch)}" y="${PLOT.bottom+16}"
        text-anchor="middle">${epoch}</text>`);
    }
    grid.push(`<text x="${(PLOT.left+PLOT.right)/2}" y="${PLOT.bottom+32}"
      text-anchor="middle">epoch</text>`);
    const areas = lit.map(({model}) => `<path class="seeds-band" ${own(model)}
      d="${band(model)}"/>`);
    const books = lit.map(({model}, place) => `<path class="seeds-book${place ? ' second' : ''}"
      d="${path(models[model].printed)}"/>`);
    const lines = lit.map(({model, i}, place) => `<path
      class="seeds-run${place ? ' second' : ''}" ${own(model)}
      d="${path(models[model].right[i].map(right => right/words))}"/>`);
    svg.innerHTML = [...grid, ...areas, ...books, ...lines].join('');
    const said = lit.map(run => `${capital(called(run.model))}, s${inWords(run).slice(1)}`);
    element('which').textContent = said.join('; ');
    const first = lit.map(({model, i}) => {
      const start = models[model].right[i][0]/words;
      return `${called(model)} begins at ${start.toFixed(4)}`;
    });
    svg.setAttribute('aria-label', `Accuracy by epoch. ${said.join('; ')}. ${first.join('; ')}.`);
  }

  function light(...runs) {
    const same = (one, other) => one?.model === other?.model && one?.i === other?.i;
    if (runs.length === lit.length && runs.every((run, at) => same(run, lit[at]))) return;
    lit = runs;
    // two curves that grow before the eye; with a pointer that passes by, they would flicker
    element('curve').classList.toggle('seeds-grows', runs.length === 2);
    drawLit();
    remember();
  }

  // ---- Pointing, tapping, arrow keys
  function pointed(event) {
    const svg = element('dots');
    const model = event.target.closest?.('[data-model]')?.dataset.model;
    if (!model) return;
    const box = svg.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width/box.width;
    const x = (event.clientX-box.left)*scale;
    const y = (event.clientY-box.top)*scale;
    const away = dot => (x-dot.x)**2 + (y-dot.y)**2;
    const nearest = places[model].reduce((best, dot) => away(dot) < away(best) ? dot : best);
    // a pointer that only passes by lights what it is close to; a finger is never so close
    if (event.type === 'pointermove' && away(nearest) > 15**2) return;
    light({model, i: nearest.i});
  }

  function keyed(event) {
    const model = event.target.dataset?.model;
    const steps = {
      ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10,
      Home: -Infinity, End: Infinity,
    };
    const step = steps[event.key];
    if (!model || !step || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const own = lit.find(run => run.model === model) ?? median(model);
    const to = Math.min(last[model].length-1, Math.max(0, rank(own) - 1 + step));
    light({model, i: ranked[model][to]});
  }

  // ---- Pairs
  // The model that has the better mean comes first.
  const ordered = () => [...pair].sort((a, b) => mean[b] - mean[a]);

  // How many of all pairs have the wrong order; a tie is not the right one
  function allWrong() {
    const [better, worse] = ordered();
    const counts = last[better].map(one => last[worse].filter(other => other >= one).length);
    return {wrong: sum(counts), all: last[better].length*last[worse].length};
  }

  const any = model => ({model, i: Math.floor(Math.random()*last[model].length)});

  function percent(share) {
    const value = 100*share;
    // a space at which no line breaks
    return `${value === 0 || value === 100 ? value : value.toFixed(2)}\u00a0%`;
  }

  function drawPairs(many) {
    const [better, worse] = ordered();
    let runs;
    for (let i = 0; i < many; i++) {
      runs = pair.map(any);
      const [good, bad] = [better, worse].map(model => runs.find(run => run.model === model));
      drawn += 1;
      wrong += accuracy(good) <= accuracy(bad);
    }
    light(...runs);
    const [good, bad] = [better, worse].map(model => runs.find(run => run.model === model));
    const gap = accuracy(good) - accuracy(bad);
    const seen = runs.map(run =>
      `${called(run.model)}, seed ${seed(run)}: ${accuracy(run).toFixed(4)}`);
    const is = model => `${called(model)} ${called(model).startsWith('two') ? 'are' : 'is'}`;
    const true_ = (mean[better]-mean[worse]).toFixed(3);
    const story = gap > 0 ? `<strong>The true story:</strong> ${is(better)} ahead by
      ${gap.toFixed(3)}, and on average by ${true_}.`
      : `<strong class="seeds-wrong">The wrong story:</strong> ${gap < 0
        ? `${is(worse)} ahead by ${(-gap).toFixed(3)}` : 'they are level'}, but on average
      ${is(better)} better by ${true_}.`;
    const first = many > 1 ? 'The last pair: ' : '';
    element('pair').innerHTML = `${capital(first + seen.join('; '))}. ${story}`;
    const {wrong: bads, all} = allWrong();
    element('count').textContent = `Drawn so far: ${number(drawn)} `
      + `${drawn === 1 ? 'pair' : 'pairs'}, ${number(wrong)} wrong (${percent(wrong/drawn)}). `
      + `Of all ${number(all)} pairs ${number(bads)} are wrong: ${percent(bads/all)}.`;
  }

  function startOver() {
    drawn = 0;
    wrong = 0;
    element('pair').textContent = `${capital(called(pair[0]))} and ${called(pair[1])}: nothing drawn
      yet.`;
    element('count').textContent = '';
  }

  // ---- How many are enough?
  // Mulberry32: a small generator that always starts alike
  function generator(state) {
    return () => {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
      return ((mixed ^ (mixed >>> 14)) >>> 0)/2**32;
    };
  }

  // The share of wrong orders for 1 to 50 seeds. Each resample goes on with the seeds that it has,
  // since its first k are k seeds too. The sums are whole numbers, so that a tie is a tie.
  const shares = {};
  function wrongShares() {
    const [better, worse] = ordered();
    const key = `${better} ${worse}`;
    if (shares[key]) return shares[key];
    const counts = new Array(MOST).fill(0);
    const random = generator(42);
    const one = model => last[model][Math.floor(random()*last[model].length)];
    for (let i = 0; i < RESAMPLES; i++) {
      let ahead = 0;
      for (let k = 0; k < MOST; k++) {
        ahead += one(better) - one(worse);
        if (ahead <= 0) counts[k] += 1;
      }
    }
    const {wrong: bads, all} = allWrong();
    shares[key] = [bads/all, ...counts.slice(1).map(count => count/RESAMPLES)];
    return shares[key];
  }

  function drawEnough() {
    const svg = element('enough');
    if (!svg) return;
    const all = wrongShares();
    const k = Number(element('k').value);
    const [better, worse] = ordered();
    const width = Math.max(260, Math.min(640, Math.round(svg.parentElement.clientWidth)));
    const [left, right, high, low] = [44, width-8, 8, 150];
    // at least 1 %, so that nothing looks like much
    const scale = [0.01, 0.02, 0.03, 0.06, 0.1, 0.2, 0.5, 1].find(o => o >= Math.max(...all));
    const across = seeds => left + (seeds-1)*(right-left)/(MOST-1);
    const up = share => low - share*(low-high)/scale;
    const parts = [0, 0.5, 1].map(part => `<path class="grid"
      d="M${left} ${up(part*scale)}H${right}"/><text x="${left-6}" y="${up(part*scale)+4}"
      text-anchor="end">${Number((100*part*scale).toFixed(1))} %</text>`);
    for (const seeds of [1, 10, 20, 30, 40, 50]) {
      parts.push(`<text x="${across(seeds)}" y="${low+16}" text-anchor="middle">${seeds}</text>`);
    }
    parts.push(`<text x="${(left+right)/2}" y="${low+33}" text-anchor="middle">seeds of each
      model</text>`);
    const line = all.map((share, i) => `${across(i+1).toFixed(1)} ${up(share).toFixed(1)}`);
    parts.push(`<path class="seeds-share" d="M${line.join('L')}"/><circle class="seeds-here"
      cx="${across(k).toFixed(1)}" cy="${up(all[k-1]).toFixed(1)}" r="5"/>`);
    svg.setAttribute('viewBox', `0 0 ${width} ${low+38}`);
    svg.innerHTML = parts.join('');
    element('order').textContent = `How often the means of ${better} and ${worse} are in the `
      + 'wrong order';
    element('k-shown').textContent = k;
    element('k').setAttribute('aria-valuetext', k === 1 ? '1 seed' : `${k} seeds`);
    const share = all[k-1];
    const times = Math.round(share*RESAMPLES);
    const pairs = allWrong();
    element('result').textContent = k === 1
      ? `With 1 seed of each: ${better} is not ahead of ${worse} in ${number(pairs.wrong)} of `
        + `all ${number(pairs.all)} pairs, ${percent(share)}.`
      : `With ${k} seeds of each: the mean of ${better} is not ahead of that of ${worse} in `
        + `${times === 0 ? 'none' : number(times)} of ${number(RESAMPLES)} resamples`
        + `${times === 0 ? '' : `, ${percent(share)}`}.`;
    const enough = 1 + all.findLastIndex(share => share >= 0.01);
    svg.setAttribute('aria-label', `Wrong orders by number of seeds: ${percent(all[0])} with one, `
      + `less than 1 % from ${enough + 1} on.`);
  }

  // ---- The table
  function table() {
    if (!element('numbers')) return;
    const heads = ['model', 'mean', 'lowest', 'highest', 'book', 'seeds below the book'];
    const row = model => {
      const ends = last[model].map(right => right/words);
      const book = models[model].printed.at(-1);
      const cells = [mean[model], Math.min(...ends), Math.max(...ends), book];
      const below = ends.filter(end => end < book).length;
      return `<tr><th scope="row">${model}</th>${cells.map(o => `<td>${o.toFixed(4)}</td>`)
        .join('')}<td>${below} of ${ends.length}</td></tr>`;
    };
    const head = heads.map(name => `<th scope="col">${name}</th>`).join('');
    element('numbers').querySelector('thead').innerHTML = `<tr>${head}</tr>`;
    element('numbers').querySelector('tbody').innerHTML = names.map(row).join('');
  }

  // ---- The address: models, what is lit, number of seeds. A page that links to the full explorer
  // keeps its own address, and its link leads to what is lit.
  function remember() {
    const link = element('more');
    const runs = lit.map(run => `${run.model}-${seed(run)}`);
    const k = element('k')?.value ?? 1;
    const hash = `#${new URLSearchParams({a: pair[0], b: pair[1], k})}&lit=${runs.join(',')}`;
    if (link) {
      link.hash = hash;
      return;
    }
    clearTimeout(later);
    // browsers allow so many changes a minute only, and a pointer makes more
    later = setTimeout(() => history.replaceState(null, '', hash), 200);
  }

  function showPair() {
    if (controls.a) [controls.a.value, controls.b.value] = pair;
  }

  // What the address asks for; what makes no sense in it is passed over.
  function recall() {
    const asked = new URLSearchParams(element('more') ? '' : location.hash.replace(/^#/, ''));
    const [a, b] = [asked.get('a'), asked.get('b')];
    if (names.includes(a) && names.includes(b) && a !== b) pair = [a, b];
    showPair();
    const k = Number(asked.get('k'));
    if (element('k') && Number.isInteger(k) && k >= 1 && k <= MOST) element('k').value = k;
    const runs = (asked.get('lit') ?? '').split(',').map(text => {
      const [model, at] = text.split('-');
      return {model, i: Number(at || NaN) - models[model]?.first};
    });
    const sound = runs.every(({model, i}) => models[model]?.right[i]);
    const apart = new Set(runs.map(run => run.model)).size === runs.length;
    lit = sound && apart && runs.length <= 2 ? runs : [median('LMModel4')];
  }

  // ---- What can be done
  const dots = element('dots');
  for (const kind of ['pointermove', 'pointerdown']) dots.addEventListener(kind, pointed);
  dots.addEventListener('keydown', keyed);
  // who comes with the keyboard sees where they are
  dots.addEventListener('focusin', ({target}) => {
    const {model} = target.dataset;
    if (model && target.matches(':focus-visible') && !lit.some(run => run.model === model)) {
      light(median(model));
    }
  });
  element('form').addEventListener('submit', event => {
    event.preventDefault();
    drawPairs(1);
  });
  element('hundred').addEventListener('click', () => drawPairs(100));
  element('clear')?.addEventListener('click', startOver);
  element('form').addEventListener('change', ({target}) => {
    const [a, b] = [controls.a.value, controls.b.value];
    // a model is not compared with itself: the other one takes its place
    if (a !== b) pair = [a, b];
    else pair = target === controls.a ? [a, pair[0]] : [pair[1], b];
    showPair();
    startOver();
    drawEnough();
    remember();
  });
  element('k')?.addEventListener('input', () => {
    drawEnough();
    remember();
  });

  function begin() {
    const before = pair.join();
    recall();
    if (pair.join() !== before) startOver();
    drawDots();
    drawEnough();
  }
  if (!element('more')) addEventListener('hashchange', begin);
  let width = 0;
  new ResizeObserver(() => {
    const now = Math.round(element('dots').parentElement.clientWidth);
    if (now === width) return;
    width = now;
    drawDots();
    drawEnough();
  }).observe(element('dots').parentElement);
  table();
  begin();
  return {
    get lit() {
      return lit.map(run => ({model: run.model, seed: seed(run), accuracy: accuracy(run)}));
    },
    get drawn() {
      return {drawn, wrong};
    },
    allWrong,
    wrongShares,
  };
})();
