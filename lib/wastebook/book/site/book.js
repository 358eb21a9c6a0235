// What a page does: theme, menu, search, copying and unfolding code, figures that open large.
const root = document.documentElement;
const find = (selector, within = document) => within.querySelector(selector);
const findAll = (selector, within = document) => [...within.querySelectorAll(selector)];
const element = (name, properties, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

// Light and dark: the system's choice, unless the reader's is another, which is then remembered.
const system = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.style.colorScheme ? root.style.colorScheme === "dark" : system.matches);
const showTheme = () => find(".theme").setAttribute("aria-pressed", isDark());
find(".theme").addEventListener("click", () => {
  root.style.colorScheme = isDark() ? "light" : "dark";
  try { localStorage.setItem("theme", root.style.colorScheme); } catch { /* not allowed: this page only */ }
  showTheme();
});
system.addEventListener("change", showTheme);
showTheme();

// The chapters on a phone.
find(".menu").addEventListener("click", ({ currentTarget: menu }) => {
  menu.setAttribute("aria-expanded", find(".sidebar").classList.toggle("open"));
});

// Code to copy and to unfold, and boxes that scroll within reach of the keyboard.
for (const code of navigator.clipboard ? findAll("div.sourceCode") : []) {
  const button = element("button", { className: "copy" }, "Copy");
  button.addEventListener("click", () => {
    navigator.clipboard.writeText(find("code", code).textContent).then(() => { button.textContent = "Copied"; });
  });
  code.append(button);
}
// Folds with nothing between them are one; a fold is named after what it makes, or the section that it works for.
for (const fold of findAll("details.code + details.code")) {
  fold.previousElementSibling.append(...findAll("div.sourceCode", fold));
  fold.remove();
}
const folded = findAll("details.code");
for (const fold of folded) {
  const [label] = fold.matches(":has(+ figure)") ? find("figcaption", fold.nextElementSibling).textContent.trim().split(":") : [];
  const section = find("h2, h3", fold.closest("section.level2, section.level3") ?? fold)?.textContent;
  find("summary", fold).textContent = `Code ${label ? `for ${label}` : section ? `for “${section}”` : "to set up the chapter"}`;
}
if (folded.length > 1) {
  const button = element("button", { className: "unfold" }, "Show all code");
  button.addEventListener("click", () => {
    const open = !folded.every((details) => details.open);
    for (const details of folded) details.open = open;
    button.textContent = open ? "Hide all code" : "Show all code";
  });
  find("main h1").after(button);
}
for (const box of findAll("main :is(.scroll, pre, math[display=block]), .picture .scroll")) box.tabIndex = 0;
for (const table of findAll("main figure table")) {
  const figure = table.closest("figure"), box = table.closest("[tabindex]");
  find("figcaption", figure).id = `${figure.id}-caption`;
  box.setAttribute("role", "region");
  for (const named of [table, box]) named.setAttribute("aria-labelledby", `${figure.id}-caption`);
}

// Figures that open large.
const picture = find("dialog.picture");
for (const link of findAll("a.lightbox")) {
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    Object.assign(find("img", picture), { src: link.href, alt: find("img", link).alt });
    find("p", picture).textContent = find("figcaption", link.closest("figure") ?? link)?.textContent.trim() ?? "";
    picture.showModal();
  });
}
picture.addEventListener("click", (event) => event.target.closest("p") || picture.close());

// Search. The index is a script, so that it also loads from a page opened as a file.
const search = find("dialog.search");
const input = find("input", search);
const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
const openSearch = () => {
  if (!window.searchIndex) document.head.append(element("script", { src: `${root.dataset.root}assets/search.js`, onload: showFound }));
  search.showModal();
};
function showFound() {
  const words = plain(input.value).split(/\s+/).filter(Boolean);
  const count = (text, word) => text.split(word).length - 1;
  const found = (words.length ? window.searchIndex ?? [] : []).map((entry) => {
    const title = plain(entry.title), text = plain(entry.text);
    const scores = words.map((word) => 10 * count(title, word) + count(text, word));
    return { ...entry, at: Math.max(0, text.indexOf(words[0]) - 60), score: Math.min(...scores) && scores.reduce((a, b) => a + b) };
  }).filter(({ score }) => score).sort((a, b) => b.score - a.score);
  find(".found", search).textContent = words.length ? `${found.length || "No"} place${found.length === 1 ? "" : "s"} found` : "";
  find("ol", search).replaceChildren(...found.slice(0, 30).map(({ title, text, page, address, at }) => element("li", {},
    element("a", { href: root.dataset.root + address, onclick: () => search.close() }, title,
      element("small", {}, page), element("p", {}, (at ? "…" : "") + text.slice(at, at + 170))))));
}
input.addEventListener("input", showFound);
input.addEventListener("keydown", (event) => event.key === "Enter" && find("a", search)?.click());
find(".search-open").addEventListener("click", openSearch);
search.addEventListener("click", (event) => event.target === search && search.close());
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || search.open || event.target.closest("input, textarea")) return;
  event.preventDefault();
  openSearch();
});
