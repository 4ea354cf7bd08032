// Starting a rollout: an image, a version, and the plan, which says what will happen.

import { html } from "./html.js";
import { useEffect, useRef, useState } from "./hooks.js";
import { Problem, post, read } from "./api.js";
import { ReasonDialog } from "./dialog.js";
import { refreshAll } from "./sources.js";
import { span } from "./time.js";

// A thousand hosts are foretold in a quarter of a minute; the plan itself is there at once.
const FORECAST_PATIENCE = 120_000;

export function StartDialog({ images, onClose, onTold }) {
  const first = useRef(null);
  const [image, setImage] = useState(images[0]);
  // "" is the newest version that would be rolled out by itself.
  const [version, setVersion] = useState("");
  const versions = useVersions(image);
  const plan = usePlan(image, version);

  function choose(event) {
    setImage(event.target.value);
    setVersion("");
  }

  async function send(reason) {
    if (!plan.made) throw new Problem(0, "NoPlan", plan.problem || "Wait for the plan: it says what will happen.");
    const wanted = { image, version: plan.made.version, reason, ...(plan.expected && { expected: plan.expected }) };
    const started = await post("rollouts", wanted);
    onTold(`The rollout of ${started.version} has been started.`);
    location.hash = `#/rollouts/${encodeURIComponent(started.id)}`;
    refreshAll();
  }

  return html`
    <${ReasonDialog} title="Start a rollout" label="Start" tone="gold" first=${first} blocked=${isIdle(plan)} onSend=${send} onClose=${onClose}>
      <div class="choices">
        <label for="start-image">Image</label>
        <select id="start-image" ref=${first} value=${image} onChange=${choose}>
          ${images.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
        </select>
        <label for="start-version">Version</label>
        ${versions
          ? html`
            <select id="start-version" value=${version} onChange=${(event) => setVersion(event.target.value)}>
              <option value="">the newest</option>
              ${versions.map((one) => html`
                <option key=${one.version} value=${one.version}>${one.version}${one.excluded ? ", excluded from latest" : ""}</option>`)}
            </select>`
          : html`
            <input id="start-version" type="text" placeholder="the newest" autocomplete="off" spellcheck="false" value=${version}
              onChange=${(event) => setVersion(event.target.value.trim())} />`}
      </div>
      <div class="plan" role="status"><${Plan} plan=${plan} /></div>
    </${ReasonDialog}>`;
}

function Plan({ plan }) {
  if (plan.problem) return html`<p class="problem">${plan.problem}</p>`;
  if (!plan.made) return html`<p class="soft">Making the plan</p>`;
  const { message, pools } = plan.made;
  return html`
    <p><b>${message}</b></p>
    <ul>
      ${pools.map((pool) => html`
        <li key=${pool.pool}>${pool.pool}: ${pool.message}${plan.expected?.[pool.pool] ? `. ${foretold(plan.expected[pool.pool])}` : ""}</li>`)}
    </ul>
    ${isIdle(plan) && html`<p class="soft">There is nothing to start: choose another version.</p>`}`;
}

// The plan is there, and no host pool would be rolled. One that cannot be read now may well be.
const isIdle = ({ made }) => made !== undefined && !made.pools.some((pool) => ["roll", "unreadable"].includes(pool.verdict));

function foretold({ duration_p50, duration_p95, forced_p50, forced_p95 }) {
  const seconds = (value) => span(value * 1000);
  return `It takes about ${seconds(duration_p50)}, ${seconds(duration_p95)} where it goes slowly, `
    + `and signs about ${Math.round(forced_p50)} people out, ${Math.round(forced_p95)} at worst.`;
}

// The image's versions, the newest first; null where they are not known (yet), as for an image of the marketplace.
function useVersions(image) {
  const [versions, setVersions] = useState(null);
  useEffect(() => latest(async (still) => {
    setVersions(null);
    const { data } = await read(`images/${encodeURIComponent(image)}/regions`);
    if (still()) setVersions(data.versions.toSorted(newerFirst));
  }, () => setVersions(null)), [image]);
  return versions;
}

const NUMBERS = new Intl.Collator("en", { numeric: true });
const newerFirst = (one, other) => NUMBERS.compare(other.version, one.version);

// {made, expected, problem}: the plan of this choice as soon as it is there, and then what is foretold.
function usePlan(image, version) {
  const [plan, setPlan] = useState({});
  useEffect(() => latest(async (still) => {
    setPlan({});
    const asked = { image, checks: false, ...(version && { version }) };
    const made = await post("plan", { ...asked, forecast: false });
    if (still()) setPlan({ made });
    const { expected } = await post("plan", { ...asked, version: made.version }, FORECAST_PATIENCE);
    if (still()) setPlan({ made, expected });
  }, (error) => setPlan((known) => (known.made ? known : { problem: error.message }))), [image, version]);
  return plan;
}

// Runs `work` as an effect: what comes of it counts as long as nothing else has been chosen.
function latest(work, fail) {
  let current = true;
  work(() => current).catch((error) => {
    if (!(error instanceof Problem)) throw error;
    if (current) fail(error);
  });
  return () => {
    current = false;
  };
}
