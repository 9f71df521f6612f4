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
  carried.items.add(new File([content], name, { type: "image/png" }));
  const state = await act(() => at("drop").dispatchEvent(new DragEvent("drop", { dataTransfer: carried, cancelable: true })));
  const heat = at("heat");
  const alpha = heat.getContext("2d").getImageData(0, 0, heat.width, heat.height).data.filter((_, i) => i % 4 === 3);
  return {
    state,
    verdict: at("verdict").textContent,
    score: at("score").textContent,
    reasons: Array.from(at("reasons").children, (item) => item.textContent),
    image_wh: [at("image").width, at("image").height],
    heat_hw: [heat.height, heat.width],
    hot: Array.from(alpha, (value) => value > 0),
  };
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
  report.spoilt = (await drop("no.png", new Uint8Array([1, 2, 3]))).state;
  report.requests = performance.getEntriesByType("resource").map((entry) => entry.name);
  return report;
}

const report = await seen().catch((error) => ({ loaded: `error: ${error.message}` }));
await fetch("report", { method: "POST", body: JSON.stringify(report) });
