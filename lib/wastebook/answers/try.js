// The page "Try it": a photo is answered by the book's model within this browser. Nothing is sent anywhere.
// What is large (the engine, the model) lies in scripts of its own, as text, so that a page opened as a file may
// load it as well as one from a host; it is loaded when the first photo is chosen.
// `tryIt` (what there is to load, the classes, the threshold, examples) is written above this by the build.
"use strict";

(() => {
  const place = document.getElementById("try-it");
  if (!tryIt.model) {
    place.querySelector(".reason").textContent = tryIt.reason;
    return;
  }
  const MOST_PIXELS = 60e6; // a canvas of more fails on many phones
  const home = document.currentScript.src.replace(/[^/]*$/, "");
  const { classes, threshold, note } = tryIt.model;
  // Names of files and classes become text, never markup.
  const make = (tag, properties, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };

  const load = (name) => new Promise((resolve, reject) => {
    const onerror = () => reject(new Error(`${name} could not be loaded`));
    document.head.append(make("script", { src: home + name, onload: resolve, onerror }));
  });
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

  const open = async () => {
    await Promise.all(["engine.js", "engine-parts.js", "model.js"].map(load));
    ort.env.wasm.numThreads = 1; // more would need headers that a plain host does not send
    const module = new Blob([bytes(tryIt.parts.module)], { type: "text/javascript" });
    ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(module) };
    ort.env.wasm.wasmBinary = bytes(tryIt.parts.binary);
    const extra = { session: { disable_quant_qdq: "1" } };
    return ort.InferenceSession.create(bytes(tryIt.parts.model), { executionProviders: ["wasm"], extra });
  };

  // The photo upright, transparent parts white, as the library decodes it: a canvas and its RGB values.
  const decode = async (file) => {
    const picture = await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
    const { width, height } = picture;
    if (width * height > MOST_PIXELS) throw new Error("it is too large for a browser");
    const canvas = make("canvas", { width, height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.fillStyle = "white";
    context.fillRect(0, 0, width, height);
    context.drawImage(picture, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    const rgb = new Uint8Array(3 * width * height);
    for (let to = 0; to < rgb.length; to++) rgb[to] = data[to + Math.floor(to / 3)];
    return { canvas, photo: new ort.Tensor("uint8", rgb, [height, width, 3]) };
  };

  // Where the evidence for a class lies, a pixel per field: the page stretches it over the photo.
  const heat = ({ data, dims: [, , rows, columns] }, at) => {
    const fields = data.slice(at * rows * columns, (at + 1) * rows * columns), most = Math.max(...fields, 1e-9);
    const canvas = make("canvas", { width: columns, height: rows, className: "heat" }), pixels = new ImageData(columns, rows);
    fields.forEach((value, field) => pixels.data.set([255, 220 * (1 - value / most), 0, 255 * value / most], 4 * field));
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    return canvas;
  };

  // The same rule as the library's `Predictor.describe`.
  const tell = (shares, order) => {
    const sure = shares[order[0]] >= threshold;
    const told = order.slice(0, sure ? 1 : 2).map((at) => `${classes[at]} (${Math.round(100 * shares[at])} %)`).join(", ");
    return sure ? told : `Perhaps ${told}`;
  };

  const answer = async (file, session) => {
    const { canvas, photo } = await decode(file);
    const started = performance.now();
    const { probabilities, evidence } = await session.run({ photo });
    const milliseconds = Math.round(performance.now() - started);
    const shares = Array.from(probabilities.data);
    const order = [...shares.keys()].sort((a, b) => shares[b] - shares[a]);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", file.name);
    const seen = make("div", { className: "seen" }, canvas);
    if (evidence) seen.append(heat(evidence, order[0]));
    const list = make("ul", { className: "shares" });
    for (const at of order) {
      list.append(make("li", {}, `${classes[at]} ${(100 * shares[at]).toFixed(1)} %`));
      list.lastChild.style.setProperty("--share", `${100 * shares[at]}%`);
    }
    const told = `${file.truth ? `In truth: ${file.truth}` : file.name}; answered in ${milliseconds} ms on this device.`;
    const article = make("article", {}, make("h2", {}, tell(shares, order)), seen, make("p", {}, told), list);
    Object.assign(article.dataset, { label: classes[order[0]], probabilities: JSON.stringify(shares) });
    place.querySelector(".results").append(article);
    return article;
  };

  const status = place.querySelector("[role=status]");
  let session, last; // promises: the model is opened once, and looks at one photo after the other
  const take = async (files) => {
    if (!session) status.textContent = `Loading the model (${tryIt.megabytes} MB, once) …`;
    session ??= open();
    session.catch(() => { session = undefined; });
    let bad = "", first;
    for (const file of files) {
      try {
        const opened = await session;
        status.textContent = `Looking at ${file.name} …`;
        const article = await answer(file, opened);
        first ??= article;
      } catch (error) {
        bad += ` ${file.name} cannot be read (${error.message}).`;
      }
    }
    status.textContent = bad;
    first?.scrollIntoView({ block: "nearest" });
  };
  const queue = (files) => { last = Promise.resolve(last).then(() => take(files)); };

  place.querySelector(".missing").remove();
  place.querySelector(".note").textContent = note;
  place.querySelector(".size").textContent = `The first answer brings the model and its engine here, ${tryIt.megabytes} MB; all after it come at once.`;
  for (const [at, [truth, picture]] of tryIt.examples.entries()) {
    const image = make("img", { src: `data:image/webp;base64,${picture}`, alt: `A photo of ${truth}` });
    const file = Object.assign(new File([bytes(picture)], `example ${at + 1}`), { truth });
    place.querySelector(".pictures").append(make("button", { type: "button", onclick: () => queue([file]) }, image));
  }
  for (const input of place.querySelectorAll("input[type=file]")) {
    input.addEventListener("change", () => { queue([...input.files]); input.value = ""; });
  }
  place.addEventListener("dragover", (event) => event.preventDefault());
  place.addEventListener("drop", (event) => { event.preventDefault(); queue([...event.dataTransfer.files]); });
  for (const part of place.querySelectorAll("[hidden]")) part.hidden = false;
})();
