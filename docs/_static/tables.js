/* On a phone, a table that is wider than the screen has its verdict first, beside the row's name. */
'use strict';
(() => {
  const phone = matchMedia('(max-width: 600px)');
  const VERDICTS = /^(verdict|reproduced\??|agrees|noticed( by .*)?)$/i;

  // What a head says, without the places where it may be broken
  const plain = cell => cell.textContent.replace(/[\u00ad\u200b]/g, '').trim();

  // How many columns of numbers a table has, and how far from the right its verdict stands
  function verdict(table) {
    const row = table.tBodies[0]?.rows[0];
    const columns = row ? [...row.cells].filter(cell => cell.matches('td')).length : 0;
    for (const {cells} of table.tHead?.rows ?? []) {
      const at = [...cells].findIndex(cell => VERDICTS.test(plain(cell)));
      if (at >= 0) return {columns, fromRight: cells.length - at};
    }
    return null;
  }

  // Names of groups reach over several rows, so that columns are counted from the right.
  function move(table, from, to) {
    for (const row of table.rows) {
      const {length} = row.cells;
      const cell = row.cells[length - from];
      if ([...row.cells].some(o => o.colSpan > 1) || !cell) continue;
      cell.remove();
      row.insertBefore(cell, row.cells[length - to] ?? null);
    }
  }

  function arrange() {
    for (const table of document.querySelectorAll('.bd-article table')) {
      const found = verdict(table);
      const moved = table.dataset.verdict;
      if (phone.matches && found && !moved && found.fromRight < found.columns) {
        if (table.scrollWidth <= table.closest('div').clientWidth) continue;
        move(table, found.fromRight, found.columns);
        table.dataset.verdict = found.fromRight;
      } else if (!phone.matches && moved) {
        move(table, found.columns, Number(moved));
        delete table.dataset.verdict;
      }
    }
  }

  phone.addEventListener('change', arrange);
  if (document.readyState === 'complete') arrange();
  else addEventListener('load', arrange);
})();
