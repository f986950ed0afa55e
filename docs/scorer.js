// What has all the words of the search in its title comes first; the rest stays in Sphinx's order.
var Scorer = {
  score: ([docname, title, anchor, descr, score]) => {
    const plain = s => s.toLowerCase().replace(/[_.]/g, ' ');
    const q = plain(new URLSearchParams(location.search).get('q') || '').trim(), t = plain(title);
    return score + (q && t.startsWith(q) ? 120 : q && t.includes(q) ? 100 : 0) + (anchor ? 0 : 5);
  },
  objNameMatch: 11, objPartialMatch: 6, objPrio: {0: 15, 1: 5, 2: -5}, objPrioDefault: 0,
  title: 15, partialTitle: 7, term: 5, partialTerm: 2,
};
