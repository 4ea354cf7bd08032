// The HTTP API: one place that sends requests. The function key, if there is one, lives in this tab's session storage
// and goes into a header; a sign-in of App Service travels in its cookie.

import { learnTime } from "./time.js";

const KEY = "goldroll.key", PATIENCE = 30_000;

// What the API says is wrong: its status, its code for machines and its sentence for people. Status 0: no answer at all.
export class Problem extends Error {
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

export const hasKey = () => sessionStorage.getItem(KEY) !== null;
export const keepKey = (key) => sessionStorage.setItem(KEY, key.trim());
export const forgetKey = () => sessionStorage.removeItem(KEY);

// A link may bring the key in its fragment (#code=...), which no server and no log ever sees; it leaves the address bar.
export function takeKeyFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("code");
  if (!given) return;
  keepKey(given);
  history.replaceState(null, "", location.pathname + location.search);
}

// The answer of a GET: {data, tag, age}; data is null when it is still what `tag` stands for, age is in seconds. Throws
// Problem.
export async function read(path, tag) {
  const response = await send(path, { headers: tag ? { "If-None-Match": tag } : {} });
  const age = Number(response.headers.get("Age") ?? 0);
  if (response.status === 304) return { data: null, tag, age };
  return { data: await body(response), tag: response.headers.get("ETag"), age };
}

// The answer of a POST with this content. Throws Problem, also when it takes longer than `patience` in milliseconds.
export async function post(path, content, patience = PATIENCE) {
  // Two things that no form of another site can send: the content type and a header of ours.
  const headers = { "Content-Type": "application/json", "X-Goldroll": "dashboard" };
  return body(await send(path, { method: "POST", headers, body: JSON.stringify(content) }, patience));
}

async function send(path, options, patience = PATIENCE) {
  const headers = { Accept: "application/json", ...options.headers };
  if (hasKey()) headers["X-Functions-Key"] = sessionStorage.getItem(KEY);
  let response;
  try {
    response = await fetch(new URL(path, document.baseURI), {
      ...options, headers, cache: "no-store", credentials: "same-origin", redirect: "manual",
      signal: AbortSignal.timeout(patience),
    });
  } catch (error) {
    const late = error.name === "TimeoutError";
    throw new Problem(0, "Unreachable", late ? `the app has not answered within ${patience / 1000} seconds` : "the app does not answer");
  }
  learnTime(response.headers.get("Date"));
  if (response.ok || response.status === 304) return response;
  if (response.type === "opaqueredirect") throw new Problem(401, "SignedOut", "your sign-in has ended: reload the page");
  const told = (response.headers.get("Content-Type") ?? "").includes("json") ? await response.json().catch(() => ({})) : {};
  const detail = told.detail ?? SAID_BY_STATUS[response.status] ?? `the app answers ${response.status}`;
  throw new Problem(response.status, told.code ?? "", String(detail));
}

async function body(response) {
  try {
    return await response.json();
  } catch {
    throw new Problem(0, "Unreadable", "the app's answer is not JSON");
  }
}

const SAID_BY_STATUS = {
  401: "the app asks for a function key",
  403: "you may not see this",
  404: "the app does not know this",
  500: "the app has failed; its log says why",
  502: "the app cannot be reached",
  503: "the app is not ready",
};
