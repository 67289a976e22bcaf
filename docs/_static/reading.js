// The three reading modes: one language, the other (the same page, the same heading), or both.
const root = document.documentElement;

function remember(key, value) {
  try { localStorage.setItem(key, value); } catch { /* private windows have no memory */ }
}

function currentHeading() {
  const line = window.innerHeight / 3;
  let found = "";
  for (const section of document.querySelectorAll("article section[id], article details[id]")) {
    if (section.getBoundingClientRect().top < line) found = section.id;
  }
  return window.scrollY < 80 && !location.hash ? "" : found;
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
    const heading = currentHeading();
    link.hash = heading ? `#${heading}` : "";
    link.search = location.search;
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
