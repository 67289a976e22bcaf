// A figure that the reader moves takes the place of its picture, which stays for paper and for whoever asks for it.
import { button, element, say } from "./draw.js";

export async function show(figure) {
  const picture = figure.querySelector("img[class*='moves-']");
  const [, name] = picture.className.match(/moves-([\w-]+)/);
  const { build } = await import(`./${name}.js`);
  const { caption, controls, draw } = build();
  const charts = element("div", { class: "moving-charts" });
  const says = element("output", { class: "moving-says" });
  const more = element("div");
  const redraw = () => {
    if (!charts.clientWidth) return;
    const drawn = draw(charts.clientWidth);
    charts.innerHTML = drawn.charts.join("");
    says.value = drawn.says;
    more.replaceChildren(...(drawn.more ?? []));
  };
  const box = element("div", { class: "moving", role: "group", "aria-label": caption });
  box.append(element("div", { class: "moving-controls" }, ...controls(redraw)), charts, says, more);

  const words = [say("Move it yourself", "自己动手调"), say("Show the printed picture", "看静态图")];
  // A page that moves under a reader's eyes is worse than a picture: it changes when nobody scrolls and the figure is
  // still below; one that is in view already waits to be asked.
  let timer;
  const calm = () => {
    clearTimeout(timer);
    timer = setTimeout(() => { if (figure.getBoundingClientRect().top > window.innerHeight) swap(true); }, 150);
  };
  const swap = (on) => {
    clearTimeout(timer);
    window.removeEventListener("scroll", calm);
    figure.classList.toggle("moved", on);
    toggle.textContent = words[Number(on)];
    if (on) redraw();
  };
  const toggle = button(words[0], () => swap(!figure.classList.contains("moved")));
  toggle.className = "moving-toggle";
  figure.prepend(box, toggle);
  figure.querySelector("figcaption").append(element("p", { class: "moving" }, element("span", { class: "caption-text" }, caption)));
  new ResizeObserver(() => { if (figure.classList.contains("moved")) redraw(); }).observe(figure);
  window.addEventListener("scroll", calm);
  calm();
}
