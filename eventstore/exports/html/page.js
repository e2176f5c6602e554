
"use strict";
// Searching, folding and the list of turns. The page can be read in full without it.
(() => {
  const one = (id) => document.getElementById(id);
  const find = one("find");
  const found = one("found");
  const items = Array.from(document.querySelectorAll("main > .turn > .i"));
  const turns = Array.from(document.querySelectorAll("main > .turn"));
  const texts = [];
  const HITS_MAX = 5000;
  const OPENED_MAX = 400;
  let opened = [];
  let hits = [];
  let current = -1;

  const textOf = (index) => (texts[index] ??= items[index].textContent.toLowerCase());

  function rangesIn(item, wanted, ranges) {
    const walker = document.createTreeWalker(item, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const text = node.data.toLowerCase();
      if (text.length !== node.data.length) continue;
      for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + wanted.length)) {
        if (ranges.length >= HITS_MAX) return;
        const range = new Range();
        range.setStart(node, at);
        range.setEnd(node, at + wanted.length);
        ranges.push(range);
      }
    }
  }

  function unfoldAround(node, most) {
    for (let up = node.parentElement; up && opened.length < most; up = up.parentElement) {
      if (up.localName === "details" && !up.open) {
        up.open = true;
        opened.push(up);
      }
    }
  }

  function search() {
    const wanted = find.value.trim().toLowerCase();
    for (const details of opened) details.open = false;
    opened = [];
    hits = [];
    current = -1;
    let shown = 0;
    items.forEach((item, index) => {
      const match = wanted === "" || textOf(index).includes(wanted);
      item.hidden = !match;
      if (!match) return;
      shown += 1;
      if (wanted !== "") rangesIn(item, wanted, hits);
    });
    for (const turn of turns) turn.hidden = !turn.querySelector(":scope > .i:not([hidden])");
    for (const range of hits) unfoldAround(range.startContainer, OPENED_MAX);
    if (globalThis.Highlight && CSS.highlights) {
      CSS.highlights.set("hit", new Highlight(...hits));
    }
    found.textContent = wanted === "" ? "" : `${shown} of ${items.length}`;
  }

  function go(step) {
    if (hits.length === 0) return;
    current = (current + step + hits.length) % hits.length;
    const node = hits[current].startContainer;
    unfoldAround(node, Infinity);
    node.parentElement.scrollIntoView({ block: "center" });
    found.textContent = `hit ${current + 1} of ${hits.length}`;
  }

  let timer = 0;
  find.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(search, 120);
  });
  find.addEventListener("keydown", (event) => {
    if (event.key === "Enter") go(event.shiftKey ? -1 : 1);
    if (event.key === "Escape") {
      find.value = "";
      search();
      find.blur();
    }
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input:not([type=checkbox])");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      find.focus();
    }
  });

  function foldAll(open) {
    for (const details of document.querySelectorAll("main details")) details.open = open;
  }
  one("unfold").addEventListener("click", () => foldAll(true));
  one("fold").addEventListener("click", () => foldAll(false));

  const list = document.createElement("ol");
  for (const turn of turns) {
    const said = turn.querySelector(":scope > .user .t");
    if (said === null) continue;
    const link = document.createElement("a");
    link.href = `#${turn.getAttribute("aria-labelledby")}`;
    link.textContent = said.textContent.slice(0, 120).replace(/\s+/g, " ");
    const line = document.createElement("li");
    line.append(link);
    list.append(line);
  }
  if (list.childElementCount > 1) {
    one("turns").append(list);
    one("turns").hidden = false;
  }
  for (const part of document.querySelectorAll(".find, .fold-all")) part.hidden = false;
})();
