// The page "The photos": those of the run that fit what is chosen, and one of them large with every model's answer.
// What is chosen stands in the address, so that a link leads to it.
// `gallery` (photos and answers of each data set, and why others are not shown) is written above this by the build.
"use strict";

(() => {
  const place = document.getElementById("photos");
  const find = (selector) => place.querySelector(selector);
  const home = document.currentScript.src.replace(/[^/]*$/, "");
  // Names of files and classes become text, never markup.
  const make = (tag, properties, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  find(".note").textContent = gallery.notes.join(" ");
  if (!gallery.sets.length) return;
  find(".missing").remove();
  find(".ready").hidden = false;

  const dialog = find("dialog"), fields = find("form").elements, [modelField, ...others] = fields;
  const models = new Map();
  for (const set of gallery.sets) {
    modelField.append(make("optgroup", { label: set.title }, ...set.models.map((model) => {
      for (const answer of model.answers) answer.photo = set.photos[answer.photo];
      const value = models.has(model.id) ? `${set.title}/${model.id}` : model.id;
      models.set(value, Object.assign(model, { set }));
      return make("option", { value }, model.name);
    })));
    for (const field of [fields.label, fields.answer]) {
      field.append(make("optgroup", { label: set.title }, ...set.classes.map((value) => make("option", { value }, value))));
    }
  }
  const isWrong = ({ photo, predicted }) => predicted !== photo.label;
  const tell = ({ predicted, sure }) => `${predicted} ${Math.round(100 * sure)}\u202f%`;

  // What is chosen, from the address and into it; the first choice of each field is the usual one, and is left out.
  let model, found = [], at = 0;
  const read = () => {
    const asked = new URLSearchParams(location.hash.slice(1));
    modelField.value = models.has(asked.get("model")) ? asked.get("model") : [...models.keys()][0];
    for (const field of others) {
      field.value = asked.get(field.name) ?? "";
      if (field.selectedIndex < 0) field.selectedIndex = 0;
    }
    show();
    const named = found.findIndex(({ photo }) => photo.path === asked.get("photo"));
    if (named >= 0) open(named);
  };
  const write = (photo = "") => {
    const chosen = [...fields, { name: "photo", value: photo }].filter(({ value }) => value);
    history.replaceState(null, "", `#${new URLSearchParams(chosen.map(({ name, value }) => [name, value]))}`);
  };

  // The photos that fit, each once, with the first of its answers that does; copies stand side by side.
  const show = () => {
    model = models.get(modelField.value);
    const [label, answer, verdict, copies, sort] = others.map(({ value }) => value);
    const fits = (each) => (!label || each.photo.label === label) && (!answer || each.predicted === answer)
      && (!verdict || isWrong(each) === (verdict === "wrong")) && (!copies || each.photo.group);
    const order = (a, b) => (copies && a.photo.group - b.photo.group) || (sort ? b.sure - a.sure : a.sure - b.sure);
    const shown = new Set(), all = new Set(model.answers.map(({ photo }) => photo)).size.toLocaleString("en");
    found = model.answers.filter(fits).sort(order).filter(({ photo }) => !shown.has(photo) && shown.add(photo));
    const ordered = found.length > 1 && !copies ? `, ${fields.sort.selectedOptions[0].text}` : "";
    find("[role=status]").textContent = `${(found.length || "None").toLocaleString("en")} of ${all} photo${all === "1" ? "" : "s"}${ordered}`;
    find(".tiles").replaceChildren(...found.map((each, number) => make("li", {}, make("button",
      { type: "button", className: isWrong(each) ? "wrong" : "", onclick: () => open(number) },
      make("img", { loading: "lazy", alt: "", src: home + each.photo.file }),
      isWrong(each) ? `${each.photo.label} as ${tell(each)}` : tell(each)))));
  };

  // One photo, large, with what each model of its data set answered, the chosen one first.
  const open = (number) => {
    at = (number + found.length) % found.length;
    const { photo } = found[at], { set } = model, same = set.photos.filter(({ group }) => group === photo.group).length;
    const answers = [model, ...set.models.filter((each) => each !== model)].flatMap(({ name, answers }) => answers
      .filter((each) => each.photo === photo).map((each) => {
        const line = make("li", { className: isWrong(each) ? "wrong" : "" }, make("b", {}, tell(each)), ` ${name}`);
        line.style.setProperty("--share", `${100 * each.sure}%`);
        return line;
      }));
    const copies = new URLSearchParams({ model: modelField.value, copies: "with", photo: photo.path });
    find(".one").replaceChildren(make("img", { src: home + photo.file, alt: `A photo of ${photo.label}.` }), make("div", {},
      make("h2", {}, photo.label), make("p", {}, photo.path), make("ul", { className: "shares" }, ...answers),
      photo.group ? make("p", {}, make("a", { href: `#${copies}` }, `${same} photos show the same`)) : ""));
    write(photo.path);
    if (!dialog.open) dialog.showModal();
  };
  const steps = { previous: -1, next: 1, ArrowLeft: -1, ArrowRight: 1 };
  dialog.addEventListener("click", ({ target }) => {
    if (target.name in steps) open(at + steps[target.name]);
    else if (target === dialog || target.name === "close") dialog.close();
  });
  dialog.addEventListener("keydown", ({ key }) => key in steps && open(at + steps[key]));
  dialog.addEventListener("close", () => write());

  place.addEventListener("change", () => { write(); show(); });
  addEventListener("hashchange", read);
  read();
})();
