// Search as you type, in the theme's dialog and on the search page.
// A classic script: browsers load no module into a page opened from a file.
(() => {
const language = document.documentElement.lang;
const base = new URL("../", document.currentScript.src);
let engine;

async function load() {
  engine ??= import(new URL("pagefind/pagefind.js", base)).then(async (pagefind) => {
    // Short pages would come first: the glossary before the tutorial that explains.
    await pagefind.options({ baseUrl: base.pathname, excerptLength: 24, ranking: { pageLength: 0 } });
    await pagefind.init();
    return pagefind;
  });
  return engine;
}

// A term that is typed in the other language: what this site calls it, from the glossary.
let terms;
async function translate(query) {
  terms ??= fetch(new URL("_static/terms.json", base)).then((answer) => answer.json());
  const pairs = Object.entries(await terms).sort(([a], [b]) => b.length - a.length);
  return pairs.reduce((text, [theirs, ours]) => text.replaceAll(theirs, ` ${ours} `), query.toLowerCase()).trim();
}

// The index holds Chinese word by word, so a query has to be cut into words too.
function words(query) {
  if (!("Segmenter" in Intl)) return query.trim().split(/\s+/);
  const pieces = new Intl.Segmenter(language, { granularity: "word" }).segment(query);
  return [...pieces].filter((piece) => piece.isWordLike).map((piece) => piece.segment);
}

async function find(query) {
  const pagefind = await load();
  const parts = [...new Set([...words(query), ...words(await translate(query))])];
  let whole = [];
  for (const attempt of new Set([query, words(query).join(" "), await translate(query)])) {
    whole = (await pagefind.search(attempt)).results;
    if (whole.length) break;
  }
  if (whole.length > 4 || parts.length < 2) return { results: whole, some: false };
  // Few pages have all of the words: add those that have some, a rare word counting for more.
  const scores = new Map();
  for (const part of parts) {
    const { results } = await pagefind.search(part);
    for (const result of results) {
      const known = scores.get(result.id) ?? { result, score: 0 };
      known.score += 1 / results.length + result.score / 100;
      scores.set(result.id, known);
    }
  }
  const known = new Set(whole.map((result) => result.id));
  const more = [...scores.values()].filter(({ result }) => !known.has(result.id));
  more.sort((a, b) => b.score - a.score);
  return { results: [...whole, ...more.map(({ result }) => result)], some: !whole.length };
}

// For a word it does not know, pagefind shortens it to any beginning that it does: "about" finds "a".
function relevant(page, query) {
  const wanted = Math.min(...words(query).flatMap((word) => word.split("_")).map((part) => part.length));
  const marks = [...page.excerpt.matchAll(/<mark>(.*?)<\/mark>/g)].map((mark) => mark[1]);
  return !marks.length || marks.some((mark) => mark.length >= wanted / 2);
}

function row(page, part) {
  const item = document.createElement("li");
  const link = document.createElement("a");
  link.href = part.url;
  const title = document.createElement("strong");
  title.textContent = part === page || part.title === page.meta.title
    ? page.meta.title : `${page.meta.title} › ${part.title}`;
  const excerpt = document.createElement("span");
  excerpt.innerHTML = part.excerpt;
  link.append(title, excerpt);
  item.append(link);
  return item;
}

function attach(box) {
  const input = box.querySelector("input[name=q]");
  const list = box.querySelector(".search-results");
  const status = box.querySelector(".search-status");
  let latest = 0;

  async function show() {
    const query = input.value.trim();
    const turn = ++latest;
    if (!query) {
      list.replaceChildren();
      status.textContent = "";
      return;
    }
    if (location.protocol === "file:") {
      status.textContent = status.dataset.file;
      return;
    }
    const { results, some } = await find(query);
    const found = await Promise.all(results.slice(0, 8).map((result) => result.data()));
    const pages = found.filter((page) => relevant(page, query));
    if (turn !== latest) return;
    list.replaceChildren(...pages.map((page) => row(page, page.sub_results[0] ?? page)));
    if (!pages.length) status.textContent = `${status.dataset.none} “${query}”`;
    else status.textContent = some ? status.dataset.some : "";
  }

  let timer;
  input.addEventListener("focus", () => { if (location.protocol !== "file:") load(); }, { once: true });
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(show, 80);
  });
  input.form.addEventListener("submit", async (event) => {
    event.preventDefault();
    await show();
    list.querySelector("a")?.click();
  });
  box.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const stops = [input, ...list.querySelectorAll("a")];
    const next = stops[stops.indexOf(document.activeElement) + step];
    if (next) {
      next.focus();
      event.preventDefault();
    }
  });
  return { input, show };
}

const boxes = [...document.querySelectorAll("#pst-search-dialog, [data-search-page]")].map(attach);
const asked = new URLSearchParams(location.search).get("q");
const page = document.querySelector("[data-search-page]");
if (page && asked) {
  const { input, show } = boxes.at(-1);
  input.value = asked;
  show();
}
})();
