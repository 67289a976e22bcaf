// The three reading modes: one language, the other (the same page, the same heading), or both.
const root = document.documentElement;

function remember(key, value) {
  try { localStorage.setItem(key, value); } catch { /* private windows have no memory */ }
}

// Both languages of a page have the same blocks: the reader's place is the number of one, and its height.
function blocks() {
  const all = document.querySelectorAll("article :is(h1, h2, h3, h4, p, li, dt, dd, tr, pre, img, summary)");
  return [...all].filter((block) => !block.closest(".bi-other, .moving"));
}

function currentPlace() {
  const header = document.querySelector("#pst-header").getBoundingClientRect().bottom;
  const all = blocks();
  const shown = (edge) => (block) => block.checkVisibility() && block.getBoundingClientRect()[edge] > header - 4;
  let number = all.findIndex(shown("top"));
  if (!(all[number]?.getBoundingClientRect().top < window.innerHeight / 2)) number = all.findIndex(shown("bottom"));
  return { count: all.length, number, top: all[number]?.getBoundingClientRect().top };
}

// What an address can name: what it names now, while that is seen, else the last heading, function, term or row above.
function currentAnchor() {
  const named = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const { top = -1, bottom = -1 } = named ? named.getBoundingClientRect() : {};
  if (bottom > 0 && top < window.innerHeight) return named.id;
  if (window.scrollY < 80) return "";
  const line = window.innerHeight / 3;
  const above = [...document.querySelectorAll("article section section[id], article :is(details, dt, tr)[id]")]
    .filter((one) => one.getBoundingClientRect().top < line && one.checkVisibility());
  return above.at(-1)?.id ?? "";
}

function goTo({ page, count, number, top }) {
  const all = blocks();
  if (page !== location.pathname.replace(/^.*\/(en|zh)\//, "") || count !== all.length || number < 0) return;
  const fold = !all[number].matches("summary") && all[number].closest("details");
  if (fold) fold.open = true;
  window.scrollBy({ top: all[number].getBoundingClientRect().top - top, behavior: "instant" });
}

function setReading(mode) {
  // Keep what the reader looks at in its place while blocks appear above it.
  const anchor = [...document.querySelectorAll("article section > :not(section), article dd > *")]
    .find((block) => block.getBoundingClientRect().bottom > 80 && block.offsetHeight > 0);
  const before = anchor?.getBoundingClientRect().top;
  root.dataset.reading = mode;
  if (anchor && anchor.offsetHeight > 0 && window.scrollY > 0) {
    window.scrollBy({ top: anchor.getBoundingClientRect().top - before, behavior: "instant" });
  }
  for (const button of document.querySelectorAll(".reading-switch button")) {
    button.setAttribute("aria-pressed", String(mode === "both"));
  }
}

setReading(root.dataset.reading);
for (const button of document.querySelectorAll(".reading-switch button")) {
  button.addEventListener("click", () => {
    const mode = root.dataset.reading === "both" ? "one" : "both";
    setReading(mode);
    remember("optimkit-reading", mode);
  });
}
for (const link of document.querySelectorAll(".reading-switch a")) {
  link.addEventListener("click", () => {
    remember("optimkit-language", link.dataset.language);
    link.hash = currentAnchor();
    link.search = location.search;
    if (window.scrollY < 80) return;
    const page = location.pathname.replace(/^.*\/(en|zh)\//, "");
    try { sessionStorage.setItem("optimkit-place", JSON.stringify({ page, ...currentPlace() })); } catch { /* as above */ }
  });
}

// A link to a folded solution, or into one, opens it.
function unfold() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const fold = target && target.closest("details");
  if (fold && !fold.open) {
    fold.open = true;
    target.scrollIntoView();
  }
}
unfold();
window.addEventListener("hashchange", unfold);

// The place in the other language, once the browser has gone to the address.
window.addEventListener("load", () => {
  let place = null;
  try {
    place = JSON.parse(sessionStorage.getItem("optimkit-place"));
    sessionStorage.removeItem("optimkit-place");
  } catch { /* as above */ }
  if (place) requestAnimationFrame(() => goTo(place));
});

// Wide outputs scroll. The theme lets the keyboard reach them, but not those that a fold has hidden.
document.addEventListener("toggle", (event) => {
  for (const box of event.target.querySelectorAll("pre")) {
    box.tabIndex = box.scrollWidth > box.clientWidth ? 0 : -1;
  }
}, true);

// On paper every answer is open, also where the browser cannot print a closed fold.
let closed = [];
window.addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("article details:not([open])")];
  for (const fold of closed) fold.open = true;
});
window.addEventListener("afterprint", () => {
  for (const fold of closed) fold.open = false;
});

// A video shows its first frame when it comes into view: that of the other theme never does.
const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) if (isIntersecting) target.preload = "metadata";
});
for (const video of document.querySelectorAll("article video")) seen.observe(video);

// Browsers load no module for a page that was opened as a file: its figures stay as they were built.
const isServed = location.protocol !== "file:";

// A figure that the reader moves: its script comes when it is near.
const near = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    near.unobserve(target);
    import("./figures/show.js").then(({ show }) => show(target));
  }
}, { rootMargin: "500px" });
const moving = document.querySelectorAll("article figure:has(img[class*='moves-'])");
for (const figure of isServed ? moving : []) near.observe(figure);

// What has been read and solved, on the pages of the tutorials and in their list.
if (isServed && /\/auto_examples\/(index|plot_\w+)\.html$|\/auto_examples\/$/.test(location.pathname)) import("./progress.js");

if (isServed && document.querySelector("table.sortable")) import("./sort.js");

// A result of a search may lie on this very page.
document.querySelector("#pst-search-dialog")?.addEventListener("click", (event) => {
  if (event.target.closest("a")) event.currentTarget.close();
});

// A block of a tutorial goes on from those above it: who copies one is offered all of them.
const [copyAll, copied] = { en: ["Copy it with all code above", "Copied"], "zh-CN": ["连同上文的代码一起复制", "已复制"] }[root.lang];
const codes = [...document.querySelectorAll(".highlight-Python pre")];
document.addEventListener("click", ({ target }) => {
  const button = target.closest(".copybtn");
  const number = codes.indexOf(button?.parentElement.querySelector("pre"));
  if (number < 1 || button.parentElement.querySelector(".copy-all")) return;
  const more = Object.assign(document.createElement("button"), { type: "button", className: "copy-all", textContent: copyAll });
  more.addEventListener("click", async () => {
    await navigator.clipboard.writeText(codes.slice(0, number + 1).map((code) => code.textContent).join("\n"));
    more.textContent = copied;
    more.addEventListener("blur", () => more.remove());
  });
  button.after(more);
}, true); // before the button changes its icon, which is what was clicked

// What a reader has marked goes into the report.
for (const link of document.querySelectorAll("a[data-report]")) {
  link.addEventListener("pointerdown", () => {
    const address = new URL(link.href);
    address.searchParams.set("body", `${location.href}\n\n> ${String(getSelection()).trim().slice(0, 500)}\n`);
    link.href = address;
  });
}
