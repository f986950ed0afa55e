'use strict';
// What scrolls must be reachable with the keyboard, also after the window has changed.
(() => {
  const boxes = '.bd-article pre, .bd-article .cell_output, .bd-article .output, .bd-article div.math, .pst-scrollable-table-container, .drawn-box';
  function reach() {
    for (const o of document.querySelectorAll(boxes)) if (o.scrollWidth > o.clientWidth && getComputedStyle(o).overflowX !== 'visible') o.tabIndex = 0;
  }
  let soon;
  const dialogs = {'pst-search-dialog': 'Search', 'pst-primary-sidebar-modal': 'Pages', 'pst-secondary-sidebar-modal': 'On this page'};
  addEventListener('load', () => {
    let opener;
    document.addEventListener('click', e => { opener = e.target.closest('.primary-toggle, .secondary-toggle, .search-button') ?? opener; }, true);
    for (const [id, name] of Object.entries(dialogs)) {
      const dialog = document.getElementById(id);
      if (!dialog) continue;
      dialog.setAttribute('aria-label', name);
      // Escape leads back to the button that opened it, which the theme forgets.
      dialog.addEventListener('keydown', e => { if (e.key === 'Escape') setTimeout(() => { if (!dialog.open) opener?.focus(); }); });
    }
    for (const o of document.querySelectorAll('nav summary:not([aria-label])')) o.setAttribute('aria-label', 'Show or hide the pages below');
    reach();
    addEventListener('resize', () => { clearTimeout(soon); soon = setTimeout(reach, 350); });        // after the theme's own
  });
})();
