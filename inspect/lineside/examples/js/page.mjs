// The page: an image dropped on it is judged by the bundle in model/, here in the browser; nothing is sent anywhere.

import * as ort from "./ort/ort.wasm.min.mjs";
import { checkVectors, listedFiles, openBundle, readResult, runFrame } from "./lineside.mjs";

ort.env.wasm.wasmPaths = new URL("ort/", document.baseURI).href;
ort.env.wasm.numThreads = 1; // more need the headers of a cross-origin isolated page

const at = (id) => document.getElementById(id);

async function fetched(name) {
  const answer = await fetch(`model/${name}`);
  if (!answer.ok) throw new Error(`model/${name}: ${answer.status} ${answer.statusText}`);
  return new Uint8Array(await answer.arrayBuffer());
}

/** Run what a user asked for, one thing at a time, and show what goes wrong. */
async function shown(task) {
  at("state").textContent = "working …";
  try {
    await task();
    at("state").textContent = "ready";
  } catch (error) {
    at("state").textContent = `error: ${error.message}`;
  }
}

/** Leave nothing of an earlier picture beside a new one. */
function clear() {
  for (const id of ["verdict", "score", "reasons"]) at(id).replaceChildren();
  for (const id of ["image", "heat"]) [at(id).width, at(id).height] = [0, 0];
}

async function decode(file) {
  if (!file) throw new Error("no file; drop or choose an image file");
  try {
    return await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    throw new Error(`${file.name}: no image that this browser can read`);
  }
}

/** The samples of an image as the graph takes them: rows * columns * channels, red first. */
function samplesOf(bitmap, channels) {
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data;
  const samples = new Uint8Array(width * height * channels);
  for (let pixel = 0; pixel < width * height; pixel++) {
    if (rgba[4 * pixel + 3] !== 255) throw new Error("the image has see-through pixels; save it without alpha");
    if (channels === 1 && (rgba[4 * pixel] !== rgba[4 * pixel + 1] || rgba[4 * pixel] !== rgba[4 * pixel + 2])) {
      throw new Error("a colour image, but this model takes grey ones");
    }
    for (let c = 0; c < channels; c++) samples[channels * pixel + c] = rgba[4 * pixel + c];
  }
  return { samples, shape: [height, width, channels] };
}

/** Lay the anomaly map over the image: red where it is above the contract's map_threshold, the more the higher. */
function drawHeat({ dims: [rows, columns], values }, limit) {
  const canvas = at("heat");
  [canvas.width, canvas.height] = [columns, rows];
  const picture = new ImageData(columns, rows);
  values.forEach((value, cell) => {
    const heat = value > limit ? Math.min(255, 80 + 175 * (value / limit - 1)) : 0;
    picture.data.set([255, 0, 0, heat], 4 * cell);
  });
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

function drawImage(bitmap) {
  const canvas = at("image");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
}

async function judge(bundle, file) {
  clear();
  if (bundle.contract.frame.bit_depth > 8) throw new Error("this model takes frames of more than 8 bits; a browser has 8");
  const bitmap = await decode(file);
  const { samples, shape } = samplesOf(bitmap, bundle.contract.frame.channels);
  const outputs = await runFrame(bundle, samples, shape);
  const result = readResult(bundle, outputs);
  drawImage(bitmap);
  at("verdict").textContent = result.verdict;
  at("score").textContent = `score ${result.score}, limit ${bundle.contract.threshold_ng.value}`;
  at("reasons").replaceChildren(...result.reasons.map((words) => {
    const item = document.createElement("li");
    item.textContent = words;
    return item;
  }));
  drawHeat(outputs.anomaly_map, bundle.contract.map_threshold);
}

await shown(async () => {
  const read = await listedFiles(fetched);
  const text = new TextDecoder().decode(await read("contract.json"));
  const bundle = await openBundle(ort, await read("model.onnx"), text);
  at("part").textContent = bundle.contract.part;
  at("check").disabled = false;
  at("check").addEventListener("click", () => shown(async () => {
    at("vectors").textContent = "";
    at("vectors").textContent = JSON.stringify(await checkVectors(bundle, read), null, 1);
  }));
  at("file").addEventListener("change", (event) => shown(() => judge(bundle, event.target.files[0])));
  at("drop").addEventListener("dragover", (event) => event.preventDefault());
  at("drop").addEventListener("drop", (event) => {
    event.preventDefault();
    shown(() => judge(bundle, event.dataTransfer.files[0]));
  });
});
