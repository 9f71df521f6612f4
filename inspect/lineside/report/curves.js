// Moves a line through the curves: what another threshold would have done. Nothing is fetched, nothing is kept.
(function () {
  "use strict";
  var root = document.getElementById("operating");
  if (!root) return;
  var data = JSON.parse(root.getAttribute("data-points"));
  var panel = root.querySelector(".slider");
  var slider = panel.querySelector("input");
  var output = panel.querySelector("output");
  var roc = root.querySelector("[data-kind=roc]");
  var against = root.querySelector("[data-kind=against]");
  var ends = against.getAttribute("data-ends").split(" ").map(Number);
  var box = roc.getAttribute("data-box").split(" ").map(Number);
  var dot = roc.querySelector(".tried");
  var line = against.querySelector(".tried");
  function of(share, n) {
    return Math.round(share * n) + " of " + n + " (" + (100 * share).toFixed(1) + " %)";
  }
  function show() {
    var i = Number(slider.value), t = data.t[i], o = data.o[i], e = data.e[i];
    var x = ends[0] + (t - ends[2]) / (ends[3] - ends[2]) * (ends[1] - ends[0]);
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
    dot.setAttribute("cx", box[0] + o * (box[1] - box[0]));
    dot.setAttribute("cy", box[2] + e * (box[3] - box[2]));
    line.setAttribute("visibility", "visible");
    dot.setAttribute("visibility", "visible");
    output.textContent = "above " + t.toPrecision(4) + ": overkill " + of(o, data.good) + ", escapes " +
      of(e, data.defective) + ". Chosen on these parts, it would be too good on others.";
  }
  panel.hidden = false;
  slider.addEventListener("input", show);
}());
