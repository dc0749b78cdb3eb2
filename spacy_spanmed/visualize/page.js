// The page of `spanmed visualize`: what is chosen, hidden and drawn. Lines are drawn where
// `routes.js` says. Without scripts marks, legend and tables are readable, and the
// tables' links work.
const MOST_LANES = 6;  // for which there is room between lines of text
const SVG = "http://www.w3.org/2000/svg";
const root = document.documentElement;
const hidden = { entity: new Set(), relation: new Set() };
root.classList.add("js");

const add = (parent, name, attributes) => {
  const node = document.createElementNS(SVG, name);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  return parent.appendChild(node);
};

class Figure {
  constructor(article) {
    this.article = article;
    this.canvas = article.querySelector(".canvas");
    this.text = article.querySelector(".text");
    this.svg = article.querySelector(".arcs");
    this.details = article.querySelector(".details");
    this.all = article.querySelector(".all");
    this.marks = [...article.querySelectorAll("mark[id]")];
    this.pinned = this.hovered = null;  // {relations: Set, marks: Set} or null
    this.byMark = new Map();
    this.relations = [...article.querySelectorAll("tbody tr")].map((row) => {
      const find = (ids) => ids.split(" ").filter(Boolean).map((id) => document.getElementById(id));
      const heads = find(row.dataset.heads), tails = find(row.dataset.tails);
      const { label, negated } = row.dataset;
      const item = { row, label, negated: negated === "yes", head: heads[0], tail: tails[0] };
      item.around = new Set([...heads, ...tails]);
      item.caption = (item.negated ? "not " : "") + label;
      for (const mark of item.around) {
        if (!this.byMark.has(mark)) this.byMark.set(mark, []);
        this.byMark.get(mark).push(item);
      }
      return item;
    });
    if (this.marks.length) this.marks[0].tabIndex = 0;
    this.listen();
    this.adjust();
    this.width = this.canvas.clientWidth;
    new ResizeObserver(() => {
      if (this.canvas.clientWidth === this.width) return;
      this.width = this.canvas.clientWidth;
      this.adjust();
    }).observe(this.canvas);
  }

  // ------------------------------------------------------------------ what is chosen

  fromTarget(target) {
    const mark = target.closest("mark");
    if (mark && this.text.contains(mark)) {
      const first = document.getElementById(mark.dataset.mark);
      const relations = new Set(this.byMark.get(first) || []);
      return { relations, marks: new Set([first]), mark: first };
    }
    const row = target.closest("tbody tr, .arcs g");
    const item = this.relations.find((x) => row && (x.row === row || x.group === row));
    return item ? { relations: new Set([item]), marks: item.around, item } : null;
  }

  listen() {
    const set = (choice) => {
      // Drawing puts new lines under the pointer, which would be told again and again
      const same = (key) => (choice && choice[key]) === (this.hovered && this.hovered[key]);
      const isSame = same("mark") && same("item");
      this.hovered = choice;
      if (!isSame) this.draw();
    };
    const hover = (event) => set(this.fromTarget(event.target));
    const leave = () => set(null);
    this.article.addEventListener("mouseover", hover);
    this.article.addEventListener("mouseleave", leave);
    this.article.addEventListener("focusin", (event) => {
      if (event.target.matches(":focus-visible")) hover(event);
    });
    this.article.addEventListener("focusout", leave);
    this.article.addEventListener("click", (event) => {
      if (event.target.closest("input, label, summary")) return;
      const choice = this.fromTarget(event.target);
      const link = event.target.closest("a");
      if (choice && !link && this.isPinned(choice)) this.pinned = null;
      else if (choice) this.pinned = choice;
      else if (!event.target.closest(".side")) this.pinned = null;
      if (link) return this.draw();  // the browser goes to the mention itself
      if (choice && choice.item && this.pinned && !event.target.closest(".arcs"))
        this.show(choice.item);
      this.draw();
    });
    this.article.addEventListener("keydown", (event) => this.press(event));
    if (this.all) this.all.addEventListener("change", () => this.adjust());
  }

  isPinned(choice) {
    const old = this.pinned;
    return old && old.mark === choice.mark && old.item === choice.item;
  }

