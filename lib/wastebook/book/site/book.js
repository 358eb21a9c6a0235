// What a page does: theme, menu, search, tabs, copying and unfolding code, figures that open large, where one reads.
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
const toggle = find(".theme");
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
const showTheme = () => toggle.setAttribute("aria-pressed", isDark());
toggle.addEventListener("click", () => {
  const dark = !isDark();
  root.dataset.theme = dark === system.matches ? "" : dark ? "dark" : "light";
  try { localStorage.setItem("wastebook-theme", root.dataset.theme); } catch { /* not allowed: this page only */ }
  showTheme();
});
system.addEventListener("change", showTheme);
showTheme();

// The chapters on a phone.
const menu = find(".menu");
const openMenu = (open) => {
  menu.setAttribute("aria-expanded", open);
  menu.closest(".sidebar").classList.toggle("open", open);
};
menu.addEventListener("click", () => openMenu(menu.getAttribute("aria-expanded") !== "true"));
find("#chapters").addEventListener("click", (event) => event.target.closest("a") && openMenu(false));

// Where one reads.
const places = new Map(findAll(".contents a").map((link) => [decodeURIComponent(link.hash.slice(1)), link]));
const sections = findAll("main section[id]").filter((section) => places.has(section.id));
const showPlace = () => {
  const passed = sections.filter((section) => section.getBoundingClientRect().top < innerHeight * 0.3);
  const atEnd = scrollY > 0 && innerHeight + scrollY >= document.body.scrollHeight - 2;
  const current = atEnd ? sections.at(-1) : passed.at(-1);
  for (const [identifier, link] of places) {
    if (identifier === current?.id) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
};
addEventListener("scroll", () => requestAnimationFrame(showPlace), { passive: true });
showPlace();

// Links to sections, code to copy and to unfold, and boxes that scroll within reach of the keyboard.
for (const heading of findAll("main section[id] > :is(h2, h3, h4)")) {
  const link = element("a", { className: "anchor", href: `#${heading.parentElement.id}` }, "#");
  link.setAttribute("aria-label", `Link to ${heading.textContent.trim()}`);
  heading.append(link);
}
if (navigator.clipboard) {
  for (const code of findAll("div.sourceCode")) {
    const button = element("button", { className: "copy" }, "Copy");
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(find("code", code).textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    code.append(button);
  }
}
const folded = findAll("details.code");
if (folded.length > 1) {
  const button = element("button", { className: "unfold" }, "Show all code");
  button.addEventListener("click", () => {
    const open = !folded.every((details) => details.open);
    for (const details of folded) details.open = open;
    button.textContent = open ? "Hide all code" : "Show all code";
  });
  find("main h1").before(button);
}
const showScrolls = () => {
  for (const box of findAll(":is(main, .picture) :is(.scroll, pre, math[display=block]), main .scroll > div")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
};
addEventListener("resize", showScrolls);
document.addEventListener("toggle", showScrolls, true);
showScrolls();

// Tabs.
for (const tabset of findAll(".panel-tabset")) {
  const tabs = findAll("[role=tab]", tabset).filter((tab) => tab.closest(".panel-tabset") === tabset);
  const select = (chosen) => {
    for (const tab of tabs) {
      tab.setAttribute("aria-selected", tab === chosen);
      tab.tabIndex = tab === chosen ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = tab !== chosen;
    }
    showScrolls();
  };
  for (const [at, tab] of tabs.entries()) {
    tab.addEventListener("click", () => select(tab));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = tabs[(at + step + tabs.length) % tabs.length];
      select(next);
      next.focus();
    });
  }
  if (tabs.length) select(tabs[0]);
}

// Figures that open large.
const picture = find("dialog.picture");
for (const link of findAll("a.lightbox")) {
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const small = find("img", link);
    Object.assign(find("img", picture), { src: link.href, alt: small.alt });
    find("p", picture).textContent = find("figcaption", link.closest("figure") ?? link)?.textContent.trim() ?? "";
    picture.showModal();
    find("img", picture).decode().then(showScrolls);
  });
}
picture.addEventListener("click", (event) => event.target.closest("p") || picture.close());

// Search. The index is a script, so that it also loads from a page opened as a file.
const search = find("dialog.search");
const input = find("input", search);
const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
let loading;
const loadIndex = () => (loading ??= new Promise((resolve, reject) => {
  document.head.append(element("script", { src: `${root.dataset.root}assets/search.js`, onload: resolve, onerror: reject }));
}));
const openSearch = () => {
  if (search.open) return;
  search.showModal();
  input.select();
  loadIndex().then(showFound);
};

const marked = (text, words) => {
  const pattern = new RegExp(`(${words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|")})`, "gi");
  return text.split(pattern).map((part, at) => (at % 2 ? element("mark", {}, part) : part));
};

function showFound() {
  const words = input.value.trim().split(/\s+/).filter(Boolean);
  const keys = words.map(plain);
  const scored = (words.length ? window.searchIndex : []).map((entry) => {
    const title = plain(entry.title), text = plain(entry.text);
    const score = keys.reduce((sum, key) => {
      const hits = title.includes(key) * 10 + Math.min(text.split(key).length - 1, 5);
      return hits ? sum + hits : -Infinity;
    }, 0);
    return { entry, text, score };
  }).filter(({ score }) => score > 0).sort((a, b) => b.score - a.score);
  find(".found", search).textContent = words.length ? `${scored.length || "No"} place${scored.length === 1 ? "" : "s"} found` : "";
  find("ol", search).replaceChildren(...scored.slice(0, 30).map(({ entry, text }) => {
    const first = Math.max(0, Math.min(...keys.map((key) => text.indexOf(key)).filter((at) => at >= 0), text.length) - 60);
    const excerpt = (first ? "…" : "") + entry.text.slice(first, first + 170) + (entry.text.length > first + 170 ? "…" : "");
    const link = element("a", { href: root.dataset.root + entry.address }, ...marked(entry.title, words),
      element("small", {}, entry.page), element("p", {}, ...marked(excerpt, words)));
    link.addEventListener("click", () => search.close());
    return element("li", {}, link);
  }));
}

input.addEventListener("input", () => loadIndex().then(showFound));
find(".search-open").addEventListener("click", openSearch);
search.addEventListener("click", (event) => event.target === search && search.close());
search.addEventListener("keydown", (event) => {
  const links = findAll("a", search);
  const at = links.indexOf(document.activeElement);
  if (event.key === "Enter" && event.target === input) links[0]?.click();
  else if (event.key === "ArrowDown") (links[at + 1] ?? links[0])?.focus();
  else if (event.key === "ArrowUp") (links[at - 1] ?? input).focus();
  else return;
  event.preventDefault();
});
addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, [contenteditable]");
  const asked = (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) || (event.key === "k" && (event.ctrlKey || event.metaKey));
  if (!asked) return;
  event.preventDefault();
  openSearch();
});
