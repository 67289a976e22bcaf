// Search as you type, in the theme's dialog and on the search page.
// A classic script, as is the index: browsers load no module and no file into a page opened from a file.
(() => {
const language = document.documentElement.lang;
const base = new URL("../", document.currentScript.src);
const WEIGHTS = { title: 4, about: 3, asked: 3, prose: 1 };
const WORDS = /\p{Script=Han}+|[a-z0-9_]+(?:['’][a-z]+)?/giu;
const HAN = /\p{Script=Han}+/u;
const TAIL = /n?['’].*/;
const NOT = /^(?:not?|never|without|cannot|[a-z]+n['’]t)$/i;
const NOISE = /什么意思|有什么用|的作用|作用|为什么|怎么样|怎么办|怎么|怎样|如何|什么是|是什么|什么|是否|有没有|能不能|可不可以|应该|可以|请问|请教|求助|谢谢|您好|你好|大家|知道|一下|解决|问题|想要|我想|需要|吗|呢|吧|啊|了|的|我|您|你/g;
const STOP = new Set(
  ("a about am an and any anyone are as at be been between but by ca call can could did difference do does doing during for from get gets got had has have hello help hi how i if in into is issue it its " +
  "know me my need needs not of on one or please problem problems question should solve some someone tell thank thanks than that the then there these they this to use using versus vs " +
  "want was we were what when which while who why will with wo would you your").split(" "),
);

// One rule for the index and for what is typed: a word of Latin letters, whole and in its parts, with
// its stem, and what is denied; of Chinese, each character and each pair of neighbours.
function* tokens(text) {
  let isDenied = false;
  for (const { 0: whole, index } of text.matchAll(WORDS)) {
    const piece = whole.replace(TAIL, "");
    if (HAN.test(piece)) {
      isDenied = false;
      const characters = [...piece].map((one) => engine.folds.get(one) ?? one);
      for (let i = 0; i < characters.length; i++) {
        yield [characters[i], index + i, index + i + 1];
        if (i) yield [characters[i - 1] + characters[i], index + i - 1, index + i + 1];
      }
      continue;
    }
    const end = index + piece.length;
    if (NOT.test(whole)) isDenied = true;
    else if (isDenied && !STOP.has(piece.toLowerCase())) {
      yield [`not ${stem(piece.toLowerCase())}`, index, end];
      isDenied = false;
    }
    const parts = piece.match(/[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+/g) ?? [];
    for (const word of new Set([piece, ...parts].map((one) => one.toLowerCase()))) {
      yield [word, index, end];
      const root = stem(word);
      if (root.length > 2) yield [`${root}*`, index, end];
    }
  }
}

// What the forms of an English word have in common: saves, saved and saving have "sav".
function stem(word) {
  return word.replace(/y$|ies$/, "i").replace(/(?:s|e|es|ed|er|ing|ions?|ation|ly|ment)$/, "").replace(/(.)\1$/, "$1");
}

const engine = { folds: new Map(), postings: new Map(), sections: [], pages: [] };
let ready;
function load() {
  ready ??= new Promise((done) => {
    const script = document.createElement("script");
    script.src = new URL("_static/search-index.js", base);
    script.addEventListener("load", () => { build(window.searchIndex); done(); });
    document.head.append(script);
  });
  return ready;
}

function build({ pages, sections, names, folds }) {
  const characters = [...folds];
  for (let i = 0; i < characters.length; i += 2) engine.folds.set(characters[i], characters[i + 1]);
  engine.pages = pages;
  engine.names = Object.entries(names)
    .map(([theirs, ours]) => [HAN.test(theirs) ? words(theirs).trim() : words(theirs), ours])
    .sort(([a], [b]) => b.length - a.length);
  for (const [page, anchor, title, prose, asked] of sections) {
    // The title of a page says what each of its sections is about, too.
    add({ page, anchor, title, prose }, { title, prose, about: anchor ? pages[page][1] : "" });
    // What readers ask of a page speaks for the page, and the text says which section is shown; of a section, for that one.
    for (const question of asked) add({ page, anchor, title, prose, question }, { asked: question });
  }
  engine.average = engine.sections.reduce((sum, one) => sum + one.length, 0) / engine.sections.length;
}

// How much less is said by a stem than by the word, and by a Chinese character alone.
const worth = (token) => (token.endsWith("*") ? 0.8 : HAN.test(token) && token.length < 2 ? 0.15 : 1);

// How much a token says: what is in few sections says the most, but in how few is chance.
function rarity(token) {
  const length = Math.max(6, engine.postings.get(token).length);
  return Math.log(1 + (engine.sections.length - length + 0.5) / (length + 0.5));
}
const mass = (wanted) => [...wanted].reduce((sum, [token, weight]) => sum + weight * rarity(token), 0);

function add(section, fields) {
  const counts = new Map();
  for (const [name, text] of Object.entries(fields)) {
    for (const [token] of tokens(text)) counts.set(token, (counts.get(token) ?? 0) + WEIGHTS[name]);
  }
  for (const [token, count] of counts) {
    if (!engine.postings.has(token)) engine.postings.set(token, []);
    engine.postings.get(token).push([engine.sections.length, count]);
  }
  engine.sections.push({ ...section, length: section.question ? 100 : section.prose.length + 200 });
}

// How many letters have to be changed, added, left out or swapped to get from one word to the other.
function distance(a, b) {
  let [older, last] = [[], Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      row[j] = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] !== b[j - 1]));
      if (a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) row[j] = Math.min(row[j], older[j - 2] + 1);
    }
    [older, last] = [last, row];
  }
  return last[b.length];
}

// A text as words with a space around each.
const words = (text) => ` ${(text.toLowerCase().match(/\p{Script=Han}+|[a-z0-9]+/gu) ?? []).join(" ")} `;

// The tokens to look for, each with its weight, and whether some word that was typed is on no page.
function understand(typed) {
  let text = typed;
  let said = words(text);
  for (const [theirs, ours] of engine.names) {
    if (!said.includes(theirs) || said.includes(words(ours).trim())) continue;
    text += ` ${ours}`;
    said = words(text);
  }
  const wanted = new Map();
  let missed = false;
  const asking = [...text.matchAll(NOISE)].map((one) => [one.index, one.index + one[0].length]);
  for (const [token, from, to] of tokens(text)) {
    const isAsking = STOP.has(text.slice(from, to).toLowerCase()) || asking.some(([start, end]) => from >= start && to <= end);
    const weight = (typed.length > 1 ? worth(token) : 1) * (isAsking ? 0.2 : 1);
    if (engine.postings.has(token)) wanted.set(token, Math.max(wanted.get(token) ?? 0, weight));
    else if (HAN.test(token) && !isAsking) missed = true;
  }
  for (const [whole] of text.toLowerCase().matchAll(WORDS)) {
    const word = whole.replace(TAIL, "");
    if (!HAN.test(word) && !STOP.has(word) && !engine.postings.has(word)) missed = !complete(word, wanted) || missed;
  }
  // Single characters of a word that is nowhere are on every page, and mean nothing.
  const isNoise = missed && ![...wanted.values()].some((weight) => weight > 0.2);
  return { wanted: isNoise ? new Map() : wanted, missed };
}

// A word that is on no page may be the beginning of one that is, or one that is misspelt.
function complete(word, wanted) {
  const known = [...engine.postings.keys()].filter((one) => /^[a-z_0-9]{3,}$/.test(one));
  const longer = word.length > 1 ? known.filter((one) => one.startsWith(word)) : [];
  for (const one of longer.slice(0, 30)) wanted.set(one, 0.7);
  // A form of a word that is there is no slip: "decreasing" must not become "increasing".
  if (longer.length || word.length < 4 || wanted.has(`${stem(word)}*`)) return word.length > 3 || longer.length > 0;
  const most = word.length < 8 ? 1 : 2;
  const close = known.filter((one) => Math.abs(one.length - word.length) <= most && distance(one, word) <= most);
  for (const one of close) {
    wanted.set(one, 0.8);
    if (engine.postings.has(`${stem(one)}*`)) wanted.set(`${stem(one)}*`, 0.3);
  }
  return false;
}

// BM25 over sections. A page counts for what its sections have together; the best of them stands for it.
function find(query) {
  const typed = [...query].map((one) => engine.folds.get(one) ?? one).join("");
  const { wanted, missed } = understand(typed);
  const whole = mass(wanted);
  const scores = new Map();
  const shared = new Map();
  const pages = new Map();
  for (const [token, weight] of wanted) {
    const value = weight * rarity(token);
    const best = new Map();
    for (const [number, count] of engine.postings.get(token)) {
      const { page, length, question } = engine.sections[number];
      if (question) shared.set(number, (shared.get(number) ?? 0) + value);
      const score = value * count * 2.2 / (count + 1.2 * (0.4 + 0.6 * length / engine.average));
      scores.set(number, (scores.get(number) ?? 0) + score);
      best.set(page, Math.max(best.get(page) ?? 0, score));
    }
    for (const [page, score] of best) pages.set(page, { sum: (pages.get(page)?.sum ?? 0) + score, top: 0, shown: -1 });
  }
  // Whoever pastes a message has typed the title of its entry, with values in the place of the dots; a code is a title as
  // it is; a part of a message counts the more, the more of the title it is. Otherwise the pages of these, of recipes and
  // symptoms, which have a word of everything, stand behind those that explain, and so do the asides of a tutorial.
  const message = typed.trim().replace(/^\w+(Error|Warning): /, "");
  const isPasted = (title) => title === message || (title.length > 11 && title.split("…").every((piece) => typed.includes(piece.trim())));
  for (const [number, matched] of scores) {
    const section = engine.sections[number];
    const { page, anchor, title, question } = section;
    const isLookedUp = /^(audit|errors|recipes|symptoms)\//.test(engine.pages[page][0]);
    const isAside = /^(ask-yourself|where-to-go-next)$/.test(anchor);
    const share = message.length > 20 && title.includes(message) ? message.length / title.length : 0;
    // A question that is the one typed, in other words or a few more, says more than one that shares a word with it.
    if (question) section.mass ??= mass(understand(question).wanted);
    const likeness = question ? shared.get(number) / Math.sqrt(whole * section.mass) : 0;
    const score = (1 + 1.5 * likeness) * matched * (title === message ? 3 : isPasted(title) ? 2 : share ? 1 + share : isLookedUp ? 0.7 : isAside ? 0.7 : 1);
    scores.set(number, score);
    const found = pages.get(page);
    found.top = Math.max(found.top, score);
    // A section leads closer than the top of its page.
    const fit = anchor ? score : 0.7 * score;
    // A page of entries is shown as a whole where the question is one that the whole of it answers.
    const isAbout = !question || anchor || likeness > 0.6;
    if (isAbout && !(fit <= found.fit)) Object.assign(found, { shown: number, fit });
    const isEntry = message !== typed.trim() && isLookedUp && !question && isPasted(title);
    if (isEntry && !(title.length <= found.matched)) Object.assign(found, { entry: number, matched: title.length });
    if (found.shown < 0) found.asked = number;
  }
  const found = [...pages.values()].map(({ sum, top, shown, asked, entry, matched = 0 }) => ({
    number: entry ?? (shown < 0 ? asked : shown),
    score: top + 0.6 * sum,
    matched,
  }));
  const most = Math.max(...found.map(({ score }) => score));
  // The entry of an error that was pasted comes first, and before it one that has more of the message.
  found.sort((a, b) => b.matched - a.matched || b.score - a.score);
  // What has little of what is looked for is noise behind what has much of it.
  return { missed, wanted, found: found.filter(({ matched, score }) => matched || score > 0.25 * most).slice(0, 8) };
}

// Some words of a section around the place where most of what is looked for stands, marked.
function excerpt({ prose }, wanted) {
  const marks = [...tokens(prose)].filter(([token]) => (wanted.get(token) ?? 0) > 0.2);
  const size = HAN.test(prose) ? 80 : 170;
  const inside = (start) => marks.filter(([, from, to]) => from >= start && to <= start + size).length;
  const start = marks.map(([, from]) => from).reduce((best, from) => inside(from) > inside(best) ? from : best, marks[0]?.[1] ?? 0);
  const first = start < 25 ? 0 : prose.slice(0, start - 12).search(/[\s，。；：、][^\s，。；：、]*$/u) + 1 || start;
  // A word of Latin letters is shown whole, or not at all.
  const cut = prose.slice(first, first + size).replace(/[\w.]+$/, (end) => (/\w/.test(prose[first + size] ?? "") ? "" : end));
  const marked = new Set(marks.flatMap(([, from, to]) => Array.from({ length: to - from }, (_, i) => from + i - first)));
  const span = document.createElement("span");
  if (first) span.append("… ");
  for (let i = 0, from = 0; i <= cut.length; i++) {
    if (i < cut.length && marked.has(i) === marked.has(from)) continue;
    const text = cut.slice(from, i);
    const mark = document.createElement("mark");
    mark.textContent = text;
    span.append(marked.has(from) ? mark : text);
    from = i;
  }
  if (first + cut.length < prose.length) span.append(" …");
  return span;
}

function row(section, wanted) {
  const [url, about] = engine.pages[section.page];
  const item = document.createElement("li");
  const link = document.createElement("a");
  link.href = new URL(url + (section.anchor && `#${section.anchor}`), base);
  const title = document.createElement("strong");
  title.textContent = section.anchor ? `${about} › ${section.title}` : about;
  link.append(title, excerpt(section, wanted));
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
    await load();
    if (turn !== latest) return;
    const { found, wanted, missed } = query ? find(query) : { found: [] };
    list.replaceChildren(...found.map(({ number }) => row(engine.sections[number], wanted)));
    status.textContent = "";
    if (query && !found.length) status.textContent = `${status.dataset.none} “${query}”`;
    else if (missed) status.textContent = status.dataset.some;
  }

  let timer;
  input.addEventListener("focus", load, { once: true });
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
