// Small parts that every view uses.

import { html } from "./html.js";
import { clock, here, span, until } from "./time.js";
import { PARTS, phaseWord, plural, toneOf } from "./words.js";

export const Badge = ({ phase }) => phase && html`<span class="badge ${toneOf(phase)}">${phaseWord(phase)}</span>`;

export const Dot = ({ phase }) => html`<i class="dot ${toneOf(phase)}" aria-hidden="true"></i>`;

// A moment, in UTC, with the browser's own time for whoever points at it.
export const When = ({ at }) => at && html`<time datetime=${at} title=${here(at)}>${clock(at)}</time>`;

export const Next = ({ at, doing }) =>
  at && html`<span class="next">${doing} <${When} at=${at} /> <span class="soft">${until(at)}</span></span>`;

// How old what Azure showed is, whatever the clocks say.
export const Read = ({ source }) => html`<span class="soft">read ${span(Date.now() - source.madeAt)} ago</span>`;

export const Fact = ({ name, children, note, tone }) => html`
  <div class="fact ${tone ?? ""}">
    <dt>${name}</dt>
    <dd>${children}${note && html` <span class="soft">${note}</span>`}</dd>
  </div>`;

export const totalOf = (counts) => PARTS.reduce((sum, [part]) => sum + (counts?.[part] ?? 0), 0);

// Progress in four parts. `bold` shows the numbers in it.
export function Progress({ counts, bold }) {
  const total = totalOf(counts);
  const said = PARTS.map(([part, word]) => `${counts?.[part] ?? 0} ${word.toLowerCase()}`).join(", ");
  return html`
    <div class="progress ${bold ? "bold" : ""}" role="img" aria-label=${`${plural(total, "host")}: ${said}`}>
      ${PARTS.map(([part]) => {
        const count = counts?.[part] ?? 0;
        return count > 0 && html`<span key=${part} class=${part} style=${{ flexGrow: count }}>${bold ? count : ""}</span>`;
      })}
    </div>`;
}

export const ProgressLegend = ({ counts }) => html`
  <ul class="legend">
    ${PARTS.map(([part, word]) => html`
      <li key=${part}><i class="swatch ${part}" aria-hidden="true"></i>${word} <b>${counts?.[part] ?? 0}</b></li>`)}
  </ul>`;

// Free session slots against the reserve: what is used, what is free, and the mark down to which it may go.
export function Slots({ total, free, reserve }) {
  const span = Math.max(total || 0, free, reserve, 1), percent = (count) => `${(100 * Math.max(0, count)) / span}%`;
  const short = free < reserve;
  return html`
    <div class="slots ${short ? "short" : ""}" role="img"
      aria-label=${`${free} session slots free, ${reserve} are to stay free`}>
      <span class="free" style=${{ width: percent(free) }}></span>
      <span class="mark" style=${{ left: percent(reserve) }}></span>
    </div>`;
}

export const Loading = ({ what }) => html`
  <div class="loading" role="status"><span class="sr">Loading ${what}</span><i></i><i></i><i></i></div>`;

export const Empty = ({ title, children }) => html`
  <div class="empty"><p class="title">${title}</p>${children && html`<p>${children}</p>`}</div>`;

// What went wrong with a source, above what was known before, if anything was.
export function Trouble({ source, what }) {
  const problem = source.problem;
  if (!problem || problem.status === 401) return null;
  const known = source.data !== undefined;
  return html`
    <div class="trouble" role="alert">
      <b>${TITLES[problem.code] ?? TITLES[problem.status] ?? `${what} cannot be shown`}</b>
      <span>${problem.message}${known ? ". What you see is from before." : ""}</span>
      <button type="button" onClick=${() => source.refresh()}>Ask again</button>
    </div>`;
}

const TITLES = {
  0: "Goldroll cannot be reached",
  403: "You may not see this",
  PolicyUnusable: "The policy is broken",
  AzureUnreadable: "Azure cannot be read now",
  UnknownPool: "There is no such host pool",
  HostPoolGone: "The host pool is gone",
  NoSuchRollout: "There is no such rollout",
};

export const Section = ({ id, title, aside, children }) => html`
  <section class="section" aria-labelledby=${id}>
    <h3 id=${id}><span>${title}</span>${aside}</h3>
    ${children}
  </section>`;
