// When each host was in which state. Thousands of spans are a dozen paths, one for each state, so that a pool of a
// thousand hosts costs the browser no more than one of ten.

import { html } from "./html.js";
import { useEffect, useMemo, useRef, useState } from "./hooks.js";
import { clock, date, hour, span, weekday } from "./time.js";
import { STATES, plural } from "./words.js";

const NAMES = 60, TOP = 26, LEAST_TICK = 72, HALF_LABEL = 18;
const STEPS = [1, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080].map((minutes) => minutes * 60_000);

export function Timeline({ lines, start, end, ended }) {
  const box = useRef(null);
  const [width, setWidth] = useState(0);
  const [pointed, setPointed] = useState(null);
  useEffect(() => {
    const watcher = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
    watcher.observe(box.current);
    return () => watcher.disconnect();
  }, []);
  const named = lines.length <= NAMES, left = named ? Math.min(110, width * 0.28) : 0;
  const row = named ? 18 : lines.length <= 300 ? 7 : 4, gap = row > 10 ? 5 : row > 5 ? 2 : 1;
  const from = Math.min(start, ...lines.slice(0, 1).map((line) => line.from)), length = Math.max(end - from, 60_000);
  const plot = Math.max(0, width - left - 8), height = TOP + lines.length * row + 4;
  const x = (time) => left + (plot * (time - from)) / length;
  const paths = useMemo(() => pathsOf(lines, x, row, gap), [lines, width, from, length]);

  function point(event) {
    const { top, left: edge } = event.currentTarget.getBoundingClientRect();
    const line = lines[Math.floor((event.clientY - top - TOP) / row)];
    const time = from + ((event.clientX - edge - left) / plot) * length;
    const found = line?.spans.find((one) => one.from <= time && time <= one.to);
    setPointed(found ? { host: line.host, ...found } : null);
  }

  return html`
    <div class="timeline" ref=${box}>
      ${width > 0 && html`
        <div class="scroll" tabindex="0" role="region" aria-label="Timeline of hosts">
          <svg width=${width} height=${height} role="img" aria-label=${summary(lines)} onMouseMove=${point} onMouseLeave=${() => setPointed(null)}>
            ${ticks(from, from + length, plot).map(([time, label]) => html`
              <g key=${time}>
                <line class="tick" x1=${x(time)} x2=${x(time)} y1=${TOP - 4} y2=${height} />
                ${x(time) <= width - HALF_LABEL && html`<text class="hour" x=${x(time)} y="14">${label}</text>`}
              </g>`)}
            ${named && lines.map((line, at) => html`
              <text key=${line.host} class="host" x=${left - 8} y=${TOP + at * row + (row - gap) / 2}>${line.host}</text>`)}
            ${STATES.map((state) => paths[state] && html`<path key=${state} class="span ${state}" d=${paths[state]} />`)}
            ${!ended && html`<line class="now" x1=${x(end)} x2=${x(end)} y1=${TOP - 4} y2=${height} />`}
          </svg>
        </div>
        <p class="pointed soft" aria-hidden="true">${pointed
          ? html`<b>${pointed.host}</b> ${pointed.state} ${clock(pointed.from)} to ${clock(pointed.to)} (${span(pointed.to - pointed.from)})${pointed.why && `: ${pointed.why}`}`
          : "Point at a bar to read it."}</p>`}
    </div>`;
}

function pathsOf(lines, x, row, gap) {
  const paths = {};
  lines.forEach((line, at) => {
    const top = TOP + at * row, tall = row - gap;
    for (const one of line.spans) {
      const begins = x(one.from), wide = Math.max(1.5, x(one.to) - begins);
      paths[one.state] = `${paths[one.state] ?? ""}M${begins.toFixed(1)} ${top}h${wide.toFixed(1)}v${tall}h${(-wide).toFixed(1)}z`;
    }
  });
  return paths;
}

function ticks(from, to, plot) {
  const step = STEPS.find((size) => (plot * size) / (to - from) >= LEAST_TICK) ?? STEPS.at(-1);
  const found = [];
  for (let time = Math.ceil(from / step) * step; time <= to; time += step) {
    found.push([time, step >= 86_400_000 ? date(time) : time % 86_400_000 === 0 ? `${weekday(time)} 00:00` : hour(time)]);
  }
  return found;
}

function summary(lines) {
  const last = {};
  for (const line of lines) last[line.spans.at(-1).state] = (last[line.spans.at(-1).state] ?? 0) + 1;
  const now = STATES.filter((state) => last[state]).map((state) => `${last[state]} ${state}`).join(", ");
  return `Timeline of ${plural(lines.length, "host")}; where each was last: ${now}. The story below tells it in words.`;
}
