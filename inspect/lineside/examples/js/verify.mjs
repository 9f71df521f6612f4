// Prove a bundle under Node.js: node verify.mjs models/caps
//
// Run it where `npm install onnxruntime-node` was run. Prints one JSON line for each vector; exit code 1 when one differs,
// or a file is not as SHA256SUMS lists it.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { argv, cwd, env, exit } from "node:process";

import { checkVectors, listedFiles, openBundle } from "./lineside.mjs";

env.ORT_DISABLE_TELEMETRY ??= "1"; // before onnxruntime is loaded
const ort = createRequire(join(cwd(), "package.json"))("onnxruntime-node");

const folder = argv[2];
if (!folder) {
  console.error("usage: node verify.mjs MODEL, where MODEL is a bundle folder");
  exit(2);
}
try {
  const read = await listedFiles(async (name) => new Uint8Array(await readFile(join(folder, name))));
  const contract = new TextDecoder().decode(await read("contract.json"));
  const bundle = await openBundle(ort, await read("model.onnx"), contract);
  for (const vector of await checkVectors(bundle, read)) console.log(JSON.stringify(vector));
} catch (error) {
  console.error(`${folder}: ${error.message}`);
  exit(1);
}
