// Search as you type, in the theme's dialog and on the search page.
const language = document.documentElement.lang;
const base = new URL("../", import.meta.url);
let engine;

async function load() {
  engine ??= import(new URL("pagefind/pagefind.js", base)).then(async (pagefind) => {
    await pagefind.options({ baseUrl: base.pathname, excerptLength: 24 });
    await pagefind.init();
    return pagefind;
  });
  return engine;
}

// The index holds Chinese word by word, so a query has to be cut into words too.
function words(query) {
  if (!("Segmenter" in Intl)) return query.trim().split(/\s+/);
  const pieces = new Intl.Segmenter(language, { granularity: "word" }).segment(query);
  return [...pieces].filter((piece) => piece.isWordLike).map((piece) => piece.segment);
}

async function find(query) {
  const pagefind = await load();
  const parts = words(query);
  for (const attempt of new Set([query, parts.join(" ")])) {
    const { results } = await pagefind.search(attempt);
    if (results.length) return { results, some: false };
  }
  const scores = new Map();
  for (const part of parts) {
    for (const result of (await pagefind.search(part)).results) {
      const known = scores.get(result.id) ?? { result, found: 0, score: 0 };
      known.found += 1;
      known.score += result.score;
      scores.set(result.id, known);
    }
  }
  const ranked = [...scores.values()].sort((a, b) => b.found - a.found || b.score - a.score);
  return { results: ranked.map((known) => known.result), some: parts.length > 1 };
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
    const pages = await Promise.all(results.slice(0, 8).map((result) => result.data()));
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
