'use strict';
// What scrolls must be reachable with the keyboard, also after the window has changed.
(() => {
  const boxes = '.bd-article pre, .bd-article .cell_output, .bd-article .output, .bd-article mjx-container, .pst-scrollable-table-container, .drawn-box';
  function reach() {
    for (const o of document.querySelectorAll(boxes)) if (o.scrollWidth > o.clientWidth && getComputedStyle(o).overflowX !== 'visible') o.tabIndex = 0;
  }
  let soon;
  addEventListener('load', async () => {
    for (const o of document.querySelectorAll('nav summary:not([aria-label])')) o.setAttribute('aria-label', 'Show or hide the pages below');
    await window.MathJax?.startup?.promise;
    reach();
    addEventListener('resize', () => { clearTimeout(soon); soon = setTimeout(reach, 350); });        // after the theme's own
  });
})();