  press(event) {
    const mark = event.target.closest("mark");
    if (event.key === "Escape") { this.pinned = this.hovered = null; this.draw(); }
    if (!mark) return;
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); mark.click(); }
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const seen = this.marks.filter((x) => !x.classList.contains("off"));
    const next = seen[seen.indexOf(document.getElementById(mark.dataset.mark)) + step];
    if (!next) return;
    for (const x of this.marks) x.tabIndex = x === next ? 0 : -1;
    next.focus();
  }

  show(item) {
    const isSeen = (mark) => {
      const { top, bottom } = mark.getBoundingClientRect();
      return top > 0 && bottom < innerHeight;
    };
    const ends = [item.head, item.tail].filter(Boolean);
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (ends.length && !ends.every(isSeen))
      ends[0].scrollIntoView({ block: "center", behavior: still ? "auto" : "smooth" });
  }

  // -------------------------------------------------------------------------- drawing

  isDrawable(item) {
    const isOff = (mark) => !mark || mark.classList.contains("off");
    return item.head !== item.tail && !isOff(item.head) && !isOff(item.tail)
      && !hidden.relation.has(item.label);
  }

  // Make room between the lines for what is shown by itself; hovering must not move the text.
  adjust() {
    for (const mark of this.article.querySelectorAll("mark"))
      mark.classList.toggle("off", hidden.entity.has(mark.dataset.label));
    for (const { row, label, head, tail } of this.relations) {
      row.classList.toggle("off", hidden.relation.has(label));
      const apart = [head, tail].some((x) => x && x.classList.contains("off"));
      row.classList.toggle("apart", apart);
    }
    const drawable = this.relations.filter((x) => this.isDrawable(x));
    const all = this.all && this.all.checked;
    const { lanes } = route(all ? drawable : [], this.canvas, this.text);
    const count = Math.min(MOST_LANES, Math.max(lanes, drawable.length && !all ? 2 : 0));
    this.canvas.style.setProperty("--gap", `${count ? count * PITCH + 8 : 8}px`);
    this.draw();
  }

  draw() {
    const chosen = [this.pinned, this.hovered].filter(Boolean);
    const strong = new Set(chosen.flatMap((x) => [...x.relations]));
    const all = this.all && this.all.checked;
    const items = this.relations.filter((x) => this.isDrawable(x) && (all || strong.has(x)));
    const { lines, pitch } = route(items, this.canvas, this.text);
    this.svg.replaceChildren();
    for (const x of this.relations) {
      x.group = null;
      x.row.classList.toggle("on", strong.has(x));
    }
    // What is chosen is drawn last, over the others
    lines.sort((a, b) => strong.has(a.item) - strong.has(b.item));
    for (const line of lines) this.drawLine(line, strong, pitch);
    const on = new Set(), around = new Set();
    for (const choice of chosen) {
      if (choice.mark) on.add(choice.mark);
      for (const x of choice.relations) {
        for (const mark of [x.head, x.tail]) if (mark) on.add(mark);
        for (const mark of x.around) around.add(mark);
      }
    }
    for (const mark of this.article.querySelectorAll("mark.on, mark.around"))
      mark.classList.remove("on", "around");
    for (const mark of around) if (!on.has(mark)) mark.classList.add("around");
    for (const mark of on) mark.classList.add("on");
    this.describe(this.hovered || this.pinned);
  }

  describe(choice) {
    if (!this.details) return;
    const mark = choice && choice.mark;
    const row = choice && choice.item && choice.item.row;
    const text = mark ? mark.title : row ? row.dataset.note : this.details.dataset.hint;
    if (this.details.textContent !== text) this.details.textContent = text;
  }

  drawLine({ item, points, label, tip }, strong, pitch) {
    const isStrong = strong.has(item);
    const isDim = strong.size && !isStrong;
    const names = [item.negated && "negated", isStrong && "strong", isDim && "dim"];
    const group = add(this.svg, "g", { class: names.filter(Boolean).join(" ") });
    item.group = group;
    add(group, "title", {}).textContent = item.row.dataset.note;
    add(group, "path", { class: "line", d: roundPath(points) });
    add(group, "path", { class: "hit", d: roundPath(points) });
    const [x, y, up] = tip, back = up ? 7 : -7;
    add(group, "path", { class: "arrow", d: `M${x},${y}l-4.5,${back}h9Z` });
    if (pitch < 12 && !isStrong) return;  // too many for labels
    const { width } = label;
    add(group, "rect", { x: label.x - width / 2, y: label.y - 7, width, height: 14, rx: 4 });
    add(group, "text", { x: label.x, y: label.y + 4 }).textContent = item.caption;
  }
}

const figures = [...document.querySelectorAll(".doc")].filter((x) => x.querySelector(".canvas"))
  .map((article) => new Figure(article));
const legend = document.querySelector(".legend");
const update = () => {
  for (const box of legend.querySelectorAll("input[data-kind]")) {
    const set = hidden[box.dataset.kind];
    if (box.checked) set.delete(box.value); else set.add(box.value);
  }
  for (const figure of figures) figure.adjust();
};
if (legend) {
  legend.addEventListener("change", (event) => {
    if (event.target.matches(".tags")) root.classList.toggle("no-tags", !event.target.checked);
    update();
  });
  legend.addEventListener("click", (event) => {
    if (!event.target.matches("button")) return;
    const boxes = [...event.target.closest("fieldset").querySelectorAll("input[data-kind]")];
    const checked = !boxes.every((box) => box.checked);
    for (const box of boxes) box.checked = checked;
    update();
  });
  update();  // browsers keep what was checked when a page is loaded again
}
if (document.fonts) document.fonts.ready.then(() => figures.forEach((x) => x.adjust()));
