// Judging frames with a lineside bundle in JavaScript: the same code for onnxruntime-node and onnxruntime-web.
//
// The graph is fed the frame and nothing else: onnxruntime-node ignores an override of the thresholds, and
// onnxruntime-web refuses it. With other thresholds compare `score` yourself.

export const VERDICTS = ["OK", "NG", "REVIEW", "NO_CALL"];
export const OUTPUTS = [
  "score", "verdict", "anomaly_map", "pose", "transform", "gate", "quality", "defect_class", "class_prob",
  "class_p_value", "embedding",
];
const CONTRACT_MAJOR = "7";
const EXACT = new Set(["verdict", "gate", "defect_class"]);
const MAP_TOLERANCE_REL = 1e-2; // of the map's largest value, as `lineside verify` has it;
const MAP_FACTOR = 5; // or of the score's tolerance, where that is more

/**
 * Read a bundle's files only as its SHA256SUMS lists them. `read(name)` gives a file of the bundle as Uint8Array, and so
 * does what is returned; it throws where a file is not listed, lies elsewhere, or was altered. Whoever can write the
 * bundle can write its sums as well: a signature is checked by `lineside verify --key`.
 */
export async function listedFiles(read) {
  const { subtle } = globalThis.crypto;
  if (!subtle) throw new Error("no hashes can be computed here; a page must come by https or from this machine");
  const lines = new TextDecoder().decode(await read("SHA256SUMS")).trimEnd().split("\n");
  const sums = new Map(lines.map((line) => [line.slice(66), line.slice(0, 64)]));
  return async (name) => {
    if (!sums.has(name) || name.split("/").includes("..") || /^\/|[:\\]/.test(name)) {
      throw new Error(`${name}: no file that SHA256SUMS lists inside the bundle`);
    }
    const content = await read(name);
    const digest = new Uint8Array(await subtle.digest("SHA-256", content));
    if (Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("") !== sums.get(name)) {
      throw new Error(`${name}: altered after the bundle was written`);
    }
    return content;
  };
}

/** A bundle, ready to judge. `model` is model.onnx (Uint8Array), `contractText` the text of contract.json. */
export async function openBundle(ort, model, contractText) {
  const contract = JSON.parse(contractText);
  const version = String(contract.contract_version);
  if (version.split(".")[0] !== CONTRACT_MAJOR) {
    throw new Error(`contract.json: contract_version is ${version}, this code reads ${CONTRACT_MAJOR}.x`);
  }
  const session = await ort.InferenceSession.create(model, { intraOpNumThreads: 1, logSeverityLevel: 3 });
  const missing = OUTPUTS.filter((name) => !session.outputNames.includes(name));
  if (missing.length) throw new Error(`model.onnx: the graph lacks ${missing.join(", ")}`);
  return { ort, session, contract };
}

/**
 * Run one frame. `samples`: Uint8Array of height * width * channels, row by row, red first; channels as in
 * `contract.frame.channels`. Returns for each output { dims, values }: dims without the batch, values as numbers.
 */
export async function runFrame(bundle, samples, [height, width, channels]) {
  const wanted = bundle.contract.frame.channels;
  if (channels !== wanted || samples.length !== height * width * channels) {
    throw new Error(`a frame must hold height * width * ${wanted} samples, found ${samples.length} for ` +
      `${height} * ${width} * ${channels}`);
  }
  const frame = new bundle.ort.Tensor("uint8", samples, [1, height, width, channels]);
  const outputs = await bundle.session.run({ frame }, OUTPUTS);
  return Object.fromEntries(OUTPUTS.map((name) => {
    const { dims, data } = outputs[name];
    return [name, { dims: dims.slice(1), values: Array.from(data, Number) }]; // int64 comes as BigInt
  }));
}

/** Verdict, score, reasons (sentences) and defect class of one frame's outputs. */
export function readResult({ contract }, outputs) {
  const verdict = VERDICTS[outputs.verdict.values[0]];
  const told = outputs.defect_class.values[0];
  return {
    verdict,
    score: outputs.score.values[0],
    reasons: verdict === "NG" ? found(contract, outputs.quality.values) : gateWords(contract, outputs.gate.values[0]),
    defectClass: told >= 0 ? contract.class_names[told] : told === -2 ? "unknown" : null,
  };
}

function gateWords(contract, gate) {
  return contract.gate_words.filter((_, bit) => (BigInt(gate) >> BigInt(bit)) & 1n);
}

/** Words of the findings, reasons for NG that no map shows: all numbers of each lie beyond their limits. */
function found(contract, quality) {
  const beyond = ({ quality: name, lower, upper }) => {
    const value = quality[contract.quality_names.indexOf(name)];
    return (lower !== null && value < lower) || (upper !== null && value > upper);
  };
  return contract.findings.filter((finding) => finding.limits.every(beyond)).map((finding) => finding.words);
}

/**
 * Prove this machine and this port on the bundle's vectors. `read(name)` gives a file of the bundle as Uint8Array.
 * Returns one entry for each vector: { name, verdict, score, scoreDifferenceRel }. Throws at the first output that
 * differs.
 */
export async function checkVectors(bundle, read) {
  const document = JSON.parse(new TextDecoder().decode(await read("vectors/vectors.json")));
  if (!document.vectors.length) throw new Error("vectors/vectors.json: holds no vectors");
  const checked = [];
  for (const vector of document.vectors) {
    const outputs = await runFrame(bundle, await read(`vectors/${vector.frame}`), vector.frame_shape_hwc);
    const map = await read(`vectors/${vector.anomaly_map}`);
    const cells = new DataView(map.buffer, map.byteOffset, map.byteLength);
    const wantedMap = Array.from({ length: map.byteLength / 4 }, (_, i) => cells.getFloat32(4 * i, true));
    for (const name of OUTPUTS) {
      const wanted = name === "anomaly_map"
        ? { dims: vector.anomaly_map_shape_hw, values: wantedMap }
        : { dims: shapeOf(vector.outputs[name]), values: [vector.outputs[name]].flat(Infinity) };
      const difference = differs(name, outputs[name], wanted, bundle.contract.score_tolerance_rel);
      if (difference) throw new Error(`vector ${vector.name}: output ${name} ${difference}`);
    }
    const { verdict, score } = readResult(bundle, outputs);
    const expected = vector.outputs.score;
    checked.push({ name: vector.name, verdict, score, scoreDifferenceRel: Math.abs(score - expected) / Math.abs(expected) });
  }
  return checked;
}

function shapeOf(nested) {
  return Array.isArray(nested) ? [nested.length, ...(nested.length ? shapeOf(nested[0]) : [])] : [];
}

function differs(name, found, wanted, scoreToleranceRel) {
  if (String(found.dims) !== String(wanted.dims) || found.values.length !== wanted.values.length) {
    return `has the shape [${found.dims}], recorded was [${wanted.dims}]`;
  }
  const largest = wanted.values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);
  const limit = EXACT.has(name) ? 0 : largest * (name === "anomaly_map" ? Math.max(MAP_TOLERANCE_REL, MAP_FACTOR * scoreToleranceRel) : scoreToleranceRel);
  const at = found.values.findIndex((value, i) => !(Math.abs(value - wanted.values[i]) <= limit)); // NaN differs too
  return at < 0 ? null : `is ${found.values[at]} at ${at}, recorded was ${wanted.values[at]}`;
}
