/**
 * What the HTML report does in a browser: draws the map at the chosen moment, plays it, and moves the plots' line along.
 * Text of a script without imports; its data are in the element `run`.
 */
export const PAGE_SCRIPT = `
"use strict";
(() => {
  const run = JSON.parse(document.getElementById("run").textContent);
  const frames = [];
  let carried = {};
  for (const packed of run.frames) {
    carried = { ...carried, ...packed };
    frames.push(carried);
  }
  const plots = [...document.querySelectorAll(".plot")].map((figure, i) => ({
    cursor: figure.querySelector(".cursor"), output: figure.querySelector("output"), ...run.plots[i],
  }));
  const byId = (id) => document.getElementById(id);
  const [canvas, slider, play, speed, clock, tip] = ["map", "at", "play", "speed", "clock", "tip"].map(byId);
  const items = [...document.querySelectorAll(".log li")];
  const { left, right, width } = run.layout;
  const time = (ms) => ms < 1000 ? Math.round(ms) + " ms" : ms < 120000 ? (ms / 1000).toFixed(1) + " s"
    : ms < 7200000 ? (ms / 60000).toFixed(1) + " min" : (ms / 3600000).toFixed(2) + " h";
  const lastAt = (list, ms) => {
    let low = 0, high = list.length;
    while (low < high) { const mid = (low + high) >> 1; if (list[mid] <= ms) low = mid + 1; else high = mid; }
    return low - 1;
  };
  let now = run.end_ms;

  function movePlots() {
    const x = left + (width - left - right) * now / Math.max(1, run.end_ms);
    for (const { cursor, output, texts } of plots) {
      cursor.setAttribute("x1", x);
      cursor.setAttribute("x2", x);
      cursor.setAttribute("visibility", now < run.end_ms ? "visible" : "hidden");
      const i = lastAt(run.at_ms, now);
      if (texts && i >= 0) output.textContent = texts[i];
    }
    let current = -1;
    items.forEach((item, i) => { if (Number(item.dataset.at) <= now) current = i; });
    items.forEach((item, i) => item.classList.toggle("now", i === current));
    const item = items[current];
    if (item && playing) item.parentElement.parentElement.scrollTop = item.offsetTop - 200;
  }

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const channels = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  let box;
  function bounds() {
    box = { x0: Infinity, x1: -Infinity, y0: Infinity, y1: -Infinity };
    for (const frame of frames) {
      if (box.done === frame.x && box.doneY === frame.y) continue;
      frame.x.forEach((x, i) => {
        box.x0 = Math.min(box.x0, x); box.x1 = Math.max(box.x1, x);
        box.y0 = Math.min(box.y0, frame.y[i]); box.y1 = Math.max(box.y1, frame.y[i]);
      });
      box.done = frame.x; box.doneY = frame.y;
    }
  }
  let places = [];
  function draw() {
    const frame = frames[Math.max(0, lastAt(run.frame_at_ms, now))];
    if (!frame) return;
    const scale = window.devicePixelRatio || 1;
    const [w, h] = [canvas.clientWidth, canvas.clientHeight];
    if (canvas.width !== Math.round(w * scale) || canvas.height !== Math.round(h * scale)) {
      canvas.width = Math.round(w * scale);
      canvas.height = Math.round(h * scale);
    }
    const ctx = canvas.getContext("2d");
    ctx.setTransform(scale, 0, 0, scale, 0, 0);
    ctx.clearRect(0, 0, w, h);
    const pad = 36;
    const fit = Math.min((w - 2 * pad) / Math.max(1e-9, box.x1 - box.x0), (h - 2 * pad) / Math.max(1e-9, box.y1 - box.y0));
    const k = Number.isFinite(fit) && fit < 1e8 ? fit : 1;
    const [mx, my] = [(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2];
    places = frame.x.map((x, i) => [w / 2 + (x - mx) * k, h / 2 - (frame.y[i] - my) * k]);
    const size = Math.max(2.5, Math.min(9, 90 / Math.sqrt(places.length)));
    const strokes = (flat, style, lineWidth) => {
      ctx.strokeStyle = style;
      ctx.lineWidth = lineWidth;
      ctx.beginPath();
      for (let i = 0; i + 1 < flat.length; i += 2) {
        const [a, b] = [places[flat[i]], places[flat[i + 1]]];
        if (!a || !b) continue;
        ctx.moveTo(a[0], a[1]);
        ctx.lineTo(b[0], b[1]);
      }
      ctx.stroke();
    };
    strokes(frame.links, colour("--link"), places.length > 60 ? 0.8 : 1.2);
    strokes(frame.sends, colour("--hot"), 2);
    const most = frame.stored.reduce((a, b) => Math.max(a, b), 1);
    const [low, high] = [channels(colour("--n0")), channels(colour("--n1"))];
    const [down, card, ink] = [colour("--down"), colour("--card"), colour("--soft")];
    places.forEach(([x, y], i) => {
      const share = frame.stored[i] / most;
      ctx.beginPath();
      ctx.arc(x, y, size, 0, 7);
      if (frame.running[i]) {
        ctx.fillStyle = "rgb(" + low.map((c, j) => Math.round(c + (high[j] - c) * share)).join() + ")";
        ctx.fill();
        ctx.strokeStyle = card;
        ctx.lineWidth = 1.5;
      } else {
        ctx.fillStyle = card;
        ctx.fill();
        ctx.strokeStyle = down;
        ctx.lineWidth = 2;
      }
      ctx.stroke();
    });
    if (places.length <= 40) {
      ctx.fillStyle = ink;
      ctx.font = "11px system-ui, sans-serif";
      ctx.textAlign = "center";
      places.forEach(([x, y], i) => ctx.fillText(run.nodes[i], x, y - size - 5));
    }
    if (run.to_scale && k < 1e6 && box.x1 > box.x0) {
      const metres = 10 ** Math.floor(Math.log10(w / k / 3));
      const unit = metres >= 1000 ? metres / 1000 + " km" : metres + " m";
      ctx.strokeStyle = ink;
      ctx.lineWidth = 1.5;
      ctx.beginPath();
      ctx.moveTo(14, h - 14);
      ctx.lineTo(14 + metres * k, h - 14);
      ctx.stroke();
      ctx.fillStyle = ink;
      ctx.font = "11px system-ui, sans-serif";
      ctx.textAlign = "left";
      ctx.fillText(unit, 14, h - 20);
    }
  }
  function show(ms) {
    now = Math.min(run.end_ms, Math.max(0, ms));
    if (slider) slider.value = String(now);
    if (clock) clock.textContent = time(now);
    if (canvas) draw();
    movePlots();
  }

  let playing = false;
  let before = 0;
  function tick(at) {
    if (!playing) return;
    // The whole run takes 20 s at speed 1.
    show(now + (at - before) * run.end_ms / 20000 * Number(speed.value));
    before = at;
    if (now >= run.end_ms) setPlaying(false);
    else requestAnimationFrame(tick);
  }
  function setPlaying(on) {
    playing = on;
    play.textContent = on ? "Pause" : "Play";
    if (!on) return;
    if (now >= run.end_ms) show(0);
    requestAnimationFrame((at) => { before = at; tick(at); });
  }
  if (canvas && frames.length > 0) {
    bounds();
    slider.addEventListener("input", () => { setPlaying(false); show(Number(slider.value)); });
    play.addEventListener("click", () => setPlaying(!playing));
    canvas.addEventListener("pointermove", (event) => {
      const [x, y] = [event.offsetX, event.offsetY];
      let best = -1, distance = 16;
      places.forEach(([px, py], i) => {
        const d = Math.hypot(px - x, py - y);
        if (d < distance) { best = i; distance = d; }
      });
      tip.style.display = best < 0 ? "none" : "block";
      if (best < 0) return;
      const frame = frames[Math.max(0, lastAt(run.frame_at_ms, now))];
      tip.textContent = run.nodes[best] + "\\n" + frame.stored[best] + " envelopes" + (frame.running[best] ? "" : "\\ndown");
      tip.style.left = Math.min(x + 14, canvas.clientWidth - 120) + "px";
      tip.style.top = y + 14 + "px";
    });
    canvas.addEventListener("pointerleave", () => { tip.style.display = "none"; });
    addEventListener("resize", draw);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  }
  for (const { cursor } of plots) {
    const svg = cursor.ownerSVGElement;
    svg.addEventListener("click", (event) => {
      const area = svg.getBoundingClientRect();
      const x = (event.clientX - area.left) * width / area.width;
      show((x - left) / (width - left - right) * run.end_ms);
    });
  }
  items.forEach((item) => item.addEventListener("click", () => show(Number(item.dataset.at))));
  const asked = /^#at=(\\d+)$/.exec(location.hash);
  show(asked ? Number(asked[1]) : run.end_ms);
})();
`;
