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
  const make = (tag, text = "", attributes = {}) => {
    const element = Object.assign(document.createElement(tag), { textContent: text });
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };

  const load = (name) => new Promise((resolve, reject) => {
    const script = make("script", "", { src: home + name });
    script.onload = resolve;
    script.onerror = () => reject(new Error(`${name} could not be loaded`));
    document.head.append(script);
  });
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

  let session; // a promise: opened once
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
    if (picture.width * picture.height > MOST_PIXELS) throw new Error("it is too large for a browser");
    const canvas = Object.assign(make("canvas"), { width: picture.width, height: picture.height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.fillStyle = "white";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(picture, 0, 0);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    const rgb = new Uint8Array((data.length / 4) * 3);
    for (let from = 0, to = 0; from < data.length; from += 4) {
      rgb[to++] = data[from];
      rgb[to++] = data[from + 1];
      rgb[to++] = data[from + 2];
    }
    return { canvas, rgb };
  };

  // Where the evidence lies, laid over the picture: dark where there is none.
  const shade = (canvas, evidence, rows, columns) => {
    const small = Object.assign(make("canvas"), { width: columns, height: rows });
    const most = Math.max(...evidence, 1e-9);
    const pixels = new ImageData(columns, rows);
    evidence.forEach((value, at) => { pixels.data[4 * at + 3] = 190 * (1 - value / most); });
    small.getContext("2d").putImageData(pixels, 0, 0);
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(small, 0, 0, canvas.width, canvas.height);
  };

  const answer = async (file) => {
    const { canvas, rgb } = await decode(file);
    const photo = new ort.Tensor("uint8", rgb, [canvas.height, canvas.width, 3]);
    const started = performance.now();
    const { probabilities, evidence } = await (await session).run({ photo });
    const milliseconds = Math.round(performance.now() - started);
    const shares = Array.from(probabilities.data);
    const best = shares.indexOf(Math.max(...shares));
    const article = make("article", "", { "data-label": tryIt.model.classes[best] });
    const sure = shares[best] >= tryIt.model.threshold ? "" : "Not sure: perhaps ";
    article.append(make("h2", `${sure}${tryIt.model.classes[best]}, ${Math.round(100 * shares[best])} %`));
    if (evidence) {
      const [, , rows, columns] = evidence.dims;
      shade(canvas, Array.from(evidence.data.slice(best * rows * columns, (best + 1) * rows * columns)), rows, columns);
    }
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${file.name}; bright where the evidence for ${tryIt.model.classes[best]} lies`);
    article.append(canvas);
    const list = make("ul");
    shares.map((share, at) => [share, at]).sort((a, b) => b[0] - a[0]).forEach(([share, at]) => {
      const line = make("li", `${tryIt.model.classes[at]} ${(100 * share).toFixed(1)} %`);
      line.style.setProperty("--share", `${100 * share}%`);
      list.append(line);
    });
    article.append(list, make("p", `${file.name}, answered in ${milliseconds} ms on this device`));
    article.dataset.probabilities = JSON.stringify(shares);
    return article;
  };

  const status = place.querySelector("[role=status]");
  const results = place.querySelector(".results");
  const take = async (files) => {
    if (!files.length) return;
    if (!session) status.textContent = `Loading the model (${tryIt.megabytes} MB, once) …`;
    session ??= open();
    session.catch(() => { session = undefined; });
    let bad = "";
    for (const file of files) {
      try {
        await session;
        status.textContent = `Looking at ${file.name} …`;
        results.prepend(await answer(file));
      } catch (error) {
        bad += ` ${file.name} cannot be read (${error.message}).`;
      }
    }
    status.textContent = `Done.${bad}`;
  };

  place.querySelector(".missing").remove();
  place.querySelector(".note").textContent = tryIt.model.note;
  for (const input of place.querySelectorAll("input[type=file]")) {
    input.addEventListener("change", () => { take([...input.files]); input.value = ""; });
  }
  place.addEventListener("dragover", (event) => event.preventDefault());
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    take([...event.dataTransfer.files]);
  });
  place.querySelector(".ready").hidden = false;
})();
