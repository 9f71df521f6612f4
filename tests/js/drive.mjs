// The hand of a test in the page: checks the vectors, drops every vector's picture, and reports what the page shows.

const at = (id) => document.getElementById(id);

async function until(done) {
  while (!done()) await new Promise((resolve) => setTimeout(resolve, 10));
}

const idle = () => until(() => /^(ready|error)/.test(at("state").textContent));

async function act(action) {
  action();
  await until(() => at("state").textContent === "working …");
  await idle();
  return at("state").textContent;
}

async function drop(name, content) {
  const carried = new DataTransfer();
  if (name) carried.items.add(new File([content], name, { type: "image/png" }));
  else carried.setData("text/plain", content);
  const state = await act(() => at("drop").dispatchEvent(new DragEvent("drop", { dataTransfer: carried, cancelable: true })));
  const heat = at("heat");
  const cells = heat.width ? heat.getContext("2d").getImageData(0, 0, heat.width, heat.height).data : [];
  const alpha = Array.from(cells).filter((_, i) => i % 4 === 3);
  return {
    state,
    verdict: at("verdict").textContent,
    score: at("score").textContent,
    reasons: Array.from(at("reasons").children, (item) => item.textContent),
    image_wh: [at("image").width, at("image").height],
    heat_hw: [heat.height, heat.width],
    hot: alpha.map((value) => value > 0),
  };
}

async function seeThrough() {
  const canvas = new OffscreenCanvas(20, 12);
  canvas.getContext("2d").fillRect(0, 0, 10, 12);
  return (await canvas.convertToBlob()).arrayBuffer();
}

async function seen() {
  await idle();
  const report = { loaded: at("state").textContent, part: at("part").textContent };
  if (report.loaded !== "ready") return report;
  report.checked = await act(() => at("check").click());
  report.vectors = at("vectors").textContent;
  report.drops = {};
  if (report.checked !== "ready") return report;
  const listed = await (await fetch("model/vectors/vectors.json")).json();
  for (const { name, png } of listed.vectors) {
    report.drops[name] = await drop(png, await (await fetch(`model/vectors/${png}`)).arrayBuffer());
  }
  report.spoilt = {};
  const { name, png } = listed.vectors[0];
  const good = await (await fetch(`model/vectors/${png}`)).arrayBuffer();
  const spoilt = { undecodable: ["no.png", new Uint8Array([1, 2, 3])], text: [null, "a word"], alpha: ["a.png", await seeThrough()] };
  for (const [kind, dropped] of Object.entries(spoilt)) {
    report.spoilt[kind] = { before: (await drop(name, good)).verdict, after: await drop(...dropped) };
  }
  report.requests = performance.getEntriesByType("resource").map((entry) => entry.name);
  return report;
}

const report = await seen().catch((error) => ({ loaded: `error: ${error.message}` }));
await fetch("report", { method: "POST", body: JSON.stringify(report) });
