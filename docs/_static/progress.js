// What the reader has read and solved: kept in this browser, and nowhere else.
const KEY = "optimkit-progress";
const chinese = document.documentElement.lang.startsWith("zh");
const say = (english, own) => (chinese ? own : english);

function known() {
  try { return JSON.parse(localStorage.getItem(KEY)) ?? {}; } catch { return {}; }
}

function keep(all) {
  try { localStorage.setItem(KEY, JSON.stringify(all)); } catch { /* private windows have no memory */ }
}

function note(name, what) {
  const all = known();
  keep({ ...all, [name]: { ...all[name], ...what } });
}

// A tutorial is read once its end has been on the screen; whether it is solved, the reader says.
function follow(name) {
  const end = document.querySelector(".prev-next-footer");
  const reached = new IntersectionObserver((entries) => {
    if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
    note(name, { read: true });
    reached.disconnect();
  });
  if (end) reached.observe(end);
  const answer = document.getElementById("solution");
  if (!answer) return;
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = Boolean(known()[name]?.solved);
  box.addEventListener("change", () => note(name, { solved: box.checked }));
  label.className = "solved";
  label.append(box, say(" I have solved it", " 我做出来了"));
  answer.before(label);
}

function time(minutes) {
  const [hours, rest] = [Math.floor(minutes / 60), minutes % 60];
  const parts = [hours && say(`${hours} h`, `${hours} 小时`), (rest || !hours) && say(`${rest} min`, `${rest} 分钟`)];
  return parts.filter(Boolean).join(" ");
}

function list(place) {
  const all = known();
  const cards = [...document.querySelectorAll(".tutorial-card")].map((card) => {
    const link = card.querySelector("a[href*='plot_']");
    return {
      link,
      badge: card.querySelector(".tutorial-number"),
      minutes: Number(card.lastElementChild.textContent.match(/(\d+) (?:minutes|分钟)/)?.[1] ?? 0),
      ...all[link.getAttribute("href").match(/(plot_\w+)\.html/)[1]],
    };
  });
  for (const { badge, read, solved } of cards) {
    const marks = [read && say("read", "已读"), solved && say("solved", "已解出")].filter(Boolean);
    badge.textContent = [badge.textContent.slice(0, 2), ...marks].join(" · ");
  }
  const unread = cards.filter(({ read }) => !read);
  const [left, read, solved] = [unread.reduce((sum, { minutes }) => sum + minutes, 0), cards.length - unread.length, cards.filter((one) => one.solved).length];
  if (!read && !solved) {
    place.textContent = say(`${cards.length} tutorials, ${time(left)}. What you have read and solved will be shown here; it stays in this browser.`, `共 ${cards.length} 篇，${time(left)}。读过的和做出来的会记在这里，只存在你的浏览器里。`);
    return;
  }
  place.textContent = say(`${read} of ${cards.length} read, ${solved} solved; ${left ? `${time(left)} left. ` : "nothing left. "}`, `${cards.length} 篇里读了 ${read} 篇，做出 ${solved} 道练习，${left ? `还剩 ${time(left)}。` : "全部读完。"}`);
  if (unread.length) {
    const next = document.createElement("a");
    next.href = unread[0].link.href;
    next.textContent = say(`Next: ${unread[0].link.textContent}`, `接着读：${unread[0].link.textContent}`);
    place.append(next);
  }
  const forget = document.createElement("button");
  forget.type = "button";
  forget.textContent = say("Forget all this", "清除记录");
  forget.addEventListener("click", () => { keep({}); list(place); });
  place.append(" ", forget);
}

const place = document.querySelector(".path-left");
if (place) window.addEventListener("pageshow", () => list(place));
if (place) list(place);
else follow(location.pathname.match(/(plot_\w+)\.html/)[1]);
