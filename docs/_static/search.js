'use strict';
// The search of the site: in the theme's dialog (Ctrl+K), and on search.html. What it looks through
// is search_index.js, a script that docs/search.py writes, so that a page from a disk may load it,
// too. It is loaded when somebody begins to search.
const SiteSearch = (() => {
  const stop = new Set((
    'a an and are as at be but by can did do does for from has have how i in is it its of on or '
    + 'our so that the their there this to up was we what when where which who why will with work '
    + 'works you your').split(' '));
  // How much a word counts: in the title of the section, in that of its page, and (1) in the text.
  const HEADING = 4;
  const TITLE = 0.8;
  // The first occurrence of a word counts most: at this weight it has half of what it can get.
  const HALF = 1.6;
  // Where a lesson ends, many things are named and few are explained.
  const ASIDE = 0.6;
  const asides = new Set(['Further reading', 'Exercises', 'What you have learned']);
  const PREFIX = 0.8;
  const TYPO = [1, 0.65, 0.45];

  function words(text) {
    const letters = text.toLowerCase().normalize('NFKD').replace(/\p{M}/gu, '');
    return letters.match(/[\p{L}\p{N}]+/gu) || [];
  }

  // Without plurals and the commonest endings: "exploding" finds "explode".
  function stem(word) {
    if (word.length > 3 && /[^su]s$/.test(word)) word = word.slice(0, -1);
    for (const end of ['ing', 'ed', 'e']) {
      if (word.endsWith(end) && word.length - end.length >= 4) return word.slice(0, -end.length);
    }
    return word;
  }

  // Letters left out, put in, exchanged, or two in the wrong order: how many of these lie between
  // `a` and `b`? More than `limit` is as good as any number.
  function distance(a, b, limit) {
    if (Math.abs(a.length - b.length) > limit) return limit + 1;
    let before = [];
    let row = Array.from({length: b.length + 1}, (_, j) => j);
    for (let i = 1; i <= a.length; i++) {
      const next = [i];
      for (let j = 1; j <= b.length; j++) {
        let best = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
        best = Math.min(best, row[j] + 1, next[j - 1] + 1);
        const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
        if (swapped) best = Math.min(best, before[j - 2] + 1);
        next.push(best);
      }
      if (Math.min(...next) > limit) return limit + 1;
      before = row;
      row = next;
    }
    return row[b.length];
  }

  // From the pages of search_index.js: all entries, and where each word stem is.
  function build(data) {
    const pages = [];
    const entries = [];
    const where = new Map();
    function add(list, entry, weight) {
      for (const word of list) {
        const s = stem(word);
        let places = where.get(s);
        if (!places) where.set(s, places = new Map());
        places.set(entry, (places.get(entry) || 0) + weight);
      }
    }
    for (const [url, title, names, part, weight, sections] of data) {
      const called = [title, ...names].map(o => words(o).map(stem));
      const page = {url, title, part, weight, names: called};
      pages.push(page);
      for (const [anchor, heading, text] of sections) {
        entries.push({page, anchor, heading, text, top: !anchor, size: words(text).length});
      }
    }
    const mean = entries.reduce((sum, o) => sum + o.size, 0) / entries.length;
    for (const entry of entries) {
      add(words(entry.text), entry, 1 / (0.6 + 0.4 * entry.size / mean));
      add(words(entry.heading), entry, HEADING);
      const names = new Set(entry.page.names.flat());
      for (const o of words(entry.heading)) names.delete(stem(o));
      add(names, entry, entry.top ? HEADING : TITLE);
    }
    return {entries, where};
  }

  // The stems that a word of a search may mean, and how surely
  function meant(index, word, last) {
    const s = stem(word);
    const found = new Map();
    if (index.where.has(s)) found.set(s, 1);
    if (s.length > 1 && (last || !found.size)) {
      for (const o of index.where.keys()) {
        if (o !== s && o.startsWith(s)) found.set(o, PREFIX * Math.sqrt(s.length / o.length));
      }
    }
    const limit = s.length < 4 ? 0 : s.length < 7 ? 1 : 2;
    for (let d = 1; d <= limit && !found.size; d++) {
      for (const o of index.where.keys()) {
        if (distance(s, o, d) <= d) found.set(o, TYPO[d]);
      }
    }
    return found;
  }

  // How far the words of `name` and the words that were sought are the same, from 0 to 1
  function covered(name, terms) {
    const own = name.filter(o => !stop.has(o));
    if (!own.length) return 0;
    const hit = own.filter(o => terms.some(t => t.meant.has(o))).length / own.length;
    const asked = terms.reduce((sum, t) => sum + t.idf, 0);
    const met = terms.filter(t => own.some(o => t.meant.has(o))).reduce((sum, t) => sum + t.idf, 0);
    return hit * met / asked;
  }

  // Pages, the best first: `{page, score, hits}`, and each hit an entry and its score
  function find(index, query) {
    let asked = words(query);
    if (asked.some(o => !stop.has(o))) asked = asked.filter(o => !stop.has(o));
    const n = index.entries.length;
    const terms = asked.map((word, i) => {
      const found = meant(index, word, i === asked.length - 1);
      const df = Math.max(0, ...[...found.keys()].map(o => index.where.get(o).size));
      return {word, meant: found, idf: Math.log(1 + (n - df + 0.5) / (df + 0.5))};
    });
    const known = terms.filter(o => o.meant.size);
    if (!known.length) return {terms, pages: []};
    const all = terms.reduce((sum, o) => sum + o.idf, 0);
    const scores = new Map();
    for (const term of known) {
      const best = new Map();
      for (const [s, surely] of term.meant) {
        for (const [entry, weight] of index.where.get(s)) {
          const score = surely * weight / (weight + HALF);
          if (score > (best.get(entry) || 0)) best.set(entry, score);
        }
      }
      for (const [entry, score] of best) {
        const o = scores.get(entry) || {score: 0, met: 0};
        o.score += term.idf * score;
        o.met += term.idf;
        scores.set(entry, o);
      }
    }
    const byPage = new Map();
    for (const [entry, {score, met}] of scores) {
      const heading = covered(words(entry.heading).map(stem), known);
      const aside = asides.has(entry.heading) ? ASIDE : 1;
      const own = score * (met / all) ** 2 * (1 + 0.5 * heading) * aside;
      if (!byPage.has(entry.page)) byPage.set(entry.page, []);
      byPage.get(entry.page).push({entry, score: own});
    }
    const pages = [...byPage].map(([page, hits]) => {
      hits.sort((a, b) => b.score - a.score);
      const named = Math.max(...page.names.map(o => covered(o, known)));
      const more = hits.slice(1, 4).reduce((sum, o) => sum + o.score, 0);
      return {page, hits, named, score: page.weight * (1 + named) * (hits[0].score + 0.1 * more)};
    });
    pages.sort((a, b) => b.score - a.score);
    return {terms, pages: pages.filter(o => o.score > 0.1 * pages[0].score)};
  }

  // The words of `text` from `from` to `to` as pieces `[text, was it sought?]`
  function pieces(text, terms, from = 0, to = text.length) {
    const sought = new Set(terms.flatMap(o => [...o.meant.keys()]));
    const found = [];
    let at = from;
    for (const o of text.matchAll(/[\p{L}\p{N}]+/gu)) {
      const end = o.index + o[0].length;
      if (o.index < from || end > to || !words(o[0]).some(w => sought.has(stem(w)))) continue;
      found.push([text.slice(at, o.index), false], [o[0], true]);
      at = end;
    }
    found.push([text.slice(at, to), false]);
    return found.filter(o => o[0]);
  }

  // About `length` letters of `text` where most of what was sought stands, from the start of a
  // sentence if one is near, in pieces
  function snippet(text, terms, length = 170) {
    const places = [];
    let at = 0;
    for (const [part, hit] of pieces(text, terms)) {
      if (hit) places.push([at, stem(words(part)[0])]);
      at += part.length;
    }
    let start = 0;
    let most = 0;
    for (const [place] of places) {
      const near = places.filter(o => o[0] >= place && o[0] < place + length * 0.7);
      const kinds = new Set(near.map(o => o[1])).size;
      if (kinds > most) [most, start] = [kinds, place];
    }
    const before = text.slice(0, start);
    const sentence = Math.max(before.search(/(?<=[.?!·][”’")]*\s)[^.?!·]*$/), 0);
    const whole = start - sentence < length * 0.6;
    const from = whole ? sentence : before.lastIndexOf(' ', start - 40) + 1;
    let to = from + length;
    if (to < text.length) to = Math.max(text.lastIndexOf(' ', to), from + 1);
    const found = pieces(text, terms, from, Math.min(to, text.length));
    if (!whole) found.unshift(['… ', false]);
    if (to < text.length) found.push([' …', false]);
    return found;
  }

  const root = document.documentElement.dataset.content_root || './';
  let loaded;
  function load() {
    loaded ||= new Promise((done, failed) => {
      const script = document.createElement('script');
      script.src = `${root}_static/search_index.js`;
      script.onload = () => done(build(window.SEARCH_INDEX));
      script.onerror = failed;
      document.head.append(script);
    });
    return loaded;
  }

  function make(tag, name, ...inside) {
    const made = document.createElement(tag);
    if (name) made.className = name;
    made.append(...inside);
    return made;
  }

  function marked(pieces) {
    return pieces.map(([text, hit]) => hit ? make('mark', '', text) : text);
  }

  function link(page, {entry}, terms) {
    const text = marked(snippet(entry.text, terms));
    const place = make('span', 'found-place', ...marked(pieces(entry.heading, terms)));
    const made = make('a', 'found-hit', place, make('span', 'found-text', ...text));
    made.href = `${root}${page.url}#${entry.anchor}`;
    return made;
  }

  // At most `most` pages, and of each at most three sections: the rest is rarely what one means
  function show(box, {terms, pages}, most) {
    box.replaceChildren(...pages.slice(0, most).map(({page, hits, named}) => {
      const best = hits.filter(o => o.score > 0.4 * hits[0].score).slice(0, 3);
      const title = make('a', 'found-title', ...marked(pieces(page.title, terms)));
      title.href = root + page.url;
      const top = best.find(o => o.entry.top);
      const text = top ? [make('p', 'found-text', ...marked(snippet(top.entry.text, terms)))] : [];
      const part = page.part ? [make('span', 'found-part', page.part)] : [];
      const sections = best.filter(o => o !== top).map(o => make('li', '', link(page, o, terms)));
      const below = sections.length ? [make('ul', '', ...sections)] : [];
      // what Enter opens: the page if its name was typed, or else the place that fits best
      const first = named > 0.5 || hits[0] === top ? title : sections[0].firstChild;
      if (hits === pages[0].hits) first.classList.add('found-best');
      return make('li', 'found-page', make('div', '', title, ...part), ...text, ...below);
    }));
  }

  function said(query, found) {
    if (!query.trim()) return '';
    if (!found.pages.length) return `Nothing found for “${query}”.`;
    const typed = found.terms.filter(o => !o.meant.size).map(o => `“${o.word}”`);
    const count = `${found.pages.length} page${found.pages.length > 1 ? 's' : ''} found`;
    return count + (typed.length ? `; ${typed.join(' and ')} is on none of them.` : '.');
  }

  // Results below the field of `form` while one types; the arrows go through them
  function attach(form, most) {
    const field = form.querySelector('input[name=q]');
    const status = make('p', 'found-status');
    status.setAttribute('role', 'status');
    const list = make('ol', 'found');
    list.setAttribute('aria-label', 'Found');
    const box = make('div', 'found-box', status, list);
    form.after(box);
    let shown = '';

    async function update() {
      const query = field.value;
      let index;
      try {
        index = await load();
      } catch {
        status.textContent = 'The search could not be loaded.';
        return;
      }
      if (query !== field.value) return;
      const found = find(index, query);
      shown = query;
      show(list, found, most);
      status.textContent = said(query, found);
      if (found.pages.length > most) {
        const all = make('a', 'found-all', 'Show all');
        all.href = `${root}search.html?q=${encodeURIComponent(query)}`;
        status.append(' ', all);
      }
      form.dispatchEvent(new CustomEvent('found', {detail: query}));
    }

    field.addEventListener('focus', load, {once: true});
    field.addEventListener('input', update);
    const holder = make('div', 'found-search');
    form.before(holder);
    holder.append(form, box);
    holder.addEventListener('keydown', event => {
      const stops = [field, ...list.querySelectorAll('a')];
      const at = stops.indexOf(document.activeElement);
      const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
      if (step && at >= 0) {
        event.preventDefault();
        stops[Math.min(Math.max(at + step, 0), stops.length - 1)].focus();
      } else if (at > 0 && /^\S$/.test(event.key) && !event.ctrlKey && !event.metaKey) {
        // who goes on typing means the field
        field.focus();
      }
    });
    return {field, list, update, fresh: () => shown === field.value};
  }

  function start() {
    const dialog = document.getElementById('pst-search-dialog');
    const own = dialog?.querySelector('form');
    if (own) {
      const search = attach(own, 6);
      own.addEventListener('submit', async event => {
        event.preventDefault();
        if (!search.fresh()) await search.update();
        search.list.querySelector('.found-best')?.click();
      });
      // a hit on this very page only scrolls
      search.list.addEventListener('click', event => event.target.closest('a') && dialog.close());
    }
    const form = document.querySelector('#search-page form');
    if (!form) return;
    const search = attach(form, 40);
    search.field.value = new URLSearchParams(location.search).get('q') || '';
    form.addEventListener('found', event => {
      const address = event.detail ? `?q=${encodeURIComponent(event.detail)}` : location.pathname;
      history.replaceState(null, '', address);
    });
    form.addEventListener('submit', event => {
      event.preventDefault();
      search.list.querySelector('.found-best')?.focus();
    });
    search.field.focus();
    if (search.field.value) search.update();
  }
  document.addEventListener('DOMContentLoaded', start);
  return {build, find, snippet, distance, stem, load};
})();
