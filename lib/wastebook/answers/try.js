// The page "Try it": a photo is answered by the book's model within this browser. Nothing is sent anywhere.
// What is large (the engine, the model) lies in scripts of its own, as text, so that a page opened as a file may
// load it as well as one from a host; it is loaded when the first photo is chosen.
// `tryIt` (what there is to load, the classes, the threshold) is written above this by the build.
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
  const make = (tag, text = "", properties = {}) =>
    Object.assign(document.createElement(tag), { textContent: text }, properties);

  const load = (name) => new Promise((resolve, reject) => {
    const onerror = () => reject(new Error(`${name} could not be loaded`));
    document.head.append(make("script", "", { src: home + name, onload: resolve, onerror }));
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
    const canvas = make("canvas", "", { width, height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.fillStyle = "white";
    context.fillRect(0, 0, width, height);
    context.drawImage(picture, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    const rgb = new Uint8Array(3 * width * height);
    for (let to = 0; to < rgb.length; to++) rgb[to] = data[to + Math.floor(to / 3)];
    return { canvas, photo: new ort.Tensor("uint8", rgb, [height, width, 3]) };
  };

  // Where the evidence lies, laid over the picture: dark where there is none.
  const shade = (canvas, evidence, rows, columns) => {
    const small = make("canvas", "", { width: columns, height: rows });
    const most = Math.max(...evidence, 1e-9);
    const pixels = new ImageData(columns, rows);
    evidence.forEach((value, at) => { pixels.data[4 * at + 3] = 190 * (1 - value / most); });
    small.getContext("2d").putImageData(pixels, 0, 0);
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(small, 0, 0, canvas.width, canvas.height);
  };

  const answer = async (file, session) => {
    const { canvas, photo } = await decode(file);
    const started = performance.now();
    const { probabilities, evidence } = await session.run({ photo });
    const milliseconds = Math.round(performance.now() - started);
    const shares = Array.from(probabilities.data);
    const order = [...shares.keys()].sort((a, b) => shares[b] - shares[a]);
    const [best] = order;
    if (evidence) {
      const [, , rows, columns] = evidence.dims;
      shade(canvas, evidence.data.slice(best * rows * columns, (best + 1) * rows * columns), rows, columns);
    }
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${file.name}; bright where the evidence for ${classes[best]} lies`);
    const list = make("ul");
    for (const at of order) {
      list.append(make("li", `${classes[at]} ${(100 * shares[at]).toFixed(1)} %`));
      list.lastChild.style.setProperty("--share", `${100 * shares[at]}%`);
    }
    const sure = shares[best] >= threshold ? "" : "Not sure: perhaps ";
    const heading = make("h2", `${sure}${classes[best]}, ${Math.round(100 * shares[best])} %`);
    const article = make("article");
    article.append(heading, canvas, list, make("p", `${file.name}, answered in ${milliseconds} ms on this device`));
    Object.assign(article.dataset, { label: classes[best], probabilities: JSON.stringify(shares) });
    return article;
  };

  const status = place.querySelector("[role=status]");
  let session; // a promise: opened once
  const take = async (files) => {
    if (!files.length) return;
    if (!session) status.textContent = `Loading the model (${tryIt.megabytes} MB, once) …`;
    session ??= open();
    session.catch(() => { session = undefined; });
    let bad = "";
    for (const file of files) {
      try {
        const opened = await session;
        status.textContent = `Looking at ${file.name} …`;
        place.querySelector(".results").prepend(await answer(file, opened));
      } catch (error) {
        bad += ` ${file.name} cannot be read (${error.message}).`;
      }
    }
    status.textContent = `Done.${bad}`;
  };

  place.querySelector(".missing").remove();
  place.querySelector(".note").textContent = note;
  for (const input of place.querySelectorAll("input[type=file]")) {
    input.addEventListener("change", () => { take([...input.files]); input.value = ""; });
  }
  place.addEventListener("dragover", (event) => event.preventDefault());
  place.addEventListener("drop", (event) => { event.preventDefault(); take([...event.dataTransfer.files]); });
  place.querySelector(".ready").hidden = false;
})();
