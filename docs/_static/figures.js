/* On a phone, the panels of a figure that lie side by side are shown below each other. */
'use strict';
(() => {
  const phone = matchMedia('(max-width: 600px)');
  const NARROW = 0.2;
  const MARGIN = 3;

  // A rectangle of the page in the units of the figure
  function inside(svg, node) {
    const {left, right, top, bottom} = node.getBoundingClientRect();
    const matrix = svg.getScreenCTM().inverse();
    const a = new DOMPoint(left, top).matrixTransform(matrix);
    const b = new DOMPoint(right, bottom).matrixTransform(matrix);
    return {left: a.x, right: b.x, top: a.y, bottom: b.y};
  }

  function around(all) {
    const found = all.filter(Boolean);
    if (!found.length) return null;
    return {
      left: Math.min(...found.map(o => o.left)), right: Math.max(...found.map(o => o.right)),
      top: Math.min(...found.map(o => o.top)), bottom: Math.max(...found.map(o => o.bottom)),
    };
  }

  // The rectangle that the drawing on the axes is cut off at
  function cut(node) {
    const [, id] = node.getAttribute('clip-path').match(/#([^)]+)/);
    const rect = document.getElementById(id).querySelector('rect');
    const [x, y, width, height] = ['x', 'y', 'width', 'height'].map(o => rect[o].baseVal.value);
    return {left: x, right: x + width, top: y, bottom: y + height};
  }

  // What can be seen of a node
  function extent(svg, node) {
    if (node.matches('defs')) return null;
    if (node.hasAttribute('clip-path')) return cut(node);
    if (node.matches('g')) return around([...node.children].map(o => extent(svg, o)));
    const {width, height} = node.getBoundingClientRect();
    return width + height > 0 ? inside(svg, node) : null;
  }

  // The field of the axes, or where there is none, all that is drawn
  function field(svg, axes) {
    const clipped = axes.querySelector('[clip-path]');
    return clipped ? cut(clipped) : extent(svg, axes);
  }

  // Axes that lie above each other are one panel, and so is a colour bar with what it belongs to.
  function columns(svg) {
    const all = [...svg.querySelectorAll('.drawn-axes')].map(
      axes => ({axes, field: field(svg, axes)})).filter(o => o.field);
    all.sort((a, b) => a.field.left - b.field.left);
    const found = [];
    for (const one of all) {
      const last = found.at(-1);
      const own = one.field.right - one.field.left;
      const isBar = own < NARROW*(one.field.bottom - one.field.top);
      const meets = last && one.field.left < last.right - 0.1*own;
      if (last && (meets || isBar)) {
        last.parts.push(one);
        last.right = Math.max(last.right, one.field.right);
      } else {
        found.push({parts: [one], right: one.field.right});
      }
    }
    return found.map(o => o.parts);
  }

  // The labels of an axis that panels share stand at the first one only: the others borrow them.
  function borrowed(svg, [first], [own]) {
    const axis = axes => [...axes.querySelectorAll('.drawn-axis')].at(1);
    const [theirs, mine] = [axis(first.axes), axis(own.axes)];
    const level = Math.abs(first.field.top - own.field.top) < 1
      && Math.abs(first.field.bottom - own.field.bottom) < 1;
    if (!level || !theirs?.querySelector('text') || !mine || mine.querySelector('text')) return null;
    const extra = first.field.left - extent(svg, theirs).left;
    return {id: theirs.id, by: own.field.left - first.field.left, left: own.field.left - extra};
  }

  function use(id, by = 0) {
    const node = document.createElementNS('http://www.w3.org/2000/svg', 'use');
    node.setAttribute('href', `#${id}`);
    if (by) node.setAttribute('transform', `translate(${by} 0)`);
    return node;
  }

  function panel(svg, parts, first) {
    const least = parseFloat(svg.style.getPropertyValue('--least'))/svg.viewBox.baseVal.width;
    const shared = parts === first ? null : borrowed(svg, first, parts);
    const box = around(parts.map(o => extent(svg, o.axes)));
    if (shared) box.left = Math.min(box.left, shared.left);
    const width = box.right - box.left + 2*MARGIN;
    const height = box.bottom - box.top + 2*MARGIN;
    const node = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    node.setAttribute('class', 'drawn-panel');
    node.setAttribute('viewBox', `${box.left - MARGIN} ${box.top - MARGIN} ${width} ${height}`);
    node.style.setProperty('--natural', `${width*4/3}px`);
    node.style.setProperty('--least', `${width*least}px`);
    node.append(...parts.map(o => use(o.axes.id)));
    if (shared) node.append(use(shared.id, shared.by));
    return node;
  }

  function stack() {
    if (!phone.matches) return;
    for (const box of document.querySelectorAll('.drawn-box:not(.drawn-stacked)')) {
      const svg = box.querySelector('svg');
      if (!svg.getBoundingClientRect().width) continue;
      const found = columns(svg);
      if (found.length < 2) continue;
      box.append(...found.map(parts => panel(svg, parts, found[0])));
      svg.classList.add('drawn-whole');
      box.classList.add('drawn-stacked');
    }
  }

  phone.addEventListener('change', stack);
  if (document.readyState === 'complete') stack();
  else addEventListener('load', stack);
})();
