"use strict";
// The maps of an occlusion sweep: which map, how much of it, and the values under the pointer or at the sliders' position.
(() => {
  const root = document.querySelector("[data-occlusion]"), source = document.getElementById("occlusion-values");
  if (!root || !source) return;
  const values = JSON.parse(source.textContent);
  const find = (name) => root.querySelector(`[data-${name}]`);
  const overlay = root.querySelector(".overlay"), square = find("square"), output = find("value");
  const row = find("row"), column = find("column"), blend = find("blend");
  const number = (value) => value === null ? "not a number" : Number(value.toPrecision(3)).toString();

  function show() {
    const y = Number(row.value), x = Number(column.value);
    square.setAttribute("x", values.starts[x]);
    square.setAttribute("y", values.starts[y]);
    const probability = values.probability[y][x];
    const share = probability === null ? "not a number" : `${(100 * probability).toFixed(1)} %`;
    output.textContent = `Square at row ${values.starts[y]}, column ${values.starts[x]}: activation ${number(values.activation[y][x])}, ` +
      `probability ${share}, answered as ${values.names[values.classes[y][x]]}.`;
  }
  function choose() {
    const name = root.querySelector("input[name=map]:checked").value;
    for (const map of root.querySelectorAll("[data-map]")) {
      map.setAttribute("visibility", map.dataset.map === name ? "visible" : "hidden");
      map.setAttribute("opacity", blend.value / 100);
    }
    find("scale").hidden = name === "classes";
    find("legend").hidden = name !== "classes";
  }
  // The position whose square has its centre nearest to a place, in pixels of the network's input.
  function nearest(place) {
    let best = 0;
    values.starts.forEach((start, index) => {
      const distance = (at) => Math.abs(values.starts[at] + values.patch / 2 - place);
      if (distance(index) < distance(best)) best = index;
    });
    return best;
  }
  overlay.addEventListener("pointermove", (event) => {
    const frame = overlay.getBoundingClientRect();
    column.value = nearest((event.clientX - frame.left) / frame.width * values.size);
    row.value = nearest((event.clientY - frame.top) / frame.height * values.size);
    show();
  });
  for (const slider of [row, column]) slider.addEventListener("input", show);
  blend.addEventListener("input", choose);
  root.addEventListener("change", choose);
  choose();
  show();
})();
